"""The tables of docs/measured.md are those of the benchmarks' JSON."""

import json
import re

import pytest

from benchmarks import figures

KEPT = {
    "command": "python -m benchmarks.checkpoint --rounds=3",
    "date": "2026-01-02",
    "revision": "0123abcd",
    "found": {
        "machine": {"processor": "Some CPU", "cores": 2, "load": 0.5},
        "models": {
            "lenet": {"megabytes": 25.6, "thread_ms": 1.25, "loop_ms": 23.8},
            "vgg19": {"megabytes": 80.2, "thread_ms": 1.61, "loop_ms": 306.4},
        },
    },
}


def test_the_page_shows_what_was_measured():
    page = figures.PAGE.read_text()
    assert page == figures.with_tables(page), "run python -m benchmarks.figures --figures="


def test_every_figure_stands_on_the_page_and_names_its_command():
    named = re.findall(r"<!-- figure: (\w+) -->", figures.PAGE.read_text())
    assert sorted(named) == sorted(figures.FIGURES)
    for name in named:
        kept = json.loads((figures.KEPT / f"{name}.json").read_text())
        benchmark = kept["found"]["benchmark"]
        assert benchmark == figures.FIGURES[name].benchmark
        assert f"python -m benchmarks.{benchmark}" in kept["command"]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "KEPT", tmp_path)
    (tmp_path / "checkpoint.json").write_text(json.dumps(KEPT))


def test_a_table_is_written_between_its_comments(kept):
    page = "Before.\n\n<!-- figure: checkpoint -->\n| old |\n<!-- end -->\n\nAfter.\n"
    assert figures.with_tables(page) == (
        "Before.\n\n<!-- figure: checkpoint -->\n\n"
        "|  | state | written by a thread: training waits | written in the loop |\n"
        "| --- | --- | --- | --- |\n"
        "| lenet | 26 MB | 1.2 ms | 24 ms |\n"
        "| vgg19 | 80 MB | 1.6 ms | 306 ms |\n\n"
        "<!-- needs: the named machine -->\n```sh\n"
        "python -m benchmarks.checkpoint --rounds=3\n```\n\n"
        "2026-01-02, 2 cores of Some CPU, load 0.5 at the end, revision 0123abcd.\n\n"
        "<!-- end -->\n\nAfter.\n"
    )
    again = figures.with_tables(page)
    assert figures.with_tables(again) == again


def test_a_figure_that_was_not_measured_is_an_error(kept):
    with pytest.raises(FileNotFoundError):
        figures.with_tables("<!-- figure: opening -->\n<!-- end -->\n")

"""The figures of docs/measured.md are those of the benchmarks' JSON, and the others have a date."""

import json
import re
import subprocess

import pytest

from benchmarks import figures, kept_figures, tables
from benchmarks.kept_figures import FIGURES, PAGE, VALUES, Figure, with_figures
from tests.support import pages
from tests.support.pages import PAGES, ROOT, name_of

MACHINE = {"processor": "Some CPU", "cores": 2, "load": 0.5, "gpus": []}
KEPT = {
    "date": "2026-01-02",
    "revision": "0123abcd",
    "runs": [
        {
            "command": "python -m benchmarks.checkpoint --rounds=3",
            "seconds": 4.5,
            "found": {
                "machine": MACHINE,
                "models": {
                    "lenet": {"megabytes": 25.6, "thread_ms": 1.25, "loop_ms": 23.8},
                    "vgg19": {"megabytes": 80.2, "thread_ms": 1.61, "loop_ms": 306.4},
                },
            },
        }
    ],
}
# Numbers that nobody measured: why.
NOT_MEASURED = {
    "cxr_tfds/covid19_radiography/README.md": "published by the database",
    "docs/explanation/scaling.md": "a model's, as its text says",
    "docs/tutorials/kaggle_database.md": "estimates, as its text says",
}


def marked(kind):
    return re.findall(rf"<!-- {kind}: (\w+)(?: \(typed\))? -->", PAGE.read_text())


def test_the_page_shows_what_was_measured():
    page = PAGE.read_text()
    assert page == with_figures(page), "run python -m benchmarks.figures --only="


def test_every_figure_and_value_stands_on_the_page():
    assert sorted(marked("figure")) == sorted(FIGURES)
    assert set(marked("value")) == set(VALUES)


@pytest.mark.parametrize("file", sorted(kept_figures.KEPT.iterdir()), ids=lambda file: file.stem)
def test_a_kept_figure_was_measured_by_its_commands(file):
    runs = json.loads(file.read_text())["runs"]
    commands = [command.split()[0] for command in FIGURES[file.stem].commands]
    assert [run["found"]["benchmark"] for run in runs] == commands
    for run, command in zip(runs, commands, strict=True):
        assert f"python -m benchmarks.{command}" in run["command"]


@pytest.mark.parametrize("name", FIGURES)
def test_the_commands_of_a_figure_have_the_flags_that_they_are_given(name):
    helped = (ROOT / "docs" / "reference" / "benchmarks.md").read_text().split("\n## ")
    for command in FIGURES[name].commands:
        module, *words = command.split()
        (section,) = [one for one in helped if one.startswith(f"benchmarks.{module}\n")]
        for flag in words:
            assert re.search(rf"^  --(\[no\])?{flag[2:].split('=')[0]}\b", section, re.MULTILINE)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_figures, "KEPT", tmp_path)
    kept_figures.keep("checkpoint", KEPT)


def test_a_table_is_written_between_its_comments(kept):
    page = "Before.\n\n<!-- figure: checkpoint -->\n| old |\n<!-- end -->\n\nAfter.\n"
    assert with_figures(page) == (
        "Before.\n\n<!-- figure: checkpoint -->\n\n"
        "|  | state | written by a thread: training waits | written in the loop |\n"
        "| --- | --- | --- | --- |\n"
        "| LeNet | 26 MB | 1.2 ms | 24 ms |\n"
        "| VGG-19 | 80 MB | 1.6 ms | 306 ms |\n\n"
        "<!-- needs: the named machine -->\n```sh\n"
        "python -m benchmarks.checkpoint --rounds=3\n```\n\n"
        "Measured 2026-01-02, 2 cores of Some CPU, load 0.5 at the end, revision 0123abcd.\n\n"
        "<!-- end -->\n\nAfter.\n"
    )
    again = with_figures(page)
    assert with_figures(again) == again
    assert with_figures(page.replace("point -->", "point (typed) -->")) == again


def test_a_value_is_written_into_its_sentence(kept, monkeypatch):
    value = kept_figures.Value("checkpoint", lambda found: str(found["machine"]["cores"]))
    monkeypatch.setitem(VALUES, "cores", value)
    page = "On <!-- value: cores -->3<!-- end --> cores, <!-- value: cores (typed) -->4<!-- end -->"
    assert with_figures(page) == (
        "On <!-- value: cores -->2<!-- end --> cores, <!-- value: cores -->2<!-- end -->"
    )


def test_a_figure_that_was_not_measured_is_typed_or_an_error(kept):
    page = "<!-- figure: opening (typed) -->\n| typed |\n<!-- end -->\n"
    assert with_figures(page) == page
    with pytest.raises(FileNotFoundError):
        with_figures(page.replace(" (typed)", ""))


# Tables --------------------------------------------------------------------------------------


def test_the_input_table_has_the_rates_of_each_batch_size():
    def run(batch_size, *ways):
        numbers = {way: 2.0 * batch_size for way in ways}
        return {
            "batch_size": batch_size, "images_per_second": numbers | {"generator": 1.0},
            "over_generator": numbers, "over_roofline": dict.fromkeys(ways, 0.5),
        }  # fmt: skip

    assert tables.input_rates(run(1_000, "records", "first"), run(7, "records"))[1:] == [
        ["this pipeline", "1000", "2,000", "2,000", "0.50"],
        ["its first epoch", "1000", "2,000", "2,000", "0.50"],
        ["this pipeline", "7", "14", "14", "0.50"],
    ]


def test_searches_that_were_not_measured_are_blank():
    def run(number, **seconds):
        return {"numbers": {str(number): {"seconds": seconds}}}

    header, halves, whole, *_ = tables.near_duplicates(
        run(5_000, halves=[1, 3], whole=[5]), run(10_000, halves=[7])
    )
    assert header[1:] == ["5,000", "10,000"]
    assert halves[1:] == ["2.00 s", "7.00 s"]
    assert whole[1:] == ["5.00 s", ""]


# A session -----------------------------------------------------------------------------------


def test_a_figure_that_fails_does_not_end_the_session(kept, monkeypatch, caplog):
    search = "near_duplicates --numbers=150 --ways=halves --rounds=1"
    monkeypatch.setitem(FIGURES, "bad", Figure(("near_duplicates --rounds=0",), list))
    monkeypatch.setitem(FIGURES, "good", Figure((search,), tables.near_duplicates))
    assert figures.measure_all(["bad", "good"], {}) == ["bad"]
    assert "bad: benchmarks.near_duplicates --rounds=0 ended with 2: " in caplog.text
    (run,) = kept_figures.kept("good")["runs"]
    assert run["command"] == f"python -m benchmarks.{search}"
    assert run["found"]["numbers"].keys() == {"150"}
    assert run["seconds"] > 0


def test_a_directory_is_given_to_the_benchmark_and_not_shown(monkeypatch):
    started = []

    def start(words, **_):
        started.append(words[1:])
        return subprocess.CompletedProcess(words, 0, 'told\n{"benchmark": "some"}\n')

    monkeypatch.setattr(subprocess, "run", start)
    run = figures.measure("some --data_dir=DATA --rounds=1", {"DATA": "/a place"})
    assert started == [["-m", "benchmarks.some", "--data_dir=/a place", "--rounds=1"]]
    assert run["command"] == "python -m benchmarks.some --data_dir=DATA --rounds=1"
    assert run["found"] == {"benchmark": "some"}


@pytest.mark.parametrize(
    ("names", "load", "message"),
    [
        (["opening", "speed"], 0.0, "--only: unknown 'speed'"),
        (["opening", "input"], 0.0, "--manual_dir=nowhere is no directory, and input is measured"),
        (["opening"], 0.7, "the load of this machine is 0.7"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_the_start(
    names, load, message, monkeypatch, tmp_path
):
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    directories = {"DATA": str(tmp_path), "KAGGLE": "nowhere"}
    with pytest.raises(ValueError, match=message):
        figures.check(names, directories, allow_load=False)


def test_load_may_be_allowed(monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (9.0, 0.0, 0.0))
    figures.check(["opening"], {}, allow_load=True)
    figures.check([], {}, allow_load=False)


# Dates ---------------------------------------------------------------------------------------


def test_tables_that_nobody_measured_are_on_pages_that_exist():
    assert NOT_MEASURED.keys() <= set(map(name_of, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_table_of_numbers_says_when_they_were_measured(page):
    if reason := NOT_MEASURED.get(name_of(page)):
        pytest.skip(reason)
    for table in pages.tables_of(page):
        cells = [cell for row in table.rows() for cell in row[1:]]
        numbers = [cell for cell in cells if re.match(r"\**[\d.]+", cell)]
        # A summary links to the sections that have the tables.
        if len(numbers) > len(cells) / 3 and not all("](#" in row[-1] for row in table.rows()):
            below = "\n".join(table.below)
            assert re.search(r"\b(Measured|Counted) \d{4}-\d\d-\d\d\b", below), table.text[0]

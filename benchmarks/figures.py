"""Measures the figures of docs/measured.md in one sitting, and writes its tables from their JSON.

    python -m benchmarks.figures [--figures=opening,predict]
    python -m benchmarks.figures --figures=          # writes the tables again, measures nothing

Every figure is the JSON of one benchmark. It is kept in docs/figures with its command, date and
revision; the page holds a table between two comments that name the figure. Measure alone on the
machine: `load` in a table's last line tells whether other work ran.
"""

import datetime
import json
import pathlib
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from absl import flags, logging

from cxr_command.runner import Command

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measured.md"
KEPT = ROOT / "docs" / "figures"

Json = Mapping[str, Any]
# The header, then the rows.
Table = list[list[str]]


class Figure(NamedTuple):
    """A table of the page.

    Attributes:
        benchmark: the module of this package that measures it.
        flags: its flags.
        table: from the benchmark's JSON.
    """

    benchmark: str
    flags: tuple[str, ...]
    table: Callable[[Json], Table]


def _checkpoint(found: Json) -> Table:
    return [
        ["", "state", "written by a thread: training waits", "written in the loop"],
        *(
            [name, f"{row['megabytes']:.0f} MB", f"{row['thread_ms']:.1f} ms",
             f"{row['loop_ms']:.0f} ms"]
            for name, row in found["models"].items()
        ),
    ]  # fmt: skip


def _opening(found: Json) -> Table:
    return [
        ["dataset", "first opening, with verification", "later"],
        [
            f"{found['bytes'] / 1e9:.2f} GB",
            f"{found['first_s']:.2f} s",
            f"{found['later_s']:.3f} s",
        ],
    ]


def _predict(found: Json) -> Table:
    rates, peaks = found["images_per_second"], found["peak_mib"]
    return [
        [f"{found['network']}, {found['files']:,} files", *rates, "ratio",
         *(f"peak memory, {int(files):,} files" for files in peaks)],
        ["images/s", *(f"{rate:,.0f}" for rate in rates.values()), f"{found['over_keras']:.2f}",
         *(f"{peak:,} MiB" for peak in peaks.values())],
    ]  # fmt: skip


FIGURES = {
    "checkpoint": Figure("checkpoint", ("--rounds=2",), _checkpoint),
    "opening": Figure("dataset_open", (), _opening),
    "predict": Figure("predict_files", ("--files=2000", "--rounds=3"), _predict),
}  # fmt: skip


def measure(name: str) -> None:
    """Runs a figure's benchmark and keeps what it found.

    Args:
        name: of the figure.

    Raises:
        subprocess.CalledProcessError: the benchmark failed.
    """
    figure = FIGURES[name]
    words = ["python", "-m", f"benchmarks.{figure.benchmark}", *figure.flags]
    start = time.monotonic()
    done = subprocess.run(  # noqa: S603
        [sys.executable, *words[1:]], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
    )
    logging.info("%s: %.0f s", name, time.monotonic() - start)
    kept = {
        "command": shlex.join(words),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "revision": _revision(),
        "found": json.loads(done.stdout.splitlines()[-1]),
    }
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=8"]
    return subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def render(name: str) -> str:
    """A figure as Markdown: its table, its command, and what it was measured on."""
    kept = json.loads((KEPT / f"{name}.json").read_text())
    header, *rows = FIGURES[name].table(kept["found"])
    lines = [header, ["---"] * len(header), *rows]
    machine = kept["found"]["machine"]
    return "\n".join(
        [
            *("| " + " | ".join(line) + " |" for line in lines),
            "",
            "<!-- needs: the named machine -->",
            "```sh",
            kept["command"],
            "```",
            "",
            f"{kept['date']}, {machine['cores']} cores of {machine['processor']}, "
            f"load {machine['load']} at the end, revision {kept['revision']}.",
        ]
    )


def with_tables(page: str) -> str:
    """Puts every figure that is kept between its comments.

    Args:
        page: Markdown with `<!-- figure: NAME -->` and `<!-- end -->`, each on a line of its own.

    Raises:
        KeyError: there is no such figure.
        OSError: it was not measured yet.
    """
    return re.sub(
        r"(<!-- figure: (\w+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{render(found[2])}\n\n{found[3]}",
        page,
        flags=re.DOTALL,
    )


def _define_flags() -> None:
    flags.DEFINE_list("figures", list(FIGURES), "Figures to measure; empty: only write the tables.")


def _main() -> None:
    names = flags.FLAGS.figures
    if unknown := [name for name in names if name not in FIGURES]:
        raise ValueError(
            f"--figures: unknown {unknown[0]!r}; expected some of {', '.join(FIGURES)}"
        )
    for name in names:
        measure(name)
    PAGE.write_text(with_tables(PAGE.read_text()))


if __name__ == "__main__":
    Command(_main, _define_flags).run()

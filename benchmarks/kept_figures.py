"""The figures of docs/measured.md: their commands, and the page's text from their results.

A figure is the result of some benchmarks, stored in docs/figures as JSON with date and revision. To
add one, write its table in `benchmarks.tables`, add it to `FIGURES`, and put two lines

    <!-- figure: NAME -->
    <!-- end -->

on the page. `<!-- figure: NAME (typed) -->` keeps the text between them until the figure is first
measured. `<!-- value: NAME -->...<!-- end -->` inside a sentence is a number of `VALUES`.
"""

import json
import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple, NotRequired, TypedDict

from benchmarks import tables
from benchmarks.tables import NETWORKS, Json, Table
from cxr_command import whole_file

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measured.md"
KEPT = ROOT / "docs" / "figures"


class Figure(NamedTuple):
    """A table of the page.

    Attributes:
        commands: the commands that measure it: a module of this package and its flags. DATA is the
            data directory of the built database, KAGGLE the directory of the database itself.
        table: creates the table from the results of the commands.
        on_gpu: whether it is measured on a GPU, and only if named by `--only`.
    """

    commands: tuple[str, ...]
    table: Callable[..., Table]
    on_gpu: bool = False


class Run(TypedDict):
    """A command that was run for a figure.

    Attributes:
        command: as shown on the page.
        seconds: its duration, if known.
        found: its JSON.
    """

    command: str
    seconds: NotRequired[float]
    found: Json


class Kept(TypedDict):
    """The stored result of a figure.

    Attributes:
        date: day of the measurement, YYYY-MM-DD.
        revision: revision of the project that was measured.
        runs: the figure's commands.
    """

    date: str
    revision: str
    runs: list[Run]


class Value(NamedTuple):
    """A number in a sentence of the page.

    Attributes:
        figure: name of its figure.
        text: creates the text from the results of the figure's commands.
    """

    figure: str
    text: Callable[..., str]


_INPUT = "input_pipeline --data_dir=DATA --manual_dir=KAGGLE --rounds=3 --seconds=1"
_STEP = "engine_step --train_backbone --ways=engine,keras --rounds=2"

FIGURES = {
    "opening": Figure(("dataset_open",), tables.opening),
    "checkpoint": Figure(("checkpoint --rounds=2",), tables.checkpoint),
    "input": Figure(
        (f"{_INPUT} --batch_size=16 --ways=records,first,generator,roofline",
         f"{_INPUT} --batch_size=256 --ways=records,generator,roofline"),
        tables.input_rates,
    ),
    "growth": Figure(
        ("input_growth --data_dir=DATA --factors=1,10 --workers=1,2 --ways=ours --seconds=1",),
        tables.input_growth,
    ),
    "duplicates": Figure(
        ("near_duplicates --numbers=5000 --rounds=1",
         "near_duplicates --numbers=21165 --ways=halves,whole,matrix_products,bitwise_count "
         "--rounds=1",
         "near_duplicates --numbers=100000 --ways=halves,whole --rounds=1"),
        tables.near_duplicates,
    ),
    "predict": Figure(("predict_files --files=1000 --rounds=2",), tables.predict),
    "replicas": Figure(
        ("scaling --models=lenet,resnet101 --rounds=2 --steps=2",), tables.replicas
    ),
    "step_time": Figure(("roofline --rounds=2 --steps=1", "op_times --steps=1"), tables.step_time),
    "frozen_backbone": Figure(
        ("feature_cache --models=vgg19 --images_per_class=30 --rounds=1",), tables.frozen_backbone
    ),
    "whole_job": Figure(
        ("end_to_end --models=resnet101 --images_per_class=100 --epochs=5",
         "end_to_end --models=resnet101 --images_per_class=30 --epochs=5",
         "end_to_end --models=resnet101 --images_per_class=30 --epochs=1"),
        tables.whole_job,
    ),
    "overhead": Figure(
        ("step_overhead --models=densenet169 --ways=engine --replicas=1,8 --rounds=1 --steps=3",
         "step_overhead --models=densenet169 --ways=keras --replicas=1 --rounds=1 --steps=3"),
        tables.step_overhead,
    ),
    "step": Figure(
        (f"{_STEP} --models=lenet --steps=16",
         f"{_STEP} --models=resnet101,vgg19,densenet169 --steps=4"),
        tables.step,
    ),
    "gpu": Figure(
        ("node --models=lenet,vgg19,resnet101 --xla=on --batch_size=128 --minutes=4.4",
         "node --models=resnet101,vgg19,lenet --xla=off --batch_size=128 --minutes=1.6",
         "node --models=vgg19,lenet --xla=off --batch_size=128 --minutes=1.9"),
        tables.node, on_gpu=True,
    ),
}  # fmt: skip


def _by_network(key: str) -> Callable[..., str]:
    """Lists the networks with their value of a key."""
    return lambda *found: ", ".join(
        f"{NETWORKS[name]} {row[key]:.1f}" for run in found for name, row in run["models"].items()
    )


VALUES = {
    "input_speed_up": Value(
        "input", lambda found, _: f"{found['over_generator']['records']:,.0f}"
    ),
    "frozen_speed_up": Value("frozen_backbone", _by_network("times_faster")),
    "step_speed_up": Value("step", _by_network("engine_over_keras")),
}  # fmt: skip


def kept(name: str) -> Kept:
    """Returns the stored result of a figure.

    Args:
        name: name of the figure.

    Raises:
        OSError: the figure has not been measured.
    """
    return json.loads((KEPT / f"{name}.json").read_text())


def keep(name: str, content: Kept) -> None:
    """Writes the content read by `kept`."""
    KEPT.mkdir(exist_ok=True)
    with whole_file.writing(KEPT / f"{name}.json") as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")


def render(name: str) -> str:
    """Formats a figure in Markdown: its table, its commands, and the machine."""
    content = kept(name)
    runs = content["runs"]
    header, *rows = FIGURES[name].table(*(run["found"] for run in runs))
    return "\n".join(
        [
            *("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows)),
            "",
            "<!-- needs: the named machine -->",
            "```sh",
            *(run["command"] for run in runs),
            "```",
            "",
            _stamp(content, runs[-1]["found"]["machine"]),
        ]
    )


def _stamp(content: Kept, machine: Json) -> str:
    # A GPU is described by its name and its driver's version.
    gpus = [gpu.replace(", ", ", driver ") for gpu in machine["gpus"]]
    processor = f"{machine['cores']} cores of {machine['processor']}"
    return (
        f"Measured {content['date']}, {', '.join([*gpus, processor])}, "
        f"load {machine['load']} at the end, revision {content['revision']}."
    )


def with_figures(page: str) -> str:
    """Inserts every stored figure and value between its comments.

    Args:
        page: Markdown.

    Raises:
        KeyError: a figure or value does not exist.
        OSError: a figure has not been measured and is not `(typed)`.
    """
    page = re.sub(
        r"<!-- figure: (\w+)( \(typed\))? -->\n.*?<!-- end -->",
        lambda found: _between(found, found[1], "figure", lambda: f"\n\n{render(found[1])}\n\n"),
        page,
        flags=re.DOTALL,
    )
    return re.sub(
        r"<!-- value: (\w+)( \(typed\))? -->.*?<!-- end -->",
        lambda found: _between(found, VALUES[found[1]].figure, "value", lambda: _text(found[1])),
        page,
    )


def _between(found: re.Match[str], figure: str, kind: str, text: Callable[[], str]) -> str:
    if found[2] and figure in FIGURES and not (KEPT / f"{figure}.json").exists():
        return found[0]
    return f"<!-- {kind}: {found[1]} -->{text()}<!-- end -->"


def _text(name: str) -> str:
    value = VALUES[name]
    return value.text(*(run["found"] for run in kept(value.figure)["runs"]))

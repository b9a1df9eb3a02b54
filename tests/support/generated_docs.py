"""Generated parts of docs/: `make reference` writes them, `tests/test_docs.py` checks them."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable

from cxr_command.exit_codes import ExitCode
from tests.support.commands import COMMANDS, SCRIPTS
from tests.support.forked_commands import bare_machine
from tests.support.report_schemas import report_schema, study_schema
from trainer import settings
from trainer.evaluation import metrics
from trainer.training import config

ROOT = pathlib.Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
HELP = {
    "commands": [name for name in COMMANDS if not name.startswith("benchmarks.")],
    "benchmarks": [name for name in COMMANDS if name.startswith("benchmarks.")],
}
_INTRODUCTION = {
    "commands": "# Commands\n\nWhat `--help` prints. [Exit codes](exit_codes.md) are those of all "
    "commands.",
    "benchmarks": "# Benchmark commands\n\nWhat `--help` prints. Each prints a table and, as its "
    "last line, JSON with the machine. [Measurements](../measured.md) has results.",
}
_COLUMNS = "80"


@dataclasses.dataclass(frozen=True)
class Part:
    """A generated part of the documentation.

    Attributes:
        page: file of the page.
        render: creates the page's content from the current one.
    """

    page: pathlib.Path
    render: Callable[[str], str]


def help_of(module):
    """Returns the output of a command's --help."""
    ended = bare_machine().run(module, ["--help"], ROOT, {"COLUMNS": _COLUMNS})
    assert ended.code == 0, ended.said
    return ended.said.strip()


def help_section(module, said):
    """Returns a command's section of a page."""
    script = f"Script: `{SCRIPTS[module]}`\n\n" if module in SCRIPTS else ""
    return f"## {module}\n\n{script}```text\n{said}\n```\n"


def _help_page(name):
    sections = [help_section(module, help_of(module)) for module in HELP[name]]
    return "\n".join([f"{_INTRODUCTION[name]}\n", *sections])


def _metrics_table():
    rows = [
        f"| `{metric.name}` | {metric.label} | {of} | "
        f"{'higher' if metric.higher_is_better else 'lower'} |"
        for of, listed in (("all classes", metrics.HEADLINE), ("each class", metrics.PER_CLASS))
        for metric in listed
    ]
    return ["| name in `report.json` | metric | of | better |", "|---|---|---|---|", *rows]


def _exit_code_table():
    rows = [f"| {int(code)} | {code.meaning} |" for code in ExitCode]
    return ["| exit code | meaning |", "|---|---|", *rows]


def _changing_settings():
    return [
        f"- `--{name}`"
        for cls in config.sections().values()
        for name, known in settings.declared(cls).items()
        if not known.is_fixed
    ]


def _between_marks(name, lines):
    """Replaces the text between `<!-- name -->` and the next `<!-- end -->`."""
    block = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)

    def render(page):
        text, found = block.subn(lambda _: "\n".join(["", *lines(), "", ""]), page)
        assert found == 1, name
        return text

    return render


def _schema(make):
    return lambda _: json.dumps(make(), indent=2) + "\n"


# Parts that need no process of their own.
QUICK = {
    "metrics": Part(REFERENCE / "report.md", _between_marks("metrics", _metrics_table)),
    "exit codes": Part(REFERENCE / "exit_codes.md", _between_marks("exit codes", _exit_code_table)),
    "settings that may change": Part(
        REFERENCE / "run.md", _between_marks("settings that may change", _changing_settings)
    ),
    "schema of a report": Part(REFERENCE / "report.schema.json", _schema(report_schema)),
    "schema of a study": Part(REFERENCE / "study.schema.json", _schema(study_schema)),
}


def write():
    """Writes all parts."""
    for part in QUICK.values():
        before = part.page.read_text() if part.page.exists() else ""
        part.page.write_text(part.render(before))
    for name in HELP:
        (REFERENCE / f"{name}.md").write_text(_help_page(name))


if __name__ == "__main__":
    write()
    bare_machine().end()

"""A table of the runs in a directory with their state, progress and best loss."""

import dataclasses
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from trainer.duration import in_words
from trainer.errors import UserError
from trainer.run import Run
from trainer.status import STALE, seconds_since_sign, state_of

_HEADER = ("name", "model", "recipe", "state", "epoch", "best loss", "images/s", "age")
_DAMAGED, _UNKNOWN = "damaged", "-"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        cells: one per column of the header.
        age: seconds since the last sign of life.
        fault: why the run's files cannot be read; empty if they can be.
    """

    cells: tuple[str, ...]
    age: float
    fault: str = ""


def show(directory: pathlib.Path) -> None:
    """Prints a table of a directory's runs, newest first, and the number of other folders.

    Args:
        directory: parent directory of runs of trainer.main.

    Raises:
        UserError: the directory cannot be listed, or holds no run.
    """
    folders = _folders_in(directory)
    runs = [run for run in map(Run, folders) if _is_run(run)]
    left_out = f"{len(folders) - len(runs)} of {len(folders)} folders are no runs"
    if not runs:
        raise UserError(
            f"{directory} holds no run ({left_out}); expected folders of trainer.main in it"
        )
    print(table(sorted(map(row_of, runs), key=lambda row: row.age)))
    if len(runs) < len(folders):
        print(left_out, file=sys.stderr)


def row_of(run: Run) -> Row:
    """Returns the table row of a run, which may be damaged."""
    name = run.path.name
    try:
        status = run.read_status()
        age = _age(run, status)
        cells = (name, *_cells(run, status), in_words(age))
    except (UserError, OSError) as fault:
        age = _age(run, {})
        cells = (name, _UNKNOWN, _UNKNOWN, _DAMAGED, *[_UNKNOWN] * 3, in_words(age))
        return Row(cells, age, str(fault))
    return Row(cells, age)


def table(rows: Sequence[Row]) -> str:
    """Formats the rows as a table; a run's fault is appended to its row."""
    lines = [(*_HEADER, ""), *((*map(_shown, row.cells), _shown(row.fault)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _folders_in(directory: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.is_dir())
    except OSError as error:
        raise UserError(
            f"--runs_dir={directory} cannot be listed ({error.strerror}); expected a directory "
            "with runs of trainer.main in it"
        ) from error


def _is_run(run: Run) -> bool:
    try:
        return run.is_begun()
    except OSError:  # Unreadable folders are listed, with the reason.
        return True


def _cells(run: Run, status: dict[str, Any]) -> tuple[str, ...]:
    """Returns model, recipe, state, epoch, best loss and images per second."""
    config = (run.read_config() or {}).get("config", {})
    last = (run.read_metrics() or [{}])[-1]
    loss, rate = status.get("best_validation_loss"), last.get("images_per_second")
    return (
        config.get("model", _UNKNOWN),
        config.get("recipe", _UNKNOWN),
        state_of(status, run.path) if status else STALE,  # Killed before it wrote its state.
        f"{last.get('epoch', 0)} of {config.get('epochs', _UNKNOWN)}",
        _UNKNOWN if loss is None else f"{loss:.4f}",
        _UNKNOWN if rate is None else f"{rate:.0f}",
    )


def _age(run: Run, status: dict[str, Any]) -> float:
    """Seconds since the last sign of life; for earlier versions, since the directory changed."""
    age = seconds_since_sign(status)
    return max(0.0, time.time() - run.path.stat().st_mtime if age is None else age)


def _shown(text: str) -> str:
    """Escapes characters that could control the terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]

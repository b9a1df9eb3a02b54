"""Claims a run's directory for the one training that writes to it."""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

from cxr_command import stop_signals
from trainer.directory import made, require_writable
from trainer.lock import locked
from trainer.run import Run

RUNS_DIR = "runs"
_IF_IN_USE = "wait for it to end, or end it; to train beside it, give another --workdir"


@contextlib.contextmanager
def claimed(workdir: str | os.PathLike | None, model: str, *, writes: bool) -> Iterator[Run]:
    """Claims a run's directory for this training and records how the training ended.

    The directory is created if missing, and removed if nothing was written to it.

    Args:
        workdir: the directory; None: a new one in `RUNS_DIR`, named after the model and the time.
        model: name of the model.
        writes: whether this process writes to it. With several workers, only the chief claims it.

    Yields:
        The run.

    Raises:
        UserError: another training uses the directory, or it is not writable.
        Terminated: SIGTERM or SIGHUP arrived and the code inside did not handle it.
    """
    if workdir and not writes:
        yield Run(workdir, writes=False)
        return
    require_writable(workdir or RUNS_DIR, "workdir")
    place = made(pathlib.Path(workdir)) if workdir else _made_new(model)
    with stop_signals.raising(), place as path, locked(path, _IF_IN_USE):
        run = Run(path)
        with run.status.end_recorded():
            yield run


@contextlib.contextmanager
def _made_new(model: str) -> Iterator[pathlib.Path]:
    """Creates a directory unique to this process; removes it again if it stays empty."""
    with made(pathlib.Path(RUNS_DIR)) as runs:
        path = _free_place(runs / f"{model}-{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            yield path
        finally:
            with contextlib.suppress(OSError):  # The directory holds a run.
                path.rmdir()


def _free_place(first: pathlib.Path) -> pathlib.Path:
    """Creates a directory with this name, or with `-2`, `-3`, ... appended."""
    path, number = first, 1
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
            path = first.with_name(f"{first.name}-{number}")

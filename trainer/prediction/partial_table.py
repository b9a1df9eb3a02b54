"""An unfinished table, stored beside the output so that the same command can resume it."""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from cxr_command import csv_file, stop_signals, whole_file
from trainer.directory import writing_to
from trainer.errors import Preempted, UserError
from trainer.evaluation.training_features import FILES, TrainingFeatures, save
from trainer.json_file import integer, mapping, number, read_object, record
from trainer.lock import locked
from trainer.run import QUANTILE

_IF_IN_USE = "wait for it to finish, or give another --output"
_CHOSEN = {
    "temperature": number().or_none(),
    "threshold": number().or_none(),
    "quantiles": mapping(QUANTILE).or_none().if_given(),
    "depth": integer(8, 16).or_none(),
}
_SETTINGS = {"asked": mapping(), "chosen": record(_CHOSEN)}


class PartialTable:
    """The folder `OUTPUT.partial` with rows.csv and settings.json, which describes the rows.

    It also holds the training features that the rows are compared with, if there are any.

    Rows are appended in batches. Incomplete rows of a killed process are recomputed.
    """

    def __init__(self, output: pathlib.Path) -> None:
        """Determines the folder; creates nothing.

        Args:
            output: path of the finished table.
        """
        self.output = output
        self.folder = output.with_name(f"{output.name}.partial")
        self._settings = self.folder / "settings.json"
        self._rows = self.folder / "rows.csv"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Creates the folder and locks it for this process.

        Raises:
            UserError: another process holds the lock, or the folder is not writable.
            Preempted: SIGTERM or SIGHUP arrived inside the context.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with stop_signals.raising(), locked(self.folder, _IF_IN_USE):
                yield
        except stop_signals.Terminated as error:
            raise Preempted(
                f"the rows so far are kept in {self.folder}; the same command continues from there"
            ) from error
        finally:
            with contextlib.suppress(OSError):  # It holds rows to resume, or another lock.
                self.folder.rmdir()

    def chosen_before(self, asked: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns the values chosen by the call being resumed; None if there was none.

        Args:
            asked: everything all rows depend on, as JSON values.

        Raises:
            UserError: that call had other settings, or they are damaged.
        """
        if not self._settings.exists():
            return None
        before = read_object(self._settings, _SETTINGS, f"remove {self.folder} to start over")
        differing = [name for name, value in asked.items() if before["asked"].get(name) != value]
        if differing:
            raise UserError(
                f"{self.folder} is an interrupted table of other {' and '.join(differing)}: run "
                "that command again, remove the folder to start over, or give another --output"
            )
        return before["chosen"]

    def begin(
        self,
        asked: Mapping[str, Any],
        chosen: Mapping[str, Any],
        fitted: TrainingFeatures | None = None,
    ) -> None:
        """Starts a table without rows.

        Args:
            asked: everything all rows depend on.
            chosen: the values chosen for them, reused by a later call.
            fitted: the training features, likewise.
        """
        text = json.dumps({"asked": asked, "chosen": chosen}, indent=2) + "\n"
        with writing_to(self.output.parent):
            self._rows.unlink(missing_ok=True)
            self._remove_features()
            if fitted:
                save(fitted, self.folder)
            with whole_file.writing(self._settings) as partial:
                partial.write_text(text, encoding="utf-8")

    def kept(self, header: Sequence[str], paths: Iterable[str]) -> Iterator[tuple[list[str], int]]:
        """Yields the rows written by an earlier call, up to the first invalid one.

        Args:
            header: names of the columns.
            paths: the expected values of the first column.

        Yields:
            Each row, and the number of bytes up to its end.
        """
        records = self._records()
        if next(records, ([], 0))[0] != header:
            return
        for path, (row, end) in zip(paths, records, strict=False):
            if len(row) != len(header) or row[0] != path:
                return
            yield row, end

    def _records(self) -> Iterator[tuple[list[str], int]]:
        """Yields the complete lines of the file, decoded, and the position of each end."""
        if not self._rows.exists():
            return
        with self._rows.open("rb") as file:
            record, end = b"", 0
            for line in file:
                record += line
                if not record.endswith(b"\n") or record.count(b'"') % 2:
                    continue  # Incomplete, or the line ends within a cell.
                try:
                    (row,) = csv_file.decode(record)
                except ValueError:
                    return
                end += len(record)
                yield row, end
                record = b""

    @contextlib.contextmanager
    def appending(
        self, header: Sequence[str], end: int
    ) -> Iterator[Callable[[Iterable[Sequence[object]]], None]]:
        """Opens the table to append after the existing rows.

        Args:
            header: names of the columns.
            end: number of bytes to keep; 0: none, the header is written.

        Yields:
            A function that appends rows.

        Raises:
            UserError: rows cannot be written; earlier rows are kept.
        """
        with writing_to(self.output.parent), self._rows.open("ab") as file:
            file.truncate(end)

            def append(rows: Iterable[Sequence[object]]) -> None:
                with writing_to(self.output.parent):
                    file.write(csv_file.encode(rows))
                    file.flush()

            if not end:
                append([header])
            yield append

    def finish(self) -> None:
        """Moves the rows to their final path, atomically."""
        with writing_to(self.output.parent):
            os.replace(self._rows, self.output)
            self._settings.unlink()
            self._remove_features()

    def _remove_features(self) -> None:
        for name in FILES:
            (self.folder / name).unlink(missing_ok=True)

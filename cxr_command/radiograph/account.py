"""Reads many files one by one, recording those that are skipped."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from absl import logging

from cxr_command.foreign_text import one_line
from cxr_command.radiograph import listing, reading
from cxr_command.radiograph.refusal import NotARadiograph


class Account:
    """A record of the files read and skipped.

    Attributes:
        read: number of radiographs.
        left_out: the other files, each with the reason.
    """

    def __init__(self, left_out: Iterable[listing.LeftOut] = ()) -> None:
        """Initializes an account.

        Args:
            left_out: the files skipped by a listing.
        """
        self.read = 0
        self.left_out = list(left_out)

    def reading(
        self,
        files: Sequence[str | os.PathLike],
        *,
        depth: int | None = None,
        any_view: bool = False,
    ) -> Iterator[tuple[int, reading.Radiograph]]:
        """Reads files; other files than radiographs, and remarks, are logged.

        Args:
            files: the files.
            depth: as for `reading.read`; None: `reading.depth_of` these files.
            any_view: as for `reading.read`.

        Yields:
            The position of each radiograph among the files, and the radiograph.

        Raises:
            OSError: the operating system could not read a file, which may be intact; `filename`
                names it.
        """
        depth = depth or reading.depth_of(files)
        if depth:
            logging.info("16-bit image files use %d bits: 0 to %d is shown", depth, 2**depth - 1)
        for position, path in enumerate(files):
            try:
                radiograph = reading.read(path, depth=depth, any_view=any_view)
            except NotARadiograph as error:
                logging.error("left out: %s: %s", one_line(str(path)), error)
                self.left_out.append((pathlib.Path(path), str(error)))
                continue
            for remark in radiograph.remarks:
                logging.warning("%s: %s", one_line(str(path)), remark)
            self.read += 1
            yield position, radiograph

    def told(self) -> str:
        """Summarises in one line how many files were read and skipped, and why, with examples."""
        return listing.told(self.read, self.left_out)

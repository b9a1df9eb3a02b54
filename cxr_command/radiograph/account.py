"""Reads many files one after the other, and keeps account of those that are left out."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

from absl import logging

from cxr_command.foreign_text import one_line
from cxr_command.radiograph import listing, reading
from cxr_command.radiograph.refusal import NotARadiograph


class Account:
    """What has been read of many files, and what was left out.

    Attributes:
        read: number of radiographs.
        left_out: the other files, each with the reason.
    """

    def __init__(self, left_out: Iterable[listing.LeftOut] = ()) -> None:
        """Begins an account.

        Args:
            left_out: what a listing left out.
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
        """Reads files; what is no radiograph is logged and left out, as is what was noticed.

        Args:
            files: the files.
            depth: as that of `reading.read`; None: `reading.depth_of` these files.
            any_view: as that of `reading.read`.

        Yields:
            The position of each radiograph among the files, and the radiograph.

        Raises:
            OSError: the system could not read a file, which may be whole; `filename` names it.
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
        """One line: how many were read, how many left out, and why, with examples."""
        return listing.told(self.read, self.left_out)

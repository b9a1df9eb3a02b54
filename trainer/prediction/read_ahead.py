"""Reads radiographs in threads, ahead of the network."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import os
from collections.abc import Generator, Sequence

import numpy as np

from cxr_command.radiograph import reading
from cxr_command.radiograph.refusal import NotARadiograph
from trainer.parsing import unreadable
from trainer.prediction.image_list import ImageList

# Maximum number of radiographs waiting: 6 MB at 224x224.
_AHEAD = 128


@dataclasses.dataclass(frozen=True)
class FileRead:
    """The result of reading a file.

    Attributes:
        path: the file, as named in its list.
        image: `[H, W, 1] uint8`; None if it was skipped.
        remarks: remarks on the file.
        reason: why it was skipped; empty if it was not.
    """

    path: str
    image: np.ndarray | None
    remarks: str = ""
    reason: str = ""


def read_ahead(
    images: ImageList,
    begun: int,
    image_shape: Sequence[int],
    *,
    depth: int | None,
    any_view: bool,
) -> Generator[FileRead]:
    """Reads files in threads, at most `_AHEAD` of them in advance.

    Args:
        images: the list.
        begun: number of files to pass over.
        image_shape: `[height, width, 1]` to resize to.
        depth: depth of 16-bit image files, as for `reading.read`.
        any_view: whether DICOM files of lateral views and of other parts of the body are read too.

    Yields:
        The results, in the order of the list.

    Raises:
        Unreadable: the operating system could not read a file, which may be intact.
    """
    read = functools.partial(_read, images, image_shape=image_shape, depth=depth, any_view=any_view)
    pool = concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    waiting: collections.deque[concurrent.futures.Future[FileRead]] = collections.deque()
    try:
        for path in itertools.islice(images.paths, begun, None):
            waiting.append(pool.submit(read, path))
            if len(waiting) == _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(
    images: ImageList, path: str, *, image_shape: Sequence[int], depth: int | None, any_view: bool
) -> FileRead:
    if reason := images.left_out.get(path):
        return FileRead(path, None, reason=reason)
    place = images.place(path)
    try:
        radiograph = reading.read(place, depth=depth, any_view=any_view)
    except NotARadiograph as error:
        return FileRead(path, None, reason=str(error))
    except (PermissionError, IsADirectoryError, NotADirectoryError) as error:  # This one alone.
        return FileRead(path, None, reason=f"cannot be read ({error.strerror})")
    except OSError as error:
        raise unreadable(place, error.strerror or str(error)) from error
    image = reading.resized(radiograph.pixels, image_shape)
    return FileRead(path, image, remarks="; ".join(radiograph.remarks))

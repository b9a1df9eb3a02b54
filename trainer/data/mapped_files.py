"""Files mapped into memory as one tensor: the system's page cache is the only copy of them.

All processes of a machine share it, nothing has to be filled, and what the memory has no room for
is read again. TensorFlow's own operations copy from it, without Python and its lock.
"""

import ctypes
import functools
import mmap
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Of mmap(2) on Linux.
_NONE, _READ = 0, 1
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS = 0x01, 0x02, 0x10, 0x20
_FAILED = ctypes.c_void_p(-1).value
# TensorFlow's name for a variable that lives as long as its handle.
_ANONYMOUS_VARIABLE = "cd2c89b7-88b7-44c8-ad83-06c2a9158347"


class MappedFiles:
    """Files that lie behind each other in one tensor of bytes.

    Attributes:
        starts: `[files] int64`, where each begins.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        """Maps files.

        Args:
            paths: the files.

        Raises:
            OSError: one could not be mapped.
        """
        sizes = [os.stat(path).st_size for path in paths]
        pages = [-(-size // mmap.PAGESIZE) * mmap.PAGESIZE for size in sizes]
        self.starts = np.cumsum([0, *pages], dtype=np.int64)[:-1]
        base = _map(None, max(sum(pages), 1), _NONE, _PRIVATE | _ANONYMOUS, -1)
        for path, size, start in zip(paths, sizes, self.starts.tolist(), strict=True):
            if size:
                with open(path, "rb") as file:
                    _map(base + start, size, _READ, _SHARED | _FIXED, file.fileno())
        content = (ctypes.c_uint8 * sum(pages)).from_address(base)
        tensor = tf.experimental.dlpack.from_dlpack(np.ctypeslib.as_array(content).__dlpack__())
        # A variable: tf.data copies each tensor that a function captures into its graph.
        with tf.device("CPU:0"):
            self._variable = tf.raw_ops.VarHandleOp(
                dtype=tf.uint8, shape=tensor.shape, shared_name=_ANONYMOUS_VARIABLE
            )
            tf.raw_ops.AssignVariableOp(resource=self._variable, value=tensor)

    @property
    def _content(self) -> tf.Tensor:
        """The bytes of all files, which neither assigning nor reading the variable copies."""
        return tf.raw_ops.ReadVariableOp(resource=self._variable, dtype=tf.uint8)

    def rows(self, offsets: tf.Tensor, size: int) -> tf.Tensor:
        """Copies as many bytes from each of some places.

        Args:
            offsets: `[rows] int64`, with a static shape.
            size: bytes from each.

        Returns:
            `[rows, size] uint8`.
        """
        # Where an offset is a multiple of 64, a slice is a view, and the bytes are copied once.
        content = self._content
        parts = [tf.slice(content, at, [size]) for at in tf.unstack(offsets[:, None])]
        return tf.reshape(tf.concat(parts, 0), [-1, size])

    def texts(self, offsets: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Copies a text from each of some places.

        Args:
            offsets: `[rows] int64`, with a static shape.
            lengths: `[rows] int64`, bytes of each.

        Returns:
            `[rows] string`.
        """
        content, texts = self._content, []
        for at, length in zip(tf.unstack(offsets), tf.unstack(lengths), strict=True):
            # The one operation that makes a string of bytes: it puts a header in front of them.
            message = tf.io.serialize_tensor(tf.slice(content, [at], [length]))
            texts.append(tf.strings.substr(message, -tf.cast(length, tf.int32),
                                           tf.cast(length, tf.int32)))  # fmt: skip
        return tf.stack(texts)


def map_files(paths: Sequence[str]) -> MappedFiles:
    """Maps files, each version of them once: they stay mapped as long as the process lives.

    Args:
        paths: the files.

    Raises:
        OSError: one could not be mapped.
    """
    stats = [os.stat(path) for path in paths]
    return _mapped(tuple(paths), tuple((s.st_size, s.st_mtime_ns, s.st_ino) for s in stats))


@functools.cache
def _mapped(paths: tuple[str, ...], versions: tuple) -> MappedFiles:
    return MappedFiles(paths)


def _map(address: int | None, size: int, access: int, kind: int, file: int) -> int:
    found = _mmap()(address, size, access, kind, file, 0)
    if found == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


@functools.cache
def _mmap() -> "ctypes._FuncPointer":
    """mmap(2), as Python's own cannot choose the address."""
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    return function

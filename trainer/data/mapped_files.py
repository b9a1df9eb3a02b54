"""Files mapped into memory as one tensor, backed by the operating system's page cache only.

All processes of a machine share the pages, no cache has to be filled, and evicted pages are read
again. TensorFlow operations copy from the tensor without holding Python's GIL.
"""

import ctypes
import functools
import mmap
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# Constants of mmap(2) on Linux.
_NONE, _READ = 0, 1
_SHARED, _PRIVATE, _FIXED, _ANONYMOUS = 0x01, 0x02, 0x10, 0x20
_FAILED = ctypes.c_void_p(-1).value
# TensorFlow's name for a variable whose lifetime is that of its handle.
_ANONYMOUS_VARIABLE = "cd2c89b7-88b7-44c8-ad83-06c2a9158347"


class MappedFiles:
    """Files concatenated in one tensor of bytes.

    Attributes:
        starts: `[files] int64`, the offset of each file.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        """Maps files.

        Args:
            paths: the files.

        Raises:
            OSError: a file could not be mapped.
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
        # A variable, because tf.data copies each tensor that a function captures into its graph.
        with tf.device("CPU:0"):
            self._variable = tf.raw_ops.VarHandleOp(
                dtype=tf.uint8, shape=tensor.shape, shared_name=_ANONYMOUS_VARIABLE
            )
            tf.raw_ops.AssignVariableOp(resource=self._variable, value=tensor)

    @property
    def _content(self) -> tf.Tensor:
        """The bytes of all files; neither assigning nor reading the variable copies them."""
        return tf.raw_ops.ReadVariableOp(resource=self._variable, dtype=tf.uint8)

    def rows(self, offsets: tf.Tensor, size: int) -> tf.Tensor:
        """Copies a fixed number of bytes from each of several offsets.

        Args:
            offsets: `[rows] int64`, of static shape.
            size: number of bytes per row.

        Returns:
            `[rows, size] uint8`.
        """
        # If an offset is a multiple of 64, the slice is a view, and the bytes are copied only once.
        content = self._content
        parts = [tf.slice(content, at, [size]) for at in tf.unstack(offsets[:, None])]
        return tf.reshape(tf.concat(parts, 0), [-1, size])

    def texts(self, offsets: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Copies a byte string from each of several offsets.

        Args:
            offsets: `[rows] int64`, of static shape.
            lengths: `[rows] int64`, number of bytes of each string.

        Returns:
            `[rows] string`.
        """
        content, texts = self._content, []
        for at, length in zip(tf.unstack(offsets), tf.unstack(lengths), strict=True):
            # The only operation that turns bytes into a string; it expects a header in front of
            # them.
            message = tf.io.serialize_tensor(tf.slice(content, [at], [length]))
            texts.append(tf.strings.substr(message, -tf.cast(length, tf.int32),
                                           tf.cast(length, tf.int32)))  # fmt: skip
        return tf.stack(texts)


def map_files(paths: Sequence[str]) -> MappedFiles:
    """Maps files, each version once; they stay mapped for the lifetime of the process.

    Args:
        paths: the files.

    Raises:
        OSError: a file could not be mapped.
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
    """Returns mmap(2) of the C library, as Python's own version cannot choose the address."""
    function = ctypes.CDLL(None, use_errno=True).mmap
    function.restype = ctypes.c_void_p
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    return function

"""Reads an HDF5 file's headers in a process of its own, within bounds of time and memory.

On a damaged file the HDF5 library may loop without end or take any amount of memory, and no signal
ends it inside a process. This module is also that process: the file comes on standard input.
"""

import io
import os
import resource
import subprocess
import sys

import h5py

_MOST_SECONDS = 60
_MOST_BYTES = 1 << 30


def claimed_bytes(content: bytes) -> int:
    """How many bytes all arrays of an HDF5 file would take in memory: any number, by its headers.

    Args:
        content: of the file.

    Raises:
        ValueError: it is no such file, or none whose headers can be read within bounds.
    """
    # Not as a module: that would import the package's, and -P keeps them from being h5py's.
    command = [sys.executable, "-P", __file__]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    try:
        done = subprocess.run(  # noqa: S603
            command, input=content, capture_output=True, timeout=_MOST_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"the HDF5 library did not come to its end in {_MOST_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise ValueError(said or f"the HDF5 library ended with code {done.returncode}")
    return int(done.stdout)


def _read_headers(content: bytes) -> int:
    sizes = []

    def read(name: str, item: h5py.HLObject) -> None:
        list(item.attrs.values())
        if isinstance(item, h5py.Dataset):
            sizes.append(item.nbytes)

    with h5py.File(io.BytesIO(content)) as file:
        read("/", file)
        file.visititems(read)
    return sum(sizes)


def _main() -> int:
    content = sys.stdin.buffer.read()
    most = _MOST_BYTES + 4 * len(content)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    try:
        print(_read_headers(content))
    except Exception as error:  # Whatever h5py raises.
        said = str(error).splitlines() or [type(error).__name__]
        print(said[0], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())

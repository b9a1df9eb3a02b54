"""Reads an HDF5 file's headers in a child process with limits on time and memory.

On a damaged file the HDF5 library may loop forever or allocate any amount of memory, and a signal
cannot stop it inside the process. This module is also the child's script, which reads the file from
standard input.
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
    """Returns the total size of all arrays of an HDF5 file according to its headers.

    Args:
        content: content of the file.

    Raises:
        ValueError: it is not an HDF5 file, or its headers cannot be read within the limits.
    """
    # Run as a script, not with `-m`, which would import the package; -P keeps sibling modules from
    # shadowing those that h5py imports.
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
    except Exception as error:  # h5py raises many types.
        said = str(error).splitlines() or [type(error).__name__]
        print(said[0], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())

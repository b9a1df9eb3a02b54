"""What a launcher shows. Its work does not depend on somebody reading it."""

import os
import sys
from typing import TextIO


def say(text: str) -> None:
    """Writes a line to stderr."""
    show(text + "\n", sys.stderr)


def show(text: str, stream: TextIO | None) -> None:
    """Writes to a stream; once its reader has left, or its disk is full, goes on in silence.

    Args:
        text: what to write.
        stream: stdout or stderr; None if it was closed before this process began.
    """
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

"""Readable errors for a lack of memory, of the host or of a GPU."""

import contextlib
import re
from collections.abc import Iterator

from cxr_command.foreign_text import first_line
from trainer.errors import UserError

# TensorFlow raises the same type for a full disk; XLA and cuDNN raise other types.
_OF_MEMORY = re.compile(r"\bOOM\b|out.of.memory|ALLOC_FAILED|failed to allocate", re.IGNORECASE)

_FREE_SOME = "end other programs, or leave a GPU that is too small out: CUDA_VISIBLE_DEVICES=-1"


@contextlib.contextmanager
def memory_told(work: str, advice: str = _FREE_SOME) -> Iterator[None]:
    """Turns a lack of memory into a user error.

    Args:
        work: what needs the memory, phrased to follow "to".
        advice: what the user can do, as a clause.

    Raises:
        UserError: there was not enough memory.
    """
    try:
        yield
    except Exception as error:
        if not is_of_memory(error):
            raise
        # The first line of an error raised by a graph only says that it comes from a graph.
        lines = [line.strip() for line in str(error).splitlines() if _OF_MEMORY.search(line)]
        said = lines[0] if lines else first_line(error)
        raise UserError(f"there is not enough memory to {work} ({said}); {advice}") from error


def is_of_memory(error: Exception) -> bool:
    """Whether an error of Python or TensorFlow reports a lack of memory."""
    of_tensorflow = type(error).__module__.startswith("tensorflow")
    return isinstance(error, MemoryError) or of_tensorflow and bool(_OF_MEMORY.search(str(error)))

"""A lack of memory, of the host or of a GPU, told in a sentence."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from cxr_command.foreign_text import first_line
from trainer.errors import UserError

# TensorFlow's error for it is that of full disks too, and XLA and cuDNN have others.
_OF_MEMORY = re.compile(r"\bOOM\b|out.of.memory|ALLOC_FAILED|failed to allocate", re.IGNORECASE)

_FREE_SOME = "end other programs, or leave a GPU that is too small out: CUDA_VISIBLE_DEVICES=-1"


@contextlib.contextmanager
def memory_told(work: str, advice: str = _FREE_SOME) -> Iterator[None]:
    """While open, a lack of memory is the user's to mend.

    Args:
        work: what needs the memory, after "to".
        advice: what the user can do, a clause.

    Raises:
        UserError: there was not enough.
    """
    try:
        yield
    except MemoryError as error:
        raise UserError(_sentence(work, first_line(error), advice)) from error
    except tf.errors.OpError as error:
        if not is_of_memory(error):
            raise
        # The first line of what a graph raises says only that it is one.
        said = [line.strip() for line in error.message.splitlines() if _OF_MEMORY.search(line)]
        raise UserError(_sentence(work, said[0], advice)) from error


def is_of_memory(error: tf.errors.OpError) -> bool:
    """Whether an error of TensorFlow is a lack of memory."""
    return bool(_OF_MEMORY.search(error.message))


def _sentence(work: str, said: str, advice: str) -> str:
    return f"there is not enough memory to {work} ({said}); {advice}"

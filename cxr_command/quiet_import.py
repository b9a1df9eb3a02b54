"""Imports TensorFlow without the messages that none of its settings silences.

Messages of its C++ code before its logging starts ignore TF_CPP_MIN_LOG_LEVEL:
https://github.com/tensorflow/tensorflow/issues/100442.
"""

import contextlib
import importlib.abc
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType

# Lines of severity INFO, and the line that announces them.
_NOISE = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)")


def install() -> None:
    """Filters the messages of this process' first import of TensorFlow.

    Warnings and errors are still shown after the import, and everything if it fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules and sys.stderr:  # None if file descriptor 2 is closed.
        sys.meta_path.insert(0, _QuietFinder())


class _QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow like Python does, once, and buffers what its import writes."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_quietly(module: ModuleType) -> None:
            with _noise_left_out():
                execute(module)

        spec.loader.exec_module = execute_quietly  # type: ignore[method-assign]
        return spec


@contextlib.contextmanager
def _noise_left_out() -> Iterator[None]:
    """Buffers what is written to file descriptor 2, then writes it without the noise."""
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        shows_all = False
        try:
            yield
        except BaseException:
            shows_all = True
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held_back.seek(0)
            lines = [line for line in held_back if shows_all or not _NOISE.match(line)]
            with contextlib.suppress(OSError):  # The reader may have gone.
                os.write(2, b"".join(lines))

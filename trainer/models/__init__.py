"""The four networks: `build(name)` returns a Keras model of built-in layers only."""

from trainer.models.architecture import Architecture
from trainer.models.networks import NAMES, build

__all__ = ["NAMES", "Architecture", "build"]

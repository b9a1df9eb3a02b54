"""The four networks: `build(name)` returns a Keras model of built-in layers only."""

from trainer.models.backbones import HEADS
from trainer.models.networks import NAMES, build

__all__ = ["HEADS", "NAMES", "build"]

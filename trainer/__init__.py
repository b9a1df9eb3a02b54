"""Trains, evaluates and explains classifiers of chest radiographs (research use only)."""

import importlib.metadata
import os

import cxr_command  # noqa: F401 - prepares standard streams and TensorFlow's import

# oneDNN's kernels are faster on every processor that TensorFlow runs on, and off on those without
# AVX-512 unless this is set before TensorFlow is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

try:
    __version__ = importlib.metadata.version("cxr-trainer")
except importlib.metadata.PackageNotFoundError:
    __version__ = "unknown"  # Run from its sources, not installed.

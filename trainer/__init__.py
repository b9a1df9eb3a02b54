"""Trains, judges and explains classifiers of chest radiographs (research use only)."""

import os

# TensorFlow's start-up messages, read when it is imported; its errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

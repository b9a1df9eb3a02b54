"""The content of a run's config.json: everything that its result depends on."""

import dataclasses
import math
import os
import platform
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from trainer.data.example_stream import ExampleStream
from trainer.data.examples import count_sources
from trainer.diagnosis import facts, gpus
from trainer.hardware import Hardware
from trainer.training.phases import Phase
from trainer.training.request import Request

_XLA_FLAGS = ("XLA_FLAGS", "TF_XLA_FLAGS")


def describe_training(
    request: Request,
    hardware: Hardware,
    model: keras.Model,
    phases: Sequence[Phase],
    feature_cache: str,
    examples: tuple[ExampleStream, ExampleStream],
) -> dict[str, Any]:
    """Describes a training for config.json.

    Args:
        request: the requested training.
        hardware: the resolved hardware.
        model: the trained model, set up for its first phase.
        phases: its phases.
        feature_cache: whether features are cached, and why.
        examples: the training and the validation split.

    Returns:
        Plain values, the content of config.json.
    """
    return {
        "config": request.config.fixed(),
        "hardware": hardware.summary() | _describe_gpus(hardware),
        "dataset": _describe_data(request, *examples),
        "weights": request.weights,
        "parameters": {
            "total": model.count_params(),
            "trainable": sum(math.prod(v.shape) for v in model.trainable_variables),
        },
        "feature_cache": feature_cache,
        "phases": [dataclasses.asdict(phase) for phase in phases],
        "versions": _versions(),
    }


def _describe_gpus(hardware: Hardware) -> dict[str, Any]:
    if not hardware.has_gpus:
        return {}
    found = gpus.describe(facts.gather())
    libraries = ", ".join(f"{name} {version}" for name, version in found["libraries"].items())
    logging.info("GPUs: %s; driver %s; %s", ", ".join(found["names"]), found["driver"], libraries)
    return {"gpus": found, "xla_flags": {name: os.environ.get(name, "") for name in _XLA_FLAGS}}


def _describe_data(
    request: Request, train: ExampleStream, validation: ExampleStream
) -> dict[str, Any]:
    return {
        "class_names": request.dataset.class_names,
        "image_shape": request.dataset.image_shape,
        "train_examples": train.size,
        "validation_examples": validation.size,
        "data_hosts": request.data_hosts,
        "cache": {"train": train.cache, "validation": validation.cache},
        "digests": request.dataset.digests(),
        **_describe_sources(request),
    }


def _describe_sources(request: Request) -> dict[str, Any]:
    """Counts the sampled examples by split, class and source, if --source_share is set."""
    if request.dataset.source_mix is None:
        return {}
    source = request.config.source
    splits = {"train": source.train_split, "validation": source.validation_split}
    return {
        "sources": {name: count_sources(request.dataset, split) for name, split in splits.items()}
    }


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tensorflow_datasets": tfds.__version__,
        "numpy": np.__version__,
    }

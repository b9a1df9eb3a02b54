"""Runs trainer.main on CPUs that simulate GPUs with little memory and without XLA convolutions.

    python -m tests.support.train_as_on_gpus --model=lenet ...

A replica holds four images, and XLA finds no kernel, as with cuDNN 9.3 to 9.5.
"""

import dataclasses

import tensorflow as tf

from trainer import hardware, main
from trainer.training import step_trial

_IMAGES_HELD = 4
_build, _resolve = step_trial.build_engine, hardware.resolve


def build_as_on_gpus(phase, *, config, devices, **others):
    if config.batching.global_batch_size > _IMAGES_HELD:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
    if devices.xla:
        said = "Graph execution error:\n\nAutotuner could not find any supported configs"
        raise tf.errors.NotFoundError(None, None, said)
    return _build(phase, config=config, devices=devices, **others)


def resolve_as_on_gpus(asked, *, deterministic=False):
    return dataclasses.replace(_resolve(asked, deterministic=deterministic), xla=True)


if __name__ == "__main__":
    step_trial.build_engine, hardware.resolve = build_as_on_gpus, resolve_as_on_gpus
    hardware.Hardware.has_gpus = property(lambda self: True)
    main.start()

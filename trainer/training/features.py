"""Runs a frozen backbone once over the data, so that epochs only train the head.

This requires a recipe whose only augmentation, if any, is the horizontal flip: an image then has at
most two views, and the features of both cover every epoch.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from trainer.data.augment import Augmentation
from trainer.data.cache_folder import cache_root, free_bytes
from trainer.data.dataset import BuiltDataset
from trainer.data.example_stream import ExampleStream
from trainer.data.feature_cache import FeatureCache
from trainer.data.input import distribute_batches
from trainer.data.selection import select
from trainer.errors import Preempted, UserError
from trainer.hardware import Hardware
from trainer.models.backbones import BACKBONES
from trainer.models.cut import frozen_part, weights_digest
from trainer.progress_line import ProgressLine
from trainer.training.config import Config
from trainer.training.interruption import StopRequest
from trainer.training.phases import Phase
from trainer.training.traced_once import (
    TracedOnce,
    replica_index,
    shared_device,
    specs_of_replica,
)
from trainer.training.vectors import Packing, bind

# Increase when the same network would give different features.
_VERSION = 2
# Images per replica and view in each forward pass of the backbone.
BATCH = 32
# 200 MB for ResNet-101 in float32.
_LEAST_ROWS_PER_SHARD = 256
# Largest share of the free disk that `auto` uses for features.
_AUTO_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class FrozenFeatures:
    """A frozen backbone and its cached features.

    Attributes:
        backbone: model from radiographs to features.
        train: the features of the training split, for all views it needs.
        validation: the features of the validation split.
    """

    backbone: keras.Model
    train: FeatureCache
    validation: FeatureCache

    def compute(
        self,
        train_examples: ExampleStream,
        validation_examples: ExampleStream,
        hardware: Hardware,
        stop_request: StopRequest,
    ) -> tuple[ExampleStream, ExampleStream]:
        """Computes the features missing from the cache, on all replicas.

        Args:
            train_examples: the training split's images.
            validation_examples: the validation split's images.
            hardware: the hardware to run the backbone on.
            stop_request: request to stop after a batch.

        Returns:
            Training and validation examples with features in place of images.

        Raises:
            Preempted: a stop was requested; the shards written so far are kept.
            UserError: the disk is full.
        """
        splits = (self.train, train_examples), (self.validation, validation_examples)

        run = _Backbone(self.backbone, hardware)
        with stop_request.on_signals():
            for cache, examples in splits:
                _complete(cache, examples, run, hardware, stop_request)
        return self.train.examples(train_examples), self.validation.examples(validation_examples)


def plan_features(
    config: Config,
    phases: tuple[Phase, ...],
    dataset: BuiltDataset,
    model: keras.Model,
    hardware: Hardware,
) -> tuple[FrozenFeatures | None, str]:
    """Decides whether features are cached; also returns the reason.

    Args:
        config: the run's configuration.
        phases: its phases, in order.
        dataset: the dataset to train on.
        model: the network, with its initial weights.
        hardware: the hardware to train on.

    Returns:
        The features, or None if every epoch runs the whole network; and the reason.

    Raises:
        UserError: `--feature_cache=on` is not possible.
    """
    if config.source.feature_cache == "off":
        return None, "off, as requested"
    features, obstacle = None, find_obstacle(config, phases, hardware)
    if not obstacle:
        features = _frozen_features(config, dataset, model, hardware)
        share = _AUTO_SHARE if config.source.feature_cache == "auto" else 1
        obstacle = _lack_of_room(features, share)
    if obstacle and config.source.feature_cache == "on":
        raise UserError(f"--feature_cache=on: {obstacle}; use --feature_cache=off")
    if obstacle:
        logging.info("feature cache: off, because %s", obstacle)
        return None, f"off, because {obstacle}"
    reason = "on, because the backbone is frozen and the flip is the only augmentation"
    logging.info("feature cache: %s", reason)
    return features, reason


def find_obstacle(config: Config, phases: tuple[Phase, ...], hardware: Hardware) -> str | None:
    """Returns why cached features would be invalid, as a clause; None if they are valid."""
    if config.task.model not in BACKBONES:
        return f"{config.task.model} has no backbone to freeze"
    if any(phase.trained_from is not None for phase in phases):
        return "the backbone is trained"
    is_flipped = config.augmentation.flip
    if config.batch_augmentation.keras_cv or config.augmentation != Augmentation(flip=is_flipped):
        return "training images are augmented by more than a flip"
    if hardware.workers > 1:
        # Each worker would decide by its own disk, but all must train the same network.
        return "several workers train together"
    return None


def _complete(
    cache: FeatureCache,
    examples: ExampleStream,
    run: "_Backbone",
    hardware: Hardware,
    stop_request: StopRequest,
) -> None:
    """Computes the rows missing from the cache, or waits for another process that is doing so."""

    def stop_if_asked(done: int = 0) -> None:
        if stop_request.value():
            raise Preempted(
                f"with the features of {done} of {examples.size} images of {cache.split} computed, "
                "as requested; the same command resumes from there"
            )

    with cache.locked(stop_if_asked):
        if not cache.is_whole():
            done = cache.begin()
            logging.info(
                "features of %s: %.0f MB, of which %d of %d images are there",
                cache.split, cache.bytes_needed / 1e6, done, examples.size,
            )  # fmt: skip
            _fill(cache, examples.in_file_order(), run, hardware, stop_if_asked, done)
            cache.finish()
    logging.info("features of %s: %s", cache.split, cache.folder)


def _fill(
    cache: FeatureCache,
    examples: ExampleStream,
    run: "_Backbone",
    hardware: Hardware,
    stop_if_asked: Callable[[int], None],
    done: int,
) -> None:
    batch_size = BATCH * hardware.num_replicas
    first_step, steps = done // batch_size, examples.steps_per_epoch(batch_size)
    batches = iter(
        distribute_batches(examples, hardware.strategy, batch_size, start=(0, first_step))
    )
    run.trace(specs_of_replica(batches)["image"])
    run_views = _on_replicas(run, cache.views, hardware)
    line = ProgressLine(f"features of {cache.split}", steps - first_step, batch_size)
    waiting, skipped = [], done - first_step * batch_size
    for step in range(first_step, steps):
        features = run_views(next(batches))[skipped:]
        waiting, skipped = [*waiting, features], 0
        rows = sum(map(len, waiting))
        line.show(step + 1 - first_step)
        if rows >= _LEAST_ROWS_PER_SHARD or step + 1 == steps:
            cache.write(done, np.concatenate(waiting))
            done, waiting = done + rows, []
        stop_if_asked(done)
    line.clear()


class _Backbone:
    """A backbone with its weights copied to every replica; traced once for all of them."""

    def __init__(self, backbone: keras.Model, hardware: Hardware) -> None:
        self._packing = Packing(backbone.weights, backbone.weights[0].dtype)
        self._backbone = backbone
        self._weights = []
        devices = hardware.strategy.extended.worker_devices
        for device in devices:
            with tf.device(device):
                self._weights.append(tf.Variable(self._packing.values(), trainable=False))
        self._run = TracedOnce(
            self._features,
            jit_compile=hardware.xla,
            device=shared_device(devices),
        )

    def trace(self, images: tf.TensorSpec) -> None:
        self._run.trace(tf.TensorSpec([self._packing.size], self._packing.dtype), images)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Returns the features of a replica's images. Called in replica context."""
        return self._run(self._weights[replica_index(len(self._weights))].read_value(), images)

    def _features(self, vector: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        arrays = self._packing.unpack(vector)
        with bind([self._packing], [arrays]):
            return self._backbone(images, training=False)


def _on_replicas(run: "_Backbone", views: int, hardware: Hardware) -> Callable:
    """Returns a function from a distributed batch to features, `[rows, views, width]`, unpadded."""

    def of_replica(batch: dict) -> tf.Tensor:
        seen = [batch["image"], tf.reverse(batch["image"], axis=[2])][:views]
        return tf.stack([run(images) for images in seen], axis=1)

    @tf.function
    def of_all(batch: dict) -> tf.distribute.DistributedValues:
        return hardware.strategy.run(of_replica, args=(batch,))

    def run_views(batch: dict) -> np.ndarray:
        local = hardware.strategy.experimental_local_results
        features = np.concatenate([part.numpy() for part in local(of_all(batch))])
        weights = np.concatenate([part.numpy() for part in local(batch["weight"])])
        return features[weights > 0]

    return run_views


def _frozen_features(
    config: Config, dataset: BuiltDataset, model: keras.Model, hardware: Hardware
) -> FrozenFeatures:
    backbone = frozen_part(model)
    key = {
        "version": _VERSION,
        "model": config.task.model,
        "weights_sha256": weights_digest(backbone),
        "scaling": config.network.scaling,
        "precision": hardware.precision,
        "xla": hardware.xla,
        "dataset": dataset.name,
        "image_shape": dataset.image_shape,
    }

    def cache(split: str, views: int) -> FeatureCache:
        depends_on = {"split": split, "views": views, "content": select(dataset, split).digest}
        return FeatureCache(
            dataset, split, key | depends_on,
            views=views, width=backbone.output.shape[-1], dtype=backbone.output.dtype,
        )  # fmt: skip

    views = 2 if config.augmentation.flip else 1
    source = config.source
    return FrozenFeatures(
        backbone, cache(source.train_split, views), cache(source.validation_split, 1)
    )


def _lack_of_room(features: FrozenFeatures, share: float) -> str | None:
    """Returns why the disk is too full if only a share of the free space may be used; or None."""
    needed = features.train.bytes_missing + features.validation.bytes_missing
    if needed <= share * free_bytes():
        return None
    return (
        f"the features need {needed / 1e6:.0f} MB in {cache_root()}, where "
        f"{share * free_bytes() / 1e6:.0f} MB may be taken: make room, or set CXR_CACHE_DIR to "
        "another disk"
    )

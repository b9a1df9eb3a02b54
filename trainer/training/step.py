"""Forward and backward pass of one replica as pure functions of tensors.

Nothing here reads or writes a variable: weights are passed in as vectors, gradients and moving
statistics are returned as vectors. One trace, and one compilation per device, therefore serves
every replica.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.data.augment import augment
from trainer.models.taps import Taps
from trainer.training.computation import Computation
from trainer.training.dropout import training_network
from trainer.training.execution import Execution
from trainer.training.metrics import count, count_not_finite, empty_sums
from trainer.training.vectors import Vectors, bind, count_trained


class Signals(NamedTuple):
    """Scalars that are summed over the replicas beside gradients and moving statistics.

    Attributes:
        weight: the mean weight of a replica's rows, times the loss scale.
        not_finite: the number of losses that are not finite.
        stop_asked: 1 if a stop was requested in a process.
    """

    weight: tf.Tensor
    not_finite: tf.Tensor
    stop_asked: tf.Tensor


NUM_SIGNALS = len(Signals._fields)


class Step:
    """The training step and the evaluation step of a model."""

    def __init__(
        self,
        model: keras.Model,
        packings: Vectors,
        computation: Computation,
        execution: Execution,
    ) -> None:
        """Prepares both steps; traces nothing.

        Args:
            model: a model of `trainer.models.build`.
            packings: packings of its weights.
            computation: what the steps compute.
            execution: how the steps are executed.
        """
        start = computation.start
        self._packings, self._objective = packings, computation.objective
        self._network = keras.Model(model.input if start is None else start, Taps(model).logits)
        self._inputs = "image" if start is None else "features"
        self._training_network = training_network(model, start)
        self._augmentation = computation.augmentation
        self._accumulation_steps = execution.accumulation_steps
        self._dtype = packings.decayed.dtype
        self._num_trained = count_trained(packings)
        self._reduce_dtype = execution.reduce_dtype or self._dtype

    def train(
        self, vectors: Vectors, batch: dict, scale: tf.Tensor, stop_asked: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """One replica's part of a training step.

        Args:
            vectors: the weights.
            batch: `image` or `features`, `label` or `soft_label`, `weight` and `draws` of the
                replica.
            scale: the loss scale, a float32 scalar.
            stop_asked: 1 if a stop was requested in this process, else 0; a float32 scalar.

        Returns:
            The values to sum over the replicas, one vector per dtype: `NUM_SIGNALS` signals,
            statistics and gradients; and the sums of `metrics.count`.
        """
        arrays = self._unpack(vectors)
        if self._accumulation_steps == 1:
            gradients, statistics, sums = self._micro_batch(
                arrays, vectors.statistics, batch, scale
            )
        else:
            gradients, statistics, sums = self._accumulate(arrays, vectors.statistics, batch, scale)
        # Averaging over this replica's rows keeps values within float16's range. The update divides
        # the sum of these means by the sum of the mean weights, which gives the mean over all
        # examples.
        weight = tf.reduce_mean(tf.cast(batch["weight"], self._dtype))
        signals = Signals(weight * tf.cast(scale, self._dtype), count_not_finite(sums), stop_asked)
        signals = tf.stack([tf.cast(signal, self._dtype) for signal in signals])
        if self._reduce_dtype == self._dtype:
            return [tf.concat([signals, statistics, gradients], axis=0)], sums
        # Statistics and signals need full precision, and are few.
        return [
            tf.concat([signals, statistics], axis=0),
            tf.cast(gradients, self._reduce_dtype),
        ], sums

    def split_reduced(self, reduced: list[tf.Tensor]) -> tuple[Signals, tf.Tensor, tf.Tensor]:
        """Splits the reduced output of `train` into signals, statistics and gradients."""
        whole = tf.concat([tf.cast(vector, self._dtype) for vector in reduced], axis=0)
        signals, statistics, gradients = tf.split(
            whole, [NUM_SIGNALS, self._packings.statistics.size, self._num_trained]
        )
        return Signals(*tf.unstack(signals)), statistics, gradients

    def evaluate(self, vectors: Vectors, batch: dict) -> tf.Tensor:
        """Computes the metric sums of a replica's batch.

        Args:
            vectors: the weights.
            batch: `image` or `features`, `label` and `weight` of the replica.
        """
        with bind(self._packings, self._unpack(vectors)):
            logits = self._network(batch[self._inputs], training=False)
        losses = self._objective.eval_losses(batch["label"], logits)
        return count(losses, logits, batch)

    def _unpack(self, vectors: Vectors) -> Vectors:
        pairs = zip(self._packings, vectors, strict=True)
        return Vectors(*(packing.unpack(vector) for packing, vector in pairs))

    def _accumulate(
        self, arrays: Vectors, statistics: tf.Tensor, batch: dict, scale: tf.Tensor
    ) -> tuple:
        """Runs the micro-batches in sequence; the gradients are those of the whole batch."""
        micro_batches = self._accumulation_steps
        rows = batch["label"].shape[0] // micro_batches
        parts = {
            name: tf.reshape(column, [micro_batches, rows, *column.shape[1:]])
            for name, column in batch.items()
        }
        gradients = tf.zeros([self._num_trained], self._dtype)
        sums = empty_sums(self._network.output.shape[-1])
        for index in tf.range(micro_batches):
            of_part, statistics, part_sums = self._micro_batch(
                arrays, statistics, {name: part[index] for name, part in parts.items()}, scale
            )
            gradients += of_part / micro_batches
            sums += part_sums
        return gradients, statistics, sums

    def _micro_batch(
        self, arrays: Vectors, statistics: tf.Tensor, batch: dict, scale: tf.Tensor
    ) -> tuple:
        packings = self._packings
        arrays = arrays._replace(statistics=packings.statistics.unpack(statistics))
        trained = [*arrays.decayed, *arrays.undecayed]
        inputs = batch[self._inputs]
        if self._augmentation:
            inputs = augment(inputs, batch["draws"], self._augmentation)
        with bind(packings, arrays) as scope, tf.GradientTape() as tape:
            tape.watch(trained)
            logits = self._training_network(inputs, batch.get("draws"))
            labels = batch.get("soft_label", batch["label"])
            losses = self._objective.train_losses(labels, logits)
            weights = tf.cast(batch["weight"], losses.dtype)
            scaled_loss = tf.reduce_mean(losses * weights) * tf.cast(scale, losses.dtype)
        gradients = tape.gradient(scaled_loss, trained)
        moved = [scope.get_current_value(variable) for variable in packings.statistics.variables]
        return (
            _join(gradients, self._dtype),
            packings.statistics.pack(moved),
            count(losses, logits, batch),
        )


def _join(arrays: list[tf.Tensor], dtype: str) -> tf.Tensor:
    return tf.concat([tf.reshape(tf.cast(array, dtype), [-1]) for array in arrays], axis=0)

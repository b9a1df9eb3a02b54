"""The training engine: one step on every replica, many steps in one call.

Only one replica's forward and backward pass is compiled by XLA; the reduction of the gradients and
the optimizer's update stay outside, because a collective inside a compiled function fails and a
variable of another replica is out of its reach. Keras' optimizers and losses do the arithmetic.
"""

import keras
import tensorflow as tf

from trainer.data import augment
from trainer.training.loss_scale import DynamicLossScale
from trainer.training.metrics import Totals


class Engine:
    """Trains and evaluates one model under one strategy."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        xla: bool,
        flip: bool = False,
        time_input: bool = True,
        loss_scale: DynamicLossScale | None = None,
    ) -> None:
        """Prepares the step; nothing is traced before the first call.

        Args:
            strategy: the strategy in whose scope the model, the optimizer and the loss scale were
                made.
            model: a model of `trainer.models.build`.
            optimizer: a Keras optimizer, not yet built or built on the model's trainable weights.
            xla: whether XLA compiles the forward and backward pass.
            flip: whether training images are flipped by their draws.
            time_input: whether the wait for each batch is timed; a deterministic TensorFlow
                refuses to read the clock in a graph.
            loss_scale: the loss scale for float16; None scales nothing.
        """
        self._strategy = strategy
        self._network = keras.Model(model.input, model.get_layer("logits").output)
        self._optimizer = optimizer
        self._loss_scale = loss_scale
        self._flip = flip
        self._time_input = time_input
        self._loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction=None, dtype=self._network.output.dtype
        )
        self._weights = [variable.value for variable in model.trainable_variables]
        self._moving_statistics = _moving_statistics(model)
        with strategy.scope():
            optimizer.build(model.trainable_variables)
        # The engine hands the optimizer gradients that are summed already.
        optimizer._all_reduce_sum_gradients = lambda gradients_and_weights: gradients_and_weights
        self._train_totals, self._eval_totals = Totals(strategy), Totals(strategy)
        self._forward_backward = tf.function(self._forward_backward, jit_compile=xla)
        self._forward = tf.function(self._forward, jit_compile=xla)
        self._train = tf.function(self._train)
        self._evaluate = tf.function(self._evaluate)
        self._average_moving_statistics = tf.function(self._average_moving_statistics)

    def train(self, iterator: tf.distribute.DistributedIterator, steps: int) -> None:
        """Takes steps in the graph, without a word to the host.

        Args:
            iterator: over `distribute_batches`, with draws.
            steps: the number of steps.
        """
        self._train(iterator, tf.constant(steps))

    def evaluate(self, iterator: tf.distribute.DistributedIterator, steps: int) -> None:
        """Adds batches to the evaluation totals.

        Args:
            iterator: over `distribute_batches`.
            steps: the number of batches.
        """
        self._evaluate(iterator, tf.constant(steps))

    def _train(self, iterator: tf.distribute.DistributedIterator, steps: tf.Tensor) -> None:
        for _ in tf.range(steps):
            batch, waited = self._next_batch(iterator)
            gradients, finite = self._strategy.run(self._reduced_gradients, args=(batch, waited))
            self._update(gradients, finite)

    def _evaluate(self, iterator: tf.distribute.DistributedIterator, steps: tf.Tensor) -> None:
        for _ in tf.range(steps):
            batch, waited = self._next_batch(iterator)
            self._strategy.run(self._evaluate_batch, args=(batch, waited))

    def train_metrics(self) -> dict[str, float]:
        """Ends an epoch of training.

        The moving statistics that BatchNormalization keeps on each replica are averaged, so that
        every replica, and the saved model, holds those of the whole batch. They are linear in the
        batches' statistics: averaging once gives what averaging at every step would.

        Returns:
            What `Totals.read_and_reset` returns.
        """
        if self._moving_statistics:
            self._average_moving_statistics()
        return self._train_totals.read_and_reset()

    def eval_metrics(self) -> dict[str, float]:
        """Ends an evaluation; returns what `Totals.read_and_reset` returns."""
        return self._eval_totals.read_and_reset()

    def _next_batch(self, iterator) -> tuple[dict, tf.Tensor]:
        """The next batch and the seconds that the loop stood waiting for it."""
        if not self._time_input:
            return next(iterator), tf.constant(0.0, tf.float64)
        asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            batch = next(iterator)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            return batch, tf.timestamp() - asked

    def _reduced_gradients(self, batch: dict, waited: tf.Tensor) -> tuple[list, tf.Tensor]:
        """One replica's part of the step; its results are the same on every replica."""
        scale = self._loss_scale.value.read_value() if self._loss_scale else tf.constant(1.0)
        gradients, losses, logits = self._forward_backward(batch, scale)
        self._train_totals.add(losses=losses, logits=logits, batch=batch)
        self._train_totals.add_waited(waited)
        weight = tf.cast(tf.reduce_mean(batch["weight"]) * scale, gradients[0].dtype)
        *gradients, weight = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, [*gradients, weight]
        )
        gradients = [gradient / weight for gradient in gradients]
        return gradients, _all_finite(gradients)

    def _forward_backward(self, batch: dict, scale: tf.Tensor) -> tuple[list, tf.Tensor, tf.Tensor]:
        images = batch["image"]
        if self._flip:
            images = augment.horizontal_flip(images, batch["draws"][:, 0])
        with tf.GradientTape() as tape:
            logits = self._network(images, training=True)
            losses = self._loss(batch["label"], logits)
            # The mean over this replica's rows keeps float16's range; `_reduced_gradients` divides
            # the sum of such means by the sum of the mean weights: the mean over all examples.
            weights = tf.cast(batch["weight"], losses.dtype)
            scaled_loss = tf.reduce_mean(losses * weights) * tf.cast(scale, losses.dtype)
        return tape.gradient(scaled_loss, self._weights), losses, logits

    def _update(self, gradients: list, finite: tf.distribute.DistributedValues) -> None:
        """Applies the gradients, unless float16 has overflowed. Called in cross-replica context."""
        if self._loss_scale is None:
            self._strategy.run(self._apply, args=(gradients,))
            return

        def apply() -> None:
            self._strategy.run(self._apply, args=(gradients,))
            self._loss_scale.after_finite_step()

        tf.cond(
            self._strategy.experimental_local_results(finite)[0],
            apply,
            self._loss_scale.after_overflow,
        )

    def _apply(self, gradients: list) -> None:
        self._optimizer.apply(gradients)

    def _evaluate_batch(self, batch: dict, waited: tf.Tensor) -> None:
        losses, logits = self._forward(batch)
        self._eval_totals.add(losses=losses, logits=logits, batch=batch)
        self._eval_totals.add_waited(waited)

    def _forward(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._network(batch["image"], training=False)
        return self._loss(batch["label"], logits), logits

    def _average_moving_statistics(self) -> None:
        def average() -> None:
            means = tf.distribute.get_replica_context().all_reduce(
                tf.distribute.ReduceOp.MEAN,
                [statistic.read_value() for statistic in self._moving_statistics],
            )
            for statistic, mean in zip(self._moving_statistics, means, strict=True):
                statistic.assign(mean)

        self._strategy.run(average)


def _all_finite(gradients: list) -> tf.Tensor:
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])


def _moving_statistics(model: keras.Model) -> list[tf.Variable]:
    """Mean and variance variables of the BatchNormalization layers that training changes."""
    return [
        variable.value
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        for variable in layer.non_trainable_variables
    ]

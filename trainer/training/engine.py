"""The training engine: one step on every replica, many steps in one call.

XLA compiles one replica's forward and backward pass. The reduction of the gradients stays outside,
because a collective inside a compiled function fails, and so does the optimizer's update where
there are several replicas, because another replica's variables are out of its reach; a single
replica's update is compiled too: one pass over the weights instead of a dozen. Keras' optimizers
and losses do the arithmetic.
"""

import contextlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from trainer.data.augment import Augmentation, augment
from trainer.training.dropout import training_network
from trainer.training.interruption import StopRequest
from trainer.training.loss_scale import DynamicLossScale
from trainer.training.metrics import Totals
from trainer.training.objective import Objective


class Taken(NamedTuple):
    """What a call of the engine did.

    Attributes:
        steps: the number of steps taken, fewer than asked for if one of the following is true.
        stopped: whether a stop was asked for on any worker.
        diverged: whether the loss of the last step was not finite.
        gradient_norm: of the last step's reduced gradients before clipping; 0 in evaluation.
    """

    steps: int
    stopped: bool
    diverged: bool
    gradient_norm: float = 0.0


class Engine:
    """Trains and evaluates one model under one strategy."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        objective: Objective,
        xla: bool,
        xla_update: bool | None = None,
        start: keras.KerasTensor | None = None,
        augmentation: Augmentation | None = None,
        clip_norm: float | None = None,
        accumulation_steps: int = 1,
        time_input: bool = True,
        loss_scale: DynamicLossScale | None = None,
        stop_request: StopRequest | None = None,
    ) -> None:
        """Prepares the step; nothing is traced before the first call.

        Args:
            strategy: the strategy in whose scope the model, the optimizer and the loss scale were
                made.
            model: a model of `trainer.models.build`.
            optimizer: a Keras optimizer, not yet built or built on the model's trainable weights.
            objective: the losses.
            xla: whether XLA compiles the forward and backward pass.
            xla_update: whether it compiles a single replica's update; None: as the passes.
            start: the tensor of the model that batches hold, as `image`, the values of: the
                features of a frozen backbone, for example; None: the model's input.
            augmentation: how training images are changed by their draws; None leaves them.
            clip_norm: the largest global norm of the reduced gradients; None clips nothing.
            accumulation_steps: number of micro-batches that a replica's batch is split into, one
                after the other, to save memory; the gradients are those of the whole batch.
            time_input: whether the wait for each batch is timed; a deterministic TensorFlow
                refuses to read the clock in a graph.
            loss_scale: the loss scale for float16; None scales nothing.
            stop_request: asks to stop between steps; None never does.
        """
        self.model, self.optimizer, self.loss_scale = model, optimizer, loss_scale
        self._strategy = strategy
        self._network = keras.Model(
            model.input if start is None else start, model.get_layer("logits").output
        )
        self._training_network = training_network(model, start)
        self._objective = objective
        self._augmentation = augmentation
        self._clip_norm = clip_norm
        self._accumulation_steps = accumulation_steps
        self._time_input = time_input
        self._stop_request = stop_request
        self._weights = [variable.value for variable in model.trainable_variables]
        self._moving_statistics = _moving_statistics(model)
        with strategy.scope():
            optimizer.build(model.trainable_variables)
        # The engine hands the optimizer gradients that are summed already.
        optimizer._all_reduce_sum_gradients = lambda gradients_and_weights: gradients_and_weights
        classes = self._network.output.shape[-1]
        self.train_totals, self.eval_totals = Totals(strategy, classes), Totals(strategy, classes)
        self._apply = optimizer.apply
        xla_update = xla if xla_update is None else xla_update
        if xla_update and strategy.num_replicas_in_sync == 1:
            self._apply = tf.function(optimizer.apply, jit_compile=True)
        self._forward_backward = tf.function(self._forward_backward, jit_compile=xla)
        self._forward = tf.function(self._forward, jit_compile=xla)
        self._train = tf.function(self._train)
        self._evaluate = tf.function(self._evaluate)

    def train(self, iterator: tf.distribute.DistributedIterator, steps: int) -> Taken:
        """Takes steps in the graph, without a word to the host.

        Args:
            iterator: over `distribute_batches`, with draws.
            steps: the number of steps.
        """
        taken, stopped, diverged, norm = self._train(iterator, tf.constant(steps))
        return Taken(int(taken), bool(stopped), bool(diverged), float(norm))

    def evaluate(self, iterator: tf.distribute.DistributedIterator, steps: int) -> Taken:
        """Adds batches to the evaluation totals.

        Args:
            iterator: over `distribute_batches`.
            steps: the number of batches.
        """
        taken, stopped = self._evaluate(iterator, tf.constant(steps))
        return Taken(int(taken), bool(stopped), diverged=False)

    def count_trained(self) -> int:
        """Number of trained weights."""
        return sum(math.prod(weight.shape) for weight in self._weights)

    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """While open, the model holds the moving average of its weights, if one is kept."""
        if not self.optimizer.use_ema:
            yield
            return
        trained = [weight.numpy() for weight in self._weights]
        for weight, average in zip(
            self._weights, self.optimizer._model_variables_moving_average, strict=True
        ):
            weight.assign(average.numpy())
        try:
            yield
        finally:
            for weight, value in zip(self._weights, trained, strict=True):
                weight.assign(value)

    def _train(self, iterator: tf.distribute.DistributedIterator, steps: tf.Tensor) -> tuple:
        taken, norm = tf.constant(0), tf.constant(0.0)
        stopped, diverged = tf.constant(False), tf.constant(False)
        while taken < steps and not (stopped or diverged):
            batch, waited = self._next_batch(iterator)
            gradients, norm, stopped, diverged = self._strategy.run(
                self._reduced_gradients, args=(batch, waited)
            )
            # Reduced, and so the same on every replica of every worker: all take one branch.
            norm, stopped, diverged = map(self._of_first_replica, (norm, stopped, diverged))
            self._update(gradients, norm)
            taken += 1
        return taken, stopped, diverged, norm

    def _evaluate(self, iterator: tf.distribute.DistributedIterator, steps: tf.Tensor) -> tuple:
        taken, stopped = tf.constant(0), tf.constant(False)
        while taken < steps and not stopped:
            batch, waited = self._next_batch(iterator)
            stopped = self._of_first_replica(
                self._strategy.run(self._evaluate_batch, args=(batch, waited))
            )
            taken += 1
        return taken, stopped

    def _of_first_replica(self, value: tf.distribute.DistributedValues) -> tf.Tensor:
        return self._strategy.experimental_local_results(value)[0]

    def _next_batch(self, iterator) -> tuple[dict, tf.Tensor]:
        """The next batch and the seconds that the loop stood waiting for it."""
        if not self._time_input:
            return next(iterator), tf.constant(0.0, tf.float64)
        asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            batch = next(iterator)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            return batch, tf.timestamp() - asked

    def _reduced_gradients(self, batch: dict, waited: tf.Tensor) -> tuple:
        """One replica's part of the step; its results are the same on every replica."""
        scale = self.loss_scale.value.read_value() if self.loss_scale else tf.constant(1.0)
        gradients, losses, logits = self._forward_backward(batch, scale)
        not_finite = self.train_totals.add(losses=losses, logits=logits, batch=batch, waited=waited)
        weight = tf.reduce_mean(tf.cast(batch["weight"], losses.dtype))
        weight *= tf.cast(scale, losses.dtype)
        statistics = [statistic.read_value() for statistic in self._moving_statistics]
        # In the gradients' dtype, so that all of it is reduced at once.
        signals = [weight, not_finite, self._stop_asked()]
        signals = tf.stack([tf.cast(signal, gradients[0].dtype) for signal in signals])
        signals, *reduced = _sum_over_replicas([signals, *gradients, *statistics])
        gradients, statistics = reduced[: len(gradients)], reduced[len(gradients) :]
        self._assign_mean_statistics(statistics)
        gradients, norm = self._mean_and_clip(gradients, signals[0])
        return gradients, norm, signals[2] > 0, signals[1] > 0

    def _stop_asked(self) -> tf.Tensor:
        return self._stop_request.value() if self._stop_request else tf.constant(0.0)

    def _assign_mean_statistics(self, sums: list) -> None:
        """Gives every replica the moving statistics of BatchNormalization of the whole batch.

        They are linear in the batches' statistics, which each replica has of its own examples.
        """
        for statistic, total in zip(self._moving_statistics, sums, strict=True):
            statistic.assign(total / self._strategy.num_replicas_in_sync)

    def _mean_and_clip(self, sums: list, weight: tf.Tensor) -> tuple[list, tf.Tensor]:
        """Gradients of the mean loss over all examples, clipped, and their norm before clipping."""
        norm = tf.linalg.global_norm(sums) / weight
        factor = 1.0 / weight
        if self._clip_norm:
            factor *= tf.minimum(tf.ones_like(norm), self._clip_norm / norm)
        return [total * factor for total in sums], tf.cast(norm, tf.float32)

    def _forward_backward(self, batch: dict, scale: tf.Tensor) -> tuple[list, tf.Tensor, tf.Tensor]:
        """Loss and gradients of a replica's batch, one micro-batch after the other."""
        micro_batches = self._accumulation_steps
        if micro_batches == 1:
            return self._micro_batch(batch, scale)
        rows = batch["label"].shape[0] // micro_batches
        parts = {
            name: tf.reshape(column, [micro_batches, rows, *column.shape[1:]])
            for name, column in batch.items()
        }
        gradients = [tf.zeros_like(weight) for weight in self._weights]
        losses = tf.TensorArray(self._network.output.dtype, micro_batches)
        logits = tf.TensorArray(self._network.output.dtype, micro_batches)
        for index in tf.range(micro_batches):
            of_part, part_losses, part_logits = self._micro_batch(
                {name: column[index] for name, column in parts.items()}, scale
            )
            gradients = [
                total + gradient / micro_batches
                for total, gradient in zip(gradients, of_part, strict=True)
            ]
            losses = losses.write(index, part_losses)
            logits = logits.write(index, part_logits)
        return gradients, losses.concat(), logits.concat()

    def _micro_batch(self, batch: dict, scale: tf.Tensor) -> tuple[list, tf.Tensor, tf.Tensor]:
        images = batch["image"]
        if self._augmentation:
            images = augment(images, batch["draws"], self._augmentation)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._weights)  # A frozen backbone's backward pass is not even traced.
            logits = self._training_network(images, batch.get("draws"))
            labels = batch.get("soft_label", batch["label"])
            losses = self._objective.train_losses(labels, logits)
            # The mean over this replica's rows keeps float16's range; `_mean_and_clip` divides the
            # sum of such means by the sum of the mean weights: the mean over all examples.
            weights = tf.cast(batch["weight"], losses.dtype)
            scaled_loss = tf.reduce_mean(losses * weights) * tf.cast(scale, losses.dtype)
        return tape.gradient(scaled_loss, self._weights), losses, logits

    def _update(self, gradients: list, norm: tf.Tensor) -> None:
        """Applies the gradients, unless float16 has overflowed. Called in cross-replica context."""
        if self.loss_scale is None:
            self._strategy.run(self._apply, args=(gradients,))
            return

        def apply() -> None:
            self._strategy.run(self._apply, args=(gradients,))
            self.loss_scale.after_finite_step()

        # An inf or NaN in any gradient of any replica survives the sum and reaches the norm.
        tf.cond(tf.math.is_finite(norm), apply, self.loss_scale.after_overflow)

    def _evaluate_batch(self, batch: dict, waited: tf.Tensor) -> tf.Tensor:
        losses, logits = self._forward(batch)
        self.eval_totals.add(losses=losses, logits=logits, batch=batch, waited=waited)
        (stops,) = _sum_over_replicas([self._stop_asked()])
        return stops > 0

    def _forward(self, batch: dict) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._network(batch["image"], training=False)
        return self._objective.eval_losses(batch["label"], logits), logits


def _sum_over_replicas(values: list) -> list:
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _moving_statistics(model: keras.Model) -> list[tf.Variable]:
    """Mean and variance variables of the BatchNormalization layers that training changes."""
    return [
        variable.value
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        for variable in layer.non_trainable_variables
    ]

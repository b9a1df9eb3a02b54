"""The training engine: one step on every replica, many steps per call.

A step has three parts: each replica's forward and backward pass, a function of tensors that is
traced once for all replicas (`step`); one all-reduce of a single vector; and each replica's update
of its own vectors (`replica`). XLA compiles the first and the last; a collective inside a compiled
function fails, so the reduction stays between them. Keras' optimizers and losses do the arithmetic.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from trainer.data.input import LOADED_AT
from trainer.models.taps import Taps
from trainer.training import step_clock
from trainer.training.computation import Computation
from trainer.training.execution import Execution
from trainer.training.first_step import FirstStep
from trainer.training.interruption import StopRequest
from trainer.training.metrics import Totals, measure
from trainer.training.replica import NORM, NOT_FINITE, NUM_OUTCOMES, STOP_ASKED, Replica
from trainer.training.replica_sum import sum_over_replicas
from trainer.training.step import Step
from trainer.training.step_result import StepResult
from trainer.training.traced_once import TracedOnce, replica_index, shared_device, specs_of_replica
from trainer.training.utilisation import flops
from trainer.training.vectors import Vectors, count_trained, pack_model

_PLAIN = Execution()


class Engine:
    """Trains and evaluates one model under one strategy."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        computation: Computation,
        *,
        execution: Execution = _PLAIN,
        stop_request: StopRequest | None = None,
        train_step: TracedOnce | None = None,
    ) -> None:
        """Copies the weights to every replica; traces nothing before the first call.

        Args:
            strategy: the strategy to train under.
            model: a model of `trainer.models.build`, created outside the strategy's scope. Its
                variables are only read here; `weights` returns the trained values.
            computation: what the steps compute.
            execution: how the steps are executed.
            stop_request: request to stop between steps; None: never stop.
            train_step: the traced step of an engine with identical steps, to avoid compiling it
                twice.
        """
        self.model, self._strategy, self._stop_request = model, strategy, stop_request
        self._execution, self._clip_norm = execution, computation.clip_norm
        self._packings = pack_model(model)
        self._step = Step(model, self._packings, computation, execution)
        values = self._packings.map(lambda packing: packing.values())
        devices, xla = strategy.extended.worker_devices, execution.xla
        self._replicas = [
            Replica(device, values, computation.optimizer, execution.loss_scale)
            for device in devices
        ]
        self._has_peers = strategy.num_replicas_in_sync > len(self._replicas)
        self._take_over_from_chief()
        classes, place = Taps(model).num_classes, shared_device(devices)
        self.train_totals, self.eval_totals = Totals(strategy, classes), Totals(strategy, classes)
        self.train_step = train_step or TracedOnce(self._step.train, jit_compile=xla, device=place)
        self._eval_step = TracedOnce(self._step.evaluate, jit_compile=xla, device=place)
        self._updates: list[tf.types.experimental.ConcreteFunction] = []
        self._train_loop = tf.function(self._train)
        self._evaluate_loop = tf.function(self._evaluate)
        self._first_step = FirstStep("compiling", lambda: measure(self.train_totals.read()).waited)
        self._first_evaluation = FirstStep("compiling the evaluation")

    def train(self, iterator: tf.distribute.DistributedIterator, steps: int) -> StepResult:
        """Runs steps in the graph, without returning to the host in between.

        The decision to continue uses the outcome of the step before the last, so that no device
        waits for it. When a stop is requested or the loss diverges, one extra step is therefore
        run.

        Args:
            iterator: over `distribute_batches`, with draws.
            steps: the number of steps.
        """
        return self._first_step.take(steps, lambda count: self._take_steps(iterator, count))

    def _take_steps(self, iterator: tf.distribute.DistributedIterator, steps: int) -> StepResult:
        taken, last, before, clocks, ready = self.trace(iterator)(iterator, tf.constant(steps))
        taken, outcomes = int(taken), np.stack([before.numpy(), last.numpy()])
        seconds, own = step_clock.step_seconds(clocks[: taken + 1].numpy(), ready[:taken].numpy())
        not_finite = [
            taken - late
            for late, outcome in zip((1, 0), outcomes, strict=True)
            if outcome[NOT_FINITE] > 0
        ]
        return StepResult(
            taken,
            stopped=bool((outcomes[:, STOP_ASKED] > 0).any()),
            diverged=not_finite[0] if not_finite else None,
            gradient_norm=float(outcomes[-1, NORM]),
            seconds=seconds,
            own_seconds=own if self._has_peers else own[:0],
        )

    def evaluate(self, iterator: tf.distribute.DistributedIterator, steps: int) -> StepResult:
        """Adds batches to the evaluation totals, using the averaged weights if they are kept.

        Args:
            iterator: over `distribute_batches`.
            steps: the number of batches.
        """
        return self._first_evaluation.take(steps, lambda count: self._add(iterator, count))

    def _add(self, iterator: tf.distribute.DistributedIterator, batches: int) -> StepResult:
        self._eval_step.trace(self._vector_specs(), _inputs(specs_of_replica(iterator)))
        taken, stopped = self._evaluate_loop(iterator, tf.constant(batches))
        return StepResult(int(taken), bool(stopped), diverged=None)

    def weights(self, *, averaged: bool = False, replica: int = 0) -> list[np.ndarray]:
        """Returns the weights in the format of `keras.Model.set_weights`.

        Args:
            averaged: whether to return the moving average of the trained weights, if there is one.
            replica: index of the replica to read; all hold the same weights.
        """
        found = {}
        vectors = self._replicas[replica].vectors(averaged=averaged)
        for packing, vector in zip(self._packings, vectors, strict=True):
            arrays = [array.numpy() for array in packing.unpack(vector)]
            found |= {
                id(variable): array
                for variable, array in zip(packing.variables, arrays, strict=True)
            }
        return [found[id(variable)] for variable in self.model.weights]

    def state(self) -> dict[str, tf.Tensor]:
        """Returns the state to checkpoint: vectors by name, which later steps do not modify."""
        with tf.device("/cpu:0"):
            return {
                name: tf.identity(variable.read_value())
                for name, variable in self._replicas[0].state().items()
            }

    def state_shapes(self) -> dict[str, tf.TensorShape]:
        """Returns the shape of each vector of `state`."""
        return {name: variable.shape for name, variable in self._replicas[0].state().items()}

    def load_state(self, values: dict[str, np.ndarray]) -> None:
        """Restores, on every replica, what `state` returned."""
        for replica in self._replicas:
            replica.load(values)

    def count_trained(self) -> int:
        """Returns the number of trained weights."""
        return count_trained(self._packings)

    @functools.cached_property
    def flops(self) -> int:
        """Returns the FLOPs of one replica's forward and backward pass, once traced."""
        graph = self.train_step.concrete.graph
        return flops.count(graph, graph.outputs, turns=self._execution.accumulation_steps)

    def learning_rate(self) -> float:
        """Returns the learning rate of the next step."""
        return float(keras.ops.convert_to_numpy(self._replicas[0].optimizer.learning_rate))

    def loss_scale(self) -> float | None:
        """Returns the loss scale of the next step; None without loss scaling."""
        return float(self._replicas[0].loss_scale()) if self._execution.loss_scale else None

    def _take_over_from_chief(self) -> None:
        """Copies the chief's weights to all workers, whatever they initialized or read."""
        if not self._has_peers:
            return

        def weights_of_first() -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            is_first = context.replica_id_in_sync_group == 0
            vectors = self._replicas[replica_index(len(self._replicas))].vectors()
            return sum_over_replicas(
                [tf.where(is_first, vector, tf.zeros_like(vector)) for vector in vectors]
            )

        shared = tf.function(lambda: self._strategy.run(weights_of_first))()
        values = [self._strategy.experimental_local_results(vector)[0] for vector in shared]
        for replica in self._replicas:
            replica.set_vectors(Vectors(*values))

    def _train(self, iterator: tf.distribute.DistributedIterator, steps: tf.Tensor) -> tuple:
        taken = tf.constant(0)
        last = before = tf.zeros([NUM_OUTCOMES])
        began = idle_from = step_clock.read(iterator.element_spec)
        ready, ended = (tf.TensorArray(tf.int64, steps, element_shape=[]) for _ in range(2))
        # The outcomes before the norm, STOP_ASKED and NOT_FINITE, end the loop.
        while taken < steps and tf.reduce_sum(before[:NORM]) == 0.0:
            batch = next(iterator)
            outcome, own = self._strategy.run(self._train_batch, args=(batch, idle_from))
            # The outcome is reduced, hence identical on every replica of every worker: all stop
            # together.
            before, last = last, self._of_replicas(outcome)[0]
            if self._has_peers:
                ready = ready.write(taken, tf.reduce_max(self._of_replicas(own)))
            idle_from = step_clock.read(iterator.element_spec, [last])
            ended = ended.write(taken, idle_from)
            taken += 1
        return taken, last, before, tf.concat([[began], ended.stack()], axis=0), ready.stack()

    def _evaluate(self, iterator: tf.distribute.DistributedIterator, steps: tf.Tensor) -> tuple:
        taken, last, before = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        idle_from = step_clock.read(iterator.element_spec)
        while taken < steps and before == 0.0:
            batch = next(iterator)
            asked = self._strategy.run(self._evaluate_batch, args=(batch, idle_from))
            before, last = last, self._of_replicas(asked)[0]
            idle_from = step_clock.read(iterator.element_spec, [last])
            taken += 1
        return taken, last + before > 0

    def _of_replicas(self, value: tf.distribute.DistributedValues) -> tuple[tf.Tensor, ...]:
        return self._strategy.experimental_local_results(value)

    def trace(
        self, iterator: tf.distribute.DistributedIterator
    ) -> tf.types.experimental.ConcreteFunction:
        """Returns the training loop as a graph, tracing it on the first call.

        Args:
            iterator: iterator over the same kind of batches as for `train`.
        """
        # First trace the functions that the replicas call, outside the graph that calls them.
        scalar = tf.TensorSpec([], tf.float32)
        *reduced, _ = self.train_step.trace(
            self._vector_specs(), _inputs(specs_of_replica(iterator)), scalar, scalar
        )
        self._updates = self._updates or [
            replica.update_function(
                self._step, self._strategy.num_replicas_in_sync, self._clip_norm,
                jit_compile=self._execution.compiles_update,
            ).get_concrete_function(reduced)
            for replica in self._replicas
        ]  # fmt: skip
        return self._train_loop.get_concrete_function(iterator, tf.TensorSpec([], tf.int32))

    def compiled_parts(self, iterator: tf.distribute.DistributedIterator) -> list:
        """Returns what XLA compiles in `trace`: the shared pass, then each replica's update."""
        self.trace(iterator)
        return [self.train_step.concrete, *self._updates]

    def _vector_specs(self) -> Vectors:
        return self._packings.map(lambda packing: tf.TensorSpec([packing.size], packing.dtype))

    def _train_batch(self, batch: dict, idle_from: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs one replica's step; returns its outcome and the time its gradients were ready."""
        index = replica_index(len(self._replicas))
        replica = self._replicas[index]
        reduced, sums = self.train_step(
            replica.vectors(), _inputs(batch), replica.loss_scale(), self._stop_asked()
        )
        self.train_totals.add(sums, step_clock.waited(batch, idle_from))
        ready = step_clock.read(batch, reduced) if self._has_peers else idle_from
        summed = [sum_over_replicas([of_a_dtype])[0] for of_a_dtype in reduced]
        return self._updates[index](summed), ready

    def _stop_asked(self) -> tf.Tensor:
        return self._stop_request.value() if self._stop_request else tf.constant(0.0)

    def _evaluate_batch(self, batch: dict, idle_from: tf.Tensor) -> tf.Tensor:
        replica = self._replicas[replica_index(len(self._replicas))]
        sums = self._eval_step(replica.vectors(averaged=True), _inputs(batch))
        self.eval_totals.add(sums, step_clock.waited(batch, idle_from))
        with tf.control_dependencies([sums]):  # So that the result is known only after the step.
            stop_asked = tf.identity(self._stop_asked())
        return sum_over_replicas([stop_asked])[0]


def _inputs(batch: dict) -> dict:
    """Returns the inputs of a step."""
    return {name: value for name, value in batch.items() if name != LOADED_AT}

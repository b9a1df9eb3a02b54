"""A short trial of training steps: whether they work, their speed and their compile time.

The trial uses only the first device of this process, with one replica's share of the batch: after
an error on one replica, collectives cannot be used again in the same process. It has its own engine
and optimizer and reads only the first batch, so it does not affect the weights and random numbers
of the following training. The traced and compiled steps are reused by the training.
"""

import dataclasses
import gc
import re
import time
from collections.abc import Iterator

import keras
import tensorflow as tf

from cxr_command.foreign_text import first_line
from trainer.data.example_stream import ExampleStream
from trainer.data.input import repeat_first_batch
from trainer.data.keras_cv_augment import batch_augmenter
from trainer.hardware import Hardware
from trainer.memory import is_of_memory
from trainer.training.config import Config
from trainer.training.engine import Engine
from trainer.training.interruption import StopRequest
from trainer.training.phase_engine import TracedSteps, build_engine
from trainer.training.phases import Phase, plan, prepare

# Warm-up steps (TensorFlow selects convolution kernels), and timed steps.
_WARM_UP, _TIMED, _ROUNDS = 2, 5, 3
# Lines that TensorFlow adds around an operation's error message.
_AROUND = re.compile(
    r"\s*$|Graph execution error|Detected at node|<stack traces|\d+ root error|  File"
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a few training steps.

    Attributes:
        compile_seconds: seconds until the end of the first step; None after an error.
        images_per_second: throughput of one replica in the later steps; None after an error.
        error: TensorFlow's error message, in one line; None without an error.
        is_of_memory: whether the error is a lack of memory.
    """

    compile_seconds: float | None = None
    images_per_second: float | None = None
    error: str | None = None
    is_of_memory: bool = False

    @property
    def told(self) -> str:
        """Human-readable summary."""
        if self.images_per_second is None:
            return f"failed ({self.error})"
        return f"{self.images_per_second:.1f} images/s, compiled in {self.compile_seconds:.0f} s"


class StepTrial:
    """Runs training steps of a run that is about to start."""

    def __init__(
        self,
        devices: Hardware,
        model: keras.Model,
        examples: ExampleStream,
        num_classes: int,
        traced: TracedSteps,
    ) -> None:
        """Initializes the trial; runs no steps.

        Args:
            devices: the hardware to train on.
            model: a model from `trainer.models.build`; its weights are not changed.
            examples: the training split.
            num_classes: number of classes.
            traced: collects the traced steps.
        """
        self._devices, self._model, self._num_classes = devices, model, num_classes
        self._examples, self._traced = examples, traced

    def run(self, config: Config, xla: bool) -> Outcome:
        """Runs steps of the last phase, which trains the most weights.

        Args:
            config: the run's configuration, with the batch size to try.
            xla: whether XLA compiles the forward and backward pass.
        """
        phases = plan(config.phases, config.optimization, config.network)
        try:
            return self._steps(config, phases[-1], xla)
        except tf.errors.OpError as error:
            return _failed(error)
        finally:
            gc.collect()  # Frees memory for the next trial; functions form cycles.
            prepare(self._model, phases[0])

    def _steps(self, config: Config, phase: Phase, xla: bool) -> Outcome:
        strategy = tf.distribute.OneDeviceStrategy(self._devices.devices[0])
        batch_size = config.batching.global_batch_size // self._devices.num_replicas
        engine = build_engine(
            phase, config=config.with_values({"global_batch_size": batch_size}),
            devices=dataclasses.replace(self._devices, strategy=strategy, xla=xla),
            model=self._model, start=None, train_examples=self._examples,
            stop_request=StopRequest(), traced=self._traced,
        )  # fmt: skip
        return _timed(engine, self._batches(config, strategy, batch_size), batch_size)

    def _batches(
        self, config: Config, strategy: tf.distribute.Strategy, batch_size: int
    ) -> Iterator[dict]:
        # keras-cv's layers have random state, so the trial uses its own.
        change_batch = batch_augmenter(
            config.batch_augmentation.keras_cv, self._num_classes, config.task.seed
        )
        return iter(
            repeat_first_batch(
                self._examples, strategy, batch_size, config.task.seed, change_batch,
                timed=not config.task.deterministic,
            )
        )  # fmt: skip


def _timed(engine: Engine, batches: Iterator[dict], batch_size: int) -> Outcome:
    started = time.monotonic()
    engine.train(batches, 1)
    compile_seconds = time.monotonic() - started
    engine.train(batches, _WARM_UP)
    rates = []
    for _ in range(_ROUNDS):
        started = time.monotonic()
        steps = engine.train(batches, _TIMED).steps  # Fewer if training on one batch diverges.
        rates.append(steps * batch_size / max(time.monotonic() - started, 1e-9))
    return Outcome(compile_seconds, max(rates))


def _failed(error: tf.errors.OpError) -> Outcome:
    said = [line for line in str(error).splitlines() if not _AROUND.match(line)]
    # TensorFlow's error for a lack of memory, and those of XLA and cuDNN.
    lacks_memory = isinstance(error, tf.errors.ResourceExhaustedError) or is_of_memory(error)
    return Outcome(error=said[0].strip() if said else first_line(error), is_of_memory=lacks_memory)

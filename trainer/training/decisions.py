"""Settings that `auto` leaves to a trial: XLA compilation of the steps, and the batch size."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from absl import logging

from trainer.data.example_stream import ExampleStream
from trainer.errors import UserError
from trainer.hardware import Hardware
from trainer.models.feature_maps import most_images
from trainer.training.batching import Batching
from trainer.training.config import Config, with_batch_size
from trainer.training.features import FrozenFeatures
from trainer.training.gathering import gather
from trainer.training.kept_trial import KeptTrial, describe_program
from trainer.training.phase_engine import TracedSteps
from trainer.training.request import Request
from trainer.training.step_trial import Outcome, StepTrial

# With more, a step computes no more images per second.
MOST_IMAGES_OF_REPLICA = 1024
# Minimum steps per epoch; fewer cost accuracy.
FEWEST_STEPS = 16


@dataclasses.dataclass(frozen=True)
class Decided:
    """The decided settings.

    Attributes:
        batch_size: the global batch size.
        xla: whether XLA compiles the forward and backward pass.
        record: the trials, as plain values for config.json.
    """

    batch_size: int
    xla: bool
    record: dict[str, Any]

    def applied(self, request: Request, devices: Hardware) -> tuple[Request, Hardware]:
        """Returns the request and the hardware with the decided settings."""
        config = with_batch_size(request.config, self.batch_size, request.decided)
        return (
            dataclasses.replace(request, config=config),
            dataclasses.replace(devices, xla=self.xla),
        )


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials of a run that is about to start.

    Attributes:
        config: the run's configuration; settings to be decided have the recipe's value.
        decided: the settings to be decided, as of `Request`.
        devices: the hardware; its `xla` applies if there is no trial.
        try_steps: runs training steps, with or without XLA.
        image_shape: height, width and channels.
        num_classes: number of classes.
        most_images: maximum number of images per replica at a time, regardless of memory.
        obstacle: why no trial is run, as a clause; None if trials are useful.
    """

    config: Config
    decided: Sequence[str]
    devices: Hardware
    try_steps: Callable[[Config, bool], Outcome]
    image_shape: tuple[int, ...]
    num_classes: int
    most_images: int
    obstacle: str | None

    def decide(self) -> Decided:
        """Decides the settings; with several workers, the chief decides and the others wait for it.

        Raises:
            UserError: no step works, or none fits the memory.
        """
        if self.devices.workers == 1:
            return self._decide()
        try:
            own = self._decide() if self.devices.is_chief else None
        except UserError:
            gather(self.devices.strategy, [0, 0])
            raise
        row = [own.batch_size, int(own.xla)] if own else [0, 0]
        batch_size, xla = gather(self.devices.strategy, row)[0].tolist()
        if not batch_size:
            raise UserError("the first worker could take no training step: its log says why")
        return own or Decided(batch_size, bool(xla), {})

    def _decide(self) -> Decided:
        auto = self.config.hardware.xla == "auto" and self.devices.xla
        compares = auto and self.obstacle is None
        if auto and self.obstacle:
            logging.info("XLA: on, without a trial: %s", self.obstacle)
        ways = (False, True) if compares else (self.devices.xla,)
        run = functools.cache(self._run)
        batch_size, record = self._decide_batch_size(ways, run)
        if not compares:
            return Decided(batch_size, self.devices.xla, record)
        xla, measured = self._decide_xla(batch_size, run)
        return Decided(batch_size, xla, record | {"xla": measured})

    def _run(self, batch_size: int, xla: bool) -> Outcome:
        way = f"batch {batch_size}, XLA {_on_off(xla)}"
        logging.info("trial: %s ...", way)
        config = with_batch_size(self.config, batch_size, self.decided)
        outcome = self.try_steps(config, xla)
        logging.info("trial: %s: %s", way, outcome.told)
        return outcome

    def _decide_batch_size(
        self, ways: Sequence[bool], run: Callable[[int, bool], Outcome]
    ) -> tuple[int, dict[str, Any]]:
        batching, replicas = self.config.batching, self.devices.num_replicas
        if not self.decided:
            return batching.global_batch_size, {}
        if self.obstacle:
            taken, tried = batching.nearest_even(replicas), []
            logging.info("--global_batch_size=auto: %d, the recipe's: %s", taken, self.obstacle)
        else:
            parts = batching.parts(replicas)
            most = self.most_images // batching.accumulation_steps
            taken, tried = find_batch_size(parts, most, ways, run)
        found = with_batch_size(self.config, taken, self.decided)
        logging.info(
            "--global_batch_size=auto: %d instead of the recipe's %d; learning rate %g instead of "
            "%g", taken, batching.global_batch_size, found.optimization.learning_rate,
            self.config.optimization.learning_rate,
        )  # fmt: skip
        told = {"taken": taken, "recipe": batching.global_batch_size, "tried": tried}
        return taken, {"global_batch_size": told | {"obstacle": self.obstacle}}

    def _decide_xla(
        self, batch_size: int, run: Callable[[int, bool], Outcome]
    ) -> tuple[bool, dict[str, Any]]:
        config = with_batch_size(self.config, batch_size, self.decided)
        program = describe_program(config, self.devices, self.image_shape, self.num_classes)
        file = KeptTrial(program)
        kept = file.read()
        outcomes = kept or {xla: run(batch_size, xla) for xla in (True, False)}
        taken = faster_way(outcomes)
        # Another program may be using the memory now but not in the next run.
        if not kept and not any(outcome.is_of_memory for outcome in outcomes.values()):
            file.write(outcomes)
        logging.info(
            "XLA: %s, by %s; with it %s; without it %s", _on_off(taken),
            f"the trial kept in {file.path}" if kept else "trial", outcomes[True].told,
            outcomes[False].told,
        )  # fmt: skip
        return taken, {
            "taken": _on_off(taken),
            "kept": kept is not None,
            "batch_size": batch_size,
            "on": dataclasses.asdict(outcomes[True]),
            "off": dataclasses.asdict(outcomes[False]),
        }


def trials_before(
    request: Request,
    devices: Hardware,
    model: keras.Model,
    examples: ExampleStream,
    frozen: FrozenFeatures | None,
    traced: TracedSteps,
) -> Trials:
    """Sets up the trials of a run's steps on its own devices.

    Args:
        request: the training to run.
        devices: the hardware to train on.
        model: the network; its weights are not changed.
        examples: the training split.
        frozen: the backbone whose features are cached; None: every step runs the whole network.
        traced: collects the traced steps, so that training does not trace them again.
    """
    dataset = request.dataset
    num_classes = len(dataset.class_names)
    obstacle = "the frozen backbone runs once" if frozen else None
    return Trials(
        request.config, request.decided, devices,
        try_steps=StepTrial(devices, model, examples, num_classes, traced).run,
        image_shape=dataset.image_shape,
        num_classes=num_classes,
        most_images=min(
            MOST_IMAGES_OF_REPLICA, most_images(model),
            most_of_epoch(examples.size, request.config.batching) // devices.num_replicas,
        ),
        obstacle=obstacle if devices.has_gpus else "only the memory of GPUs is tried",
    )  # fmt: skip


def most_of_epoch(examples: int, recipe: Batching) -> int:
    """Returns the largest global batch that leaves an epoch enough steps.

    An epoch never gets fewer steps than the minimum or than with the recipe's batch size, whichever
    is less.

    Args:
        examples: number of training examples.
        recipe: the recipe's batch size.
    """
    return min(examples, max(examples // FEWEST_STEPS, recipe.global_batch_size))


def find_batch_size(
    parts: int, most: int, ways: Sequence[bool], run: Callable[[int, bool], Outcome]
) -> tuple[int, list[dict[str, Any]]]:
    """Finds the largest global batch that fits in memory, by halving it until it fits.

    Args:
        parts: number of equal parts of a batch, each of a power of two images (at least one).
        most: maximum number of images per part.
        ways: with XLA, without, or both; the batch must fit each variant that works.
        run: runs steps of a global batch, with or without XLA.

    Returns:
        The global batch size, and the trials with `batch_size` and `fits`.

    Raises:
        UserError: not even one image per part fits, or no step works.
    """
    images = 2 ** (max(1, most).bit_length() - 1)
    tried: list[dict[str, Any]] = []
    while True:
        outcomes: dict[bool, Outcome] = {}
        for xla in ways:
            outcomes[xla] = run(parts * images, xla)
            if outcomes[xla].is_of_memory:
                break
        fits = not any(outcome.is_of_memory for outcome in outcomes.values())
        tried.append({"batch_size": parts * images, "fits": fits})
        if fits:
            _require_one_works(outcomes)
            return parts * images, tried
        if images == 1:
            raise UserError(
                f"--global_batch_size=auto: not even a batch of {parts} fits the memory "
                f"({outcomes[xla].error}); end other programs that use it, or train a smaller model"
            )
        images //= 2


def faster_way(outcomes: Mapping[bool, Outcome]) -> bool:
    """Returns whether XLA's steps are faster; a variant that failed loses.

    Args:
        outcomes: outcomes with XLA (True) and without (False).

    Raises:
        UserError: both failed.
    """
    _require_one_works(outcomes)
    return max(sorted(outcomes), key=lambda xla: outcomes[xla].images_per_second or 0.0)


def _require_one_works(outcomes: Mapping[bool, Outcome]) -> None:
    if all(outcome.error for outcome in outcomes.values()):
        said = "; ".join(f"XLA {_on_off(xla)}: {one.error}" for xla, one in outcomes.items())
        raise UserError(
            f"no training step works here ({said}): cxr-doctor says what is wrong with the GPUs; "
            "if it is the memory, lower --global_batch_size or raise --accumulation_steps"
        )


def _on_off(value: bool) -> str:
    return "on" if value else "off"

"""A run's configuration: a recipe of hyper-parameters and what the user's flags changed in it."""

import dataclasses
import math
from typing import Any

from trainer.errors import UserError
from trainer.recipes import FROM_SCRATCH, RECIPES

CLASS_WEIGHTS = ("none", "balanced")


@dataclasses.dataclass(frozen=True)
class Config:
    """Every setting of a run. Written to config.json, never changed.

    Attributes:
        model: name of the network.
        recipe: name of the recipe that the hyper-parameters were taken from.
        dataset: TFDS name of the dataset.
        data_dir: directory that holds it.
        strategy: `one_device`, `mirrored` or `multi_worker`.
        precision: as asked for; what `auto` became stands beside it in config.json.
        xla: as asked for, likewise.
        reduce_precision: in which gradients are summed over the replicas, as asked for, likewise.
        virtual_devices: number of logical devices that the CPU is split into; 0: not split.
        cache: where the decoded images are held, `auto`, `memory`, `disk` or `off`.
        feature_cache: whether a frozen backbone runs once and its features are kept, `auto`, `on`
            or `off`.
        seed: of the initial weights, the order of the examples and the augmentation.
        deterministic: whether TensorFlow's operations are made deterministic.
        weights: `imagenet`, `none` or a path.
        train_backbone: whether the backbone's weights are trained.
        scaling: of gray values, a key of `trainer.models.preprocess.SCALINGS`.
        input_pooling: side of the squares that LeNet averages first; 1 averages nothing.
        pooling: of LeNet's second stage, `average` or `average_max`.
        map_dropout: share of the feature maps that training leaves out after LeNet's first stage.
        head: of a backbone, `original` or `average_pool`.
        dropout: share of the features that training leaves out before the last layer.
        flip: whether training images are flipped left to right at random.
        rotation: largest angle that they are rotated by, degrees.
        shift: largest share of the side that they are shifted by.
        zoom: largest share by which they are enlarged or reduced.
        brightness: largest share of 255 that is added to their gray values or taken away.
        contrast: largest share by which their contrast is raised or lowered.
        erasing: probability that a rectangle is laid over one.
        keras_cv: names of keras-cv's layers that change them first, with commas in between.
        global_batch_size: examples per step, over all replicas.
        epochs: at most so many epochs, over all phases.
        patience: epochs without a better validation loss after which a phase ends; 0: it never
            ends early.
        learning_rate: the highest; of the first phase if there are two.
        optimizer: `adam`, `adamw` or `sgd`.
        momentum: of `sgd`.
        weight_decay: of `adamw` and `sgd`, decoupled.
        schedule: of the learning rate in each phase, `constant` or `cosine`.
        warmup_epochs: of `cosine`, in which the learning rate rises; may be a fraction.
        clip_norm: largest global norm of the reduced gradients; 0 clips nothing.
        accumulation_steps: micro-batches that each replica's batch is split into.
        ema_momentum: of the moving average of the weights, which is what is evaluated and saved;
            0 keeps none.
        label_smoothing: share of a label's mass that is spread over all classes.
        class_weights: `none`, or `balanced`: in inverse proportion to the classes' frequencies.
        head_epochs: epochs of a first phase that trains the head alone; 0 trains in one phase.
        fine_tune_learning_rate: the highest of the second phase.
        unfreeze_from: name, or its beginning, of the first layer of the backbone that is trained;
            empty trains all of it.
        log_steps: steps between two rows of TensorBoard's step charts, and two progress lines.
        checkpoint_steps: steps between two checkpoints within an epoch; 0 makes none there.
    """

    model: str
    recipe: str
    dataset: str
    data_dir: str
    strategy: str
    precision: str
    xla: str
    reduce_precision: str
    virtual_devices: int
    cache: str
    feature_cache: str
    seed: int
    deterministic: bool
    weights: str
    train_backbone: bool
    scaling: str
    input_pooling: int
    pooling: str
    map_dropout: float
    head: str
    dropout: float
    flip: bool
    rotation: float
    shift: float
    zoom: float
    brightness: float
    contrast: float
    erasing: float
    keras_cv: str
    global_batch_size: int
    epochs: int
    patience: int
    learning_rate: float
    optimizer: str
    momentum: float
    weight_decay: float
    schedule: str
    warmup_epochs: float
    clip_norm: float
    accumulation_steps: int
    ema_momentum: float
    label_smoothing: float
    class_weights: str
    head_epochs: int
    fine_tune_learning_rate: float
    unfreeze_from: str
    log_steps: int
    checkpoint_steps: int

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Lists the settings in which a stored configuration differs from this one.

        Args:
            other: a configuration as config.json holds it.

        Returns:
            One line for each difference, empty if there is none.
        """
        mine = dataclasses.asdict(self)
        # Runs of earlier versions lack it.
        other = {"reduce_precision": "auto"} | other
        return [
            f"--{name}: {other.get(name)!r} in the run, {mine.get(name)!r} now"
            for name in sorted(mine.keys() | other.keys())
            if mine.get(name) != other.get(name)
        ]


def make(recipe: str, model: str, settings: dict[str, Any]) -> Config:
    """Makes a configuration from a recipe and the user's own settings.

    Args:
        recipe: a key of `RECIPES`.
        model: a name of `trainer.models.NAMES`.
        settings: the other fields of `Config`; None stands for the recipe's value.

    Returns:
        The valid configuration.

    Raises:
        UserError: a value is out of range; the text holds it.
    """
    chosen = {name: value for name, value in settings.items() if value is not None}
    named = RECIPES[recipe][model]
    if named["head_epochs"] and chosen.get("weights") == "none":
        named = named | FROM_SCRATCH[model]
    config = Config(model=model, recipe=recipe, **(named | chosen))
    _check_ranges(config)
    _check_combinations(config)
    return config


def check_batch(config: Config, num_replicas: int) -> None:
    """Checks that the replicas, and their micro-batches, can share a global batch evenly.

    Raises:
        UserError: they cannot.
    """
    parts = num_replicas * config.accumulation_steps
    if config.global_batch_size % parts:
        nearest = max(1, round(config.global_batch_size / parts)) * parts
        replicas = "replica" if num_replicas == 1 else f"{num_replicas} replicas"
        micro_batches = f" with {config.accumulation_steps} micro-batches each"
        raise UserError(
            f"--global_batch_size={config.global_batch_size} does not divide by the {replicas}"
            f"{micro_batches if config.accumulation_steps > 1 else ''}; use a multiple of "
            f"{parts}, such as {nearest}"
        )


# Settings and the interval, closed below and open above, that each must lie in.
_RANGES = {
    "global_batch_size": (1, math.inf),
    "epochs": (1, math.inf),
    "patience": (0, math.inf),
    "input_pooling": (1, math.inf),
    "accumulation_steps": (1, math.inf),
    "log_steps": (1, math.inf),
    "checkpoint_steps": (0, math.inf),
    "head_epochs": (0, math.inf),
    "warmup_epochs": (0, math.inf),
    "clip_norm": (0, math.inf),
    "weight_decay": (0, math.inf),
    "momentum": (0, 1),
    "ema_momentum": (0, 1),
    "label_smoothing": (0, 1),
    "dropout": (0, 1),
    "map_dropout": (0, 1),
    "rotation": (0, 181),
    "shift": (0, 1),
    "zoom": (0, 1),
    "brightness": (0, 1),
    "contrast": (0, 1),
    "erasing": (0, 1),
}


def _check_ranges(config: Config) -> None:
    for name, (least, bound) in _RANGES.items():
        value = getattr(config, name)
        if not least <= value < bound:
            below = "" if bound == math.inf else f" and below {bound}"
            raise UserError(f"--{name}={value}: expected {least} or more{below}")
    for name in ("learning_rate", "fine_tune_learning_rate"):
        if not 0 < getattr(config, name) < math.inf:
            raise UserError(f"--{name}={getattr(config, name)}: expected a positive number")


def _check_combinations(config: Config) -> None:
    """Refuses settings that would do nothing beside the others."""
    if config.weight_decay and config.optimizer == "adam":
        raise UserError("--weight_decay goes with --optimizer=adamw or --optimizer=sgd")
    if config.warmup_epochs and config.schedule == "constant":
        raise UserError("--warmup_epochs goes with --schedule=cosine")
    shortest = config.head_epochs or config.epochs
    if config.warmup_epochs > shortest:
        raise UserError(
            f"--warmup_epochs={config.warmup_epochs} is longer than the first phase, which has "
            f"{shortest} epochs"
        )
    if config.unfreeze_from and not (config.head_epochs or config.train_backbone):
        raise UserError("--unfreeze_from goes with --head_epochs or --train_backbone")
    if config.head_epochs and config.model == "lenet":
        raise UserError("--head_epochs: LeNet has no backbone to freeze; leave it out")
    if config.weights != "none" and config.model == "lenet":
        raise UserError(
            f"--weights={config.weights}: LeNet has no such weights; use --weights=none"
        )
    if config.head != "original" and config.model == "lenet":
        raise UserError(f"--head={config.head} goes with a backbone, not with --model=lenet")
    if config.input_pooling > 1 and config.model != "lenet":
        raise UserError("--input_pooling goes with --model=lenet")
    if config.pooling != "average" and config.model != "lenet":
        raise UserError(f"--pooling={config.pooling} goes with --model=lenet")
    if config.map_dropout and config.model != "lenet":
        raise UserError("--map_dropout goes with --model=lenet")
    if config.head_epochs >= config.epochs:
        raise UserError(
            f"--head_epochs={config.head_epochs} leaves no epoch of --epochs={config.epochs} to "
            "train the backbone in"
        )

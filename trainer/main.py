r"""Trains one of the four models on a built dataset.

On all GPUs of this machine (without any: on one CPU device), from where `tfds build` puts datasets:

    python -m trainer.main --model=vgg19 --strategy=mirrored

On a laptop, with two replicas on virtual CPU devices:

    python -m trainer.main --model=lenet --strategy=mirrored --virtual_devices=2 \
        --data_dir=DATA --workdir=RUN

On several machines, the same command on each (launch/ holds what starts it under SLURM and
Kubernetes), or as two processes of this one:

    python -m launch.local --num_workers=2 -- python -m trainer.main --model=vgg19 \
        --strategy=multi_worker --data_dir=DATA --workdir=RUN

The same command again goes on with a run that was interrupted. This is a research tool, not a
medical device.
"""

import contextlib
import dataclasses
import functools
import math
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags, logging

from cxr_command import usage
from trainer import command, hardware, models
from trainer import config as configuration
from trainer.claim import claimed
from trainer.compile_cache import CompileCache
from trainer.data.augment import Augmentation, augment
from trainer.data.data_service import parse_addresses, require_hosts
from trainer.data.dataset import (
    DEFAULT_DATASET,
    BuiltDataset,
    default_data_dir,
    open_dataset,
)
from trainer.data.input import CACHES, ExampleStream, first_batch, read_examples
from trainer.data.keras_cv_augment import batch_augmenter
from trainer.errors import UserError
from trainer.memory import memory_told
from trainer.models.backbones import BACKBONES
from trainer.models.feature_maps import require_indexable
from trainer.models.fused_normalization import fuse_normalization
from trainer.models.lenet import POOLINGS
from trainer.models.preprocess import SCALINGS
from trainer.models.weights import describe_weights, find_weights
from trainer.recipes import RECIPES
from trainer.recipes import describe as describe_in_recipes
from trainer.run import Run
from trainer.training import features
from trainer.training.checkpoint import Checkpoints
from trainer.training.interruption import StopRequest
from trainer.training.loop import Loop
from trainer.training.optimizer import OPTIMIZERS, SCHEDULES
from trainer.training.phase_engine import build_engine
from trainer.training.phases import Phase, plan, prepare
from trainer.training.profile import Profile
from trainer.training.tensorboard import TensorBoard

usage.section("What to train")
flags.DEFINE_enum("model", None, models.NAMES, "The network.", required=True)
flags.DEFINE_enum("recipe", "strong", RECIPES.keys(), "Named set of hyper-parameters.")
flags.DEFINE_string("workdir", None, "The run's directory; default: a new one under runs/.")
flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.", lower_bound=0)
flags.DEFINE_bool("deterministic", False, "Bit-identical results on the same device, slower.")

usage.section("Data")
flags.DEFINE_string("dataset", DEFAULT_DATASET, "TFDS name of the dataset, name/config[:version].")
flags.DEFINE_string(
    "data_dir", None, "Where the dataset was built; default: TFDS_DATA_DIR, ~/tensorflow_datasets."
)
flags.DEFINE_enum("cache", "auto", CACHES, "Where decoded images are held between epochs.")
flags.DEFINE_enum(
    "feature_cache", "auto", features.MODES, "Run a frozen backbone once and keep its features."
)
flags.DEFINE_string(
    "data_service", None, "HOST:PORT[,HOST:PORT...] of launch.data_service: they load the batches."
)

usage.section("Hardware")
flags.DEFINE_enum("strategy", "mirrored", hardware.STRATEGIES, "How the work is distributed.")
flags.DEFINE_enum("precision", "auto", hardware.PRECISIONS, "Keras dtype policy.")
flags.DEFINE_enum("xla", "auto", hardware.XLA_MODES, "Compile with XLA; auto: on for GPUs.")
flags.DEFINE_enum(
    "reduce_precision",
    "auto",
    hardware.REDUCE_PRECISIONS,
    "Dtype of the gradients' sum over replicas; auto: float32.",
)
flags.DEFINE_string(
    "compile_cache_dir",
    None,
    "Where XLA's executables are kept; default: in the cache folder, on GPUs alone.",
)
flags.DEFINE_integer(
    "virtual_devices", 0, "Split the CPU into so many devices and use them.", lower_bound=0
)
flags.DEFINE_float(
    "worker_timeout",
    hardware.WORKER_TIMEOUT,
    "Seconds without a sign of life after which another worker is lost, and this one ends.",
    lower_bound=1,
)

# From here on the recipe's value, unless given.
usage.section("Network", unset=describe_in_recipes)
flags.DEFINE_string("weights", None, "imagenet, none, or a Keras weights file of the backbone.")
flags.DEFINE_bool("train_backbone", None, "Train the backbone's weights too.")
flags.DEFINE_enum("scaling", None, SCALINGS.keys(), "Scaling of gray values.")
flags.DEFINE_integer("input_pooling", None, "Side of the squares that LeNet averages first.")
flags.DEFINE_enum("pooling", None, POOLINGS, "What LeNet's dense layer sees of its feature maps.")
flags.DEFINE_enum("head", None, models.HEADS, "What follows a backbone.")

usage.section("Optimisation", unset=describe_in_recipes)
flags.DEFINE_integer("global_batch_size", None, "Examples per step over all replicas.")
flags.DEFINE_integer("accumulation_steps", None, "Micro-batches of each replica's batch.")
flags.DEFINE_integer("epochs", None, "Most epochs.")
flags.DEFINE_integer("patience", None, "Epochs without a better validation loss; 0: any.")
flags.DEFINE_enum("optimizer", None, OPTIMIZERS, "Keras optimizer.")
flags.DEFINE_float("momentum", None, "Momentum of sgd.")
flags.DEFINE_float("learning_rate", None, "Highest learning rate.")
flags.DEFINE_enum("schedule", None, SCHEDULES, "Course of the learning rate in a phase.")
flags.DEFINE_float("warmup_epochs", None, "Epochs in which the learning rate of cosine rises.")
flags.DEFINE_float("clip_norm", None, "Largest global norm of the reduced gradients; 0: off.")
flags.DEFINE_enum("class_weights", None, configuration.CLASS_WEIGHTS, "Weights of the loss.")

usage.section("Two phases", unset=describe_in_recipes)
flags.DEFINE_integer("head_epochs", None, "Epochs that train the head before the backbone.")
flags.DEFINE_float("fine_tune_learning_rate", None, "Highest learning rate after head_epochs.")
flags.DEFINE_string("unfreeze_from", None, "First trained layer of the backbone, or its block.")

usage.section("Regularisation", unset=describe_in_recipes)
flags.DEFINE_float("dropout", None, "Share of the features left out before the last layer.")
flags.DEFINE_float("map_dropout", None, "Share of LeNet's first feature maps left out.")
flags.DEFINE_float("weight_decay", None, "Decoupled weight decay of adamw and sgd.")
flags.DEFINE_float("label_smoothing", None, "Share of a label spread over all classes.")
flags.DEFINE_float("ema_momentum", None, "Momentum of the weights' moving average; 0: off.")

usage.section("Augmentation", unset=describe_in_recipes)
flags.DEFINE_bool("flip", None, "Flip training images left to right at random.")
flags.DEFINE_float("rotation", None, "Largest rotation of training images, degrees.")
flags.DEFINE_float("shift", None, "Largest shift, as a share of the side.")
flags.DEFINE_float("zoom", None, "Largest change of size, as a share of it.")
flags.DEFINE_float("brightness", None, "Largest change of gray values, as a share of 255.")
flags.DEFINE_float("contrast", None, "Largest change of contrast, as a share of it.")
flags.DEFINE_float("erasing", None, "Probability that a rectangle is laid over an image.")
flags.DEFINE_string("keras_cv", None, "Of keras-cv: mixup, cutmix, randaugment, cutout, or more.")

usage.section("Checkpoints and logs")
flags.DEFINE_integer("checkpoint_steps", 0, "Steps between checkpoints in an epoch; 0: none.")
flags.DEFINE_integer("log_steps", 50, "Steps between rows of TensorBoard's step charts.")
flags.DEFINE_string("profile_steps", None, "A:B records a profile from step A to step B.")

FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class _Request:
    """What the flags ask for, checked as far as it can be before a device is touched.

    Attributes:
        config: the configuration.
        workdir: of the run; it holds none of another configuration. None: a new one.
        dataset: the built dataset.
        weights: the file that the weights come from; None if they are random.
        data_hosts: `HOST:PORT` of the hosts that load the batches; none: they are loaded here.
        profile_steps: first and last step of the profile; None records none.
    """

    config: configuration.Config
    workdir: pathlib.Path | None
    dataset: BuiltDataset
    weights: dict[str, str] | None
    data_hosts: tuple[str, ...]
    profile_steps: tuple[int, int] | None


def main() -> None:
    """Trains."""
    request = _request_from_flags()
    config = request.config
    require_hosts(request.data_hosts, FLAGS.worker_timeout)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = hardware.resolve(
        config.strategy,
        config.precision,
        config.xla,
        config.virtual_devices,
        FLAGS.worker_timeout,
        config.reduce_precision,
        deterministic=config.deterministic,
    )
    configuration.check_batch(config, devices.num_replicas)
    with (
        claimed(request.workdir, config.model, writes=devices.is_chief) as run,
        _memory_told(config, devices.num_replicas),
        request.dataset.reading("train or validation"),
        devices.peers.watched(devices.strategy),
    ):
        # Another training may have left something since the request was checked.
        _refuse_other_config(run, config)
        _train_on(devices, run, request)


def _train_on(devices: hardware.Hardware, run: Run, request: _Request) -> None:
    """Trains on the devices, while the other workers are watched.

    The run's directory is written to last, when nothing is left that could be refused.
    """
    config, dataset = request.config, request.dataset
    change_batch = batch_augmenter(config.keras_cv, len(dataset.class_names), config.seed)
    architecture = _architecture(config, dataset)
    with tf.device("/cpu:0"):  # The replicas hold what is trained, as vectors of their own.
        model = fuse_normalization(
            models.build(config.model, config.weights, precision=devices.precision, **architecture)
        )
        best_model = models.build(config.model, **architecture)
    if devices.has_gpus:
        parts = devices.num_replicas * config.accumulation_steps
        require_indexable(model, config.global_batch_size // parts)
    phases = plan(config)
    _try_phases(model, phases)
    frozen, feature_cache = features.resolve(config, phases, dataset, model, devices)
    train_examples, validation_examples = _read_splits(request)
    stop_request = StopRequest()
    start_phase = functools.partial(
        build_engine,
        config=config,
        devices=devices,
        model=model,
        start=frozen.backbone.output if frozen else None,
        train_examples=train_examples,
        stop_request=stop_request,
    )

    content: dict[str, Any] = {
        "config": dataclasses.asdict(config),
        "hardware": devices.summary(),
        "dataset": _summary_of_data(request, train_examples, validation_examples),
        "weights": request.weights,
        "parameters": {
            "total": model.count_params(),
            "trainable": sum(math.prod(v.shape) for v in model.trainable_variables),
        },
        "feature_cache": feature_cache,
        "phases": [dataclasses.asdict(phase) for phase in phases],
        "versions": _versions(),
    }
    run.status.begin()
    logging.info("run directory: %s", run.path)
    run.write_config(content)
    tensorboard = TensorBoard(run.tensorboard, dataset.class_names, writes=run.writes)
    tensorboard.write_settings(content["config"], content)
    batch = first_batch(train_examples, config.global_batch_size, config.seed, change_batch)
    tensorboard.write_batch(_network_input(model, config, batch))

    if frozen:
        train_examples, validation_examples = frozen.compute(
            train_examples, validation_examples, devices, stop_request
        )
    loop = Loop(
        run=run,
        config=config,
        strategy=devices.strategy,
        phases=phases,
        start_phase=start_phase,
        best_model=best_model,
        train_examples=train_examples,
        validation_examples=validation_examples,
        change_batch=change_batch,
        checkpoints=Checkpoints(run.checkpoints, writes=run.writes),
        stop_request=stop_request,
        tensorboard=tensorboard,
        profile=Profile(run.tensorboard, request.profile_steps if run.writes else None),
        # Kept features are read here: there is nothing left to decode.
        data_hosts=() if frozen else request.data_hosts,
        after_epoch=CompileCache(FLAGS.compile_cache_dir).seal,
    )
    loop.train()
    best = loop.progress
    logging.info("best epoch %s, validation loss %.4f", best.best_epoch, best.best_loss)
    logging.info("its model: %s", run.model_file)
    logging.info("its curves: tensorboard --logdir=%s", run.tensorboard)
    logging.info("judge it: python -m trainer.evaluate --workdir=%s --output_dir=REPORT", run.path)


def _request_from_flags() -> _Request:
    profile_steps = _parse_steps(FLAGS.profile_steps)
    data_hosts = parse_addresses(FLAGS.data_service)
    data_dir = FLAGS.data_dir or default_data_dir()
    dataset = open_dataset(FLAGS.dataset, data_dir)
    config = _config_from_flags(dataset.name, data_dir)
    if data_hosts and config.cache not in ("auto", "off"):
        raise UserError(
            f"--cache={config.cache} holds images here, and --data_service loads them elsewhere: "
            "leave one of them out"
        )
    workdir = _workdir(config)
    if workdir:
        _refuse_other_config(Run(workdir), config)
        _refuse_other_data(Run(workdir), dataset)
    weights = _describe_weights(config)  # Last: they may have to be fetched.
    return _Request(config, workdir, dataset, weights, data_hosts, profile_steps)


def _architecture(config: configuration.Config, dataset: BuiltDataset) -> dict[str, Any]:
    """What `models.build` is told of the network, its weights and precision apart."""
    return {
        "num_classes": len(dataset.class_names),
        "image_shape": dataset.image_shape,
        "scaling": config.scaling,
        "train_backbone": config.train_backbone,
        "head": config.head,
        "dropout": config.dropout,
        "input_pooling": config.input_pooling,
        "pooling": config.pooling,
        "map_dropout": config.map_dropout,
    }


def _try_phases(model: keras.Model, phases: Sequence[Phase]) -> None:
    """Prepares the model for each phase, the first last, before the long work starts."""
    for phase in reversed(phases):
        prepare(model, phase)


def _read_splits(request: _Request) -> tuple[ExampleStream, ExampleStream]:
    """The examples to train on and those to validate on."""
    cache = "off" if request.data_hosts else request.config.cache
    train, validation = (
        read_examples(request.dataset, split, cache=cache, shuffle_seed=seed)
        for split, seed in (("train", request.config.seed), ("validation", None))
    )
    logging.info(
        "%s: %d training, %d validation examples of %d classes",
        request.dataset.name, train.size, validation.size, len(request.dataset.class_names),
    )  # fmt: skip
    return train, validation


def _summary_of_data(
    request: _Request, train: ExampleStream, validation: ExampleStream
) -> dict[str, Any]:
    return {
        "class_names": request.dataset.class_names,
        "image_shape": request.dataset.image_shape,
        "train_examples": train.size,
        "validation_examples": validation.size,
        "data_hosts": request.data_hosts,
        "cache": {"train": train.cache, "validation": validation.cache},
        "digests": request.dataset.digests(),
    }


def _describe_weights(config: configuration.Config) -> dict[str, str] | None:
    """The file that the weights came from; None if they are random."""
    if config.weights == "none":
        return None
    return describe_weights(find_weights(config.weights, BACKBONES[config.model].imagenet))


def _network_input(model: keras.Model, config: configuration.Config, batch: dict) -> np.ndarray:
    """A batch as it enters the network, after augmentation and scaling."""
    images = augment(batch["image"], batch["draws"], Augmentation.of(config))
    return keras.Model(model.input, model.get_layer("scaling").output)(images).numpy()


def _workdir(config: configuration.Config) -> pathlib.Path | None:
    if FLAGS.workdir is None and config.strategy == "multi_worker":
        raise UserError(
            "--strategy=multi_worker needs a --workdir that all workers share: the chief writes "
            "checkpoints there, and all workers read them"
        )
    return pathlib.Path(FLAGS.workdir) if FLAGS.workdir else None


def _memory_told(
    config: configuration.Config, replicas: int
) -> contextlib.AbstractContextManager[None]:
    batch = f"--global_batch_size={config.global_batch_size} on {replicas} replica(s)"
    return memory_told(
        f"train {config.model} with {batch} and --accumulation_steps={config.accumulation_steps}",
        "lower --global_batch_size, or raise --accumulation_steps, in a new --workdir",
    )


def _config_from_flags(dataset: str, data_dir: str) -> configuration.Config:
    resolved = {"model", "recipe", "dataset", "data_dir"}
    names = [field.name for field in dataclasses.fields(configuration.Config)]
    settings = {name: FLAGS[name].value for name in names if name not in resolved}
    return configuration.make(
        FLAGS.recipe, FLAGS.model, settings | {"dataset": dataset, "data_dir": data_dir}
    )


def _refuse_other_config(run: Run, config: configuration.Config) -> None:
    stored = run.read_config()
    differences = config.differences(stored["config"]) if stored else []
    if differences:
        raise UserError(
            f"{run.path} holds a run of another configuration; give another --workdir, or the "
            f"same flags to go on with it. Differences: {'; '.join(differences)}"
        )


def _refuse_other_data(run: Run, dataset: BuiltDataset) -> None:
    stored = run.read_config()
    if stored and (changed := dataset.changed_splits(stored["dataset"].get("digests", {}))):
        raise UserError(
            f"{run.path} was trained on another content of {dataset.name}: {', '.join(changed)} in "
            f"{dataset.data_dir} were built anew from other radiographs. Build the dataset as it "
            "was to go on, or give another --workdir"
        )


def _parse_steps(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and int(first) < int(last)):
        raise UserError(f"--profile_steps={text}: expected two steps A:B with A below B")
    return int(first), int(last)


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tensorflow_datasets": tfds.__version__,
        "numpy": np.__version__,
    }


def _use_compile_cache() -> None:
    if FLAGS.xla != "off":
        CompileCache(FLAGS.compile_cache_dir).use()


def start() -> None:
    """Starts the command: flags in, exit code out."""
    command.run(main, before_devices=_use_compile_cache)


if __name__ == "__main__":
    start()

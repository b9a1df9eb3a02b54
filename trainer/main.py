r"""Trains one of the four models on a built dataset.

On all GPUs of this machine (without any: on one CPU device), from where `tfds build` puts datasets:

    python -m trainer.main --model=vgg19 --strategy=mirrored

On a laptop, with two replicas on virtual CPU devices:

    python -m trainer.main --model=lenet --strategy=mirrored --virtual_devices=2 \
        --data_dir=DATA --workdir=RUN

The same command again goes on with a run that was interrupted. This is a research tool, not a
medical device.
"""

import dataclasses
import math
import platform

import keras
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import flags, logging

from trainer import command, hardware, models
from trainer import config as configuration
from trainer.data.dataset import DEFAULT_DATASET, default_data_dir, open_dataset
from trainer.data.input import CACHES, read_examples
from trainer.errors import UserError
from trainer.models.preprocess import SCALINGS
from trainer.run import Run, new_workdir
from trainer.training.checkpoint import Checkpoint, Progress
from trainer.training.engine import Engine
from trainer.training.loop import Loop
from trainer.training.loss_scale import DynamicLossScale
from trainer.training.monitor import Profile

flags.DEFINE_enum("model", None, models.NAMES, "The network to train.", required=True)
flags.DEFINE_enum("recipe", "seed", configuration.RECIPES.keys(), "Named set of hyper-parameters.")
flags.DEFINE_string("workdir", None, "The run's directory; default: a new one under runs/.")
flags.DEFINE_string("dataset", DEFAULT_DATASET, "TFDS name of the dataset, name/config[:version].")
flags.DEFINE_string(
    "data_dir", None, "Where the dataset was built; default: TFDS_DATA_DIR, ~/tensorflow_datasets."
)
flags.DEFINE_enum("cache", "auto", CACHES, "Where decoded images are held between epochs.")
flags.DEFINE_enum("strategy", "mirrored", hardware.STRATEGIES, "How the work is distributed.")
flags.DEFINE_enum("precision", "auto", hardware.PRECISIONS, "Keras dtype policy.")
flags.DEFINE_enum("xla", "auto", hardware.XLA_MODES, "Compile with XLA; auto: on for GPUs.")
flags.DEFINE_integer(
    "virtual_devices", 0, "Split the CPU into so many devices and use them.", lower_bound=0
)
flags.DEFINE_integer("seed", 0, "Seed of weights, order and augmentation.", lower_bound=0)
flags.DEFINE_bool("deterministic", False, "Bit-identical results on the same device, slower.")
flags.DEFINE_string("profile_steps", None, "A:B records a profile from step A to step B.")
# Hyper-parameters: the recipe's value, unless given.
flags.DEFINE_string("weights", None, "imagenet, none, or a Keras weights file of the backbone.")
flags.DEFINE_bool("train_backbone", None, "Train the backbone's weights too.")
flags.DEFINE_enum("scaling", None, SCALINGS.keys(), "Scaling of gray values.")
flags.DEFINE_bool("flip", None, "Flip training images left to right at random.")
flags.DEFINE_integer("global_batch_size", None, "Examples per step over all replicas.")
flags.DEFINE_integer("epochs", None, "Most epochs.")
flags.DEFINE_integer("patience", None, "Epochs without a better validation loss before stopping.")
flags.DEFINE_float("learning_rate", None, "Adam's learning rate.")

FLAGS = flags.FLAGS


def main() -> None:
    """Trains."""
    profile_steps = _parse_steps(FLAGS.profile_steps)
    data_dir = FLAGS.data_dir or default_data_dir()
    dataset = open_dataset(FLAGS.dataset, data_dir)
    config = _config_from_flags(dataset.name, data_dir)

    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    devices = hardware.resolve(
        config.strategy, config.precision, config.xla, config.virtual_devices
    )
    configuration.check_batch(config, devices.num_replicas)

    run = Run(FLAGS.workdir or new_workdir(config.model))
    _refuse_other_config(run, config)
    run.create()
    logging.info("run directory: %s", run.path)

    architecture = {
        "num_classes": len(dataset.class_names),
        "image_shape": dataset.image_shape,
        "scaling": config.scaling,
        "train_backbone": config.train_backbone,
    }
    with devices.strategy.scope():
        model = models.build(
            config.model, config.weights, precision=devices.precision, **architecture
        )
        optimizer = keras.optimizers.Adam(config.learning_rate)
        loss_scale = DynamicLossScale() if devices.precision == "mixed_float16" else None
    engine = Engine(
        devices.strategy, model, optimizer, xla=devices.xla, flip=config.flip,
        loss_scale=loss_scale, time_input=not config.deterministic,
    )  # fmt: skip

    progress = Progress()
    checkpoint = Checkpoint(
        run.checkpoints, model=model, optimizer=optimizer, progress=progress, loss_scale=loss_scale
    )
    if checkpoint.restore():
        logging.info("going on after epoch %d", progress.epochs)

    train_examples = read_examples(dataset, "train", cache=config.cache, shuffle_seed=config.seed)
    validation_examples = read_examples(
        dataset, "validation", cache=config.cache, shuffle_seed=None
    )
    logging.info(
        "%s: %d training, %d validation examples of %d classes",
        dataset.name, train_examples.size, validation_examples.size, len(dataset.class_names),
    )  # fmt: skip

    run.write_config(
        {
            "config": dataclasses.asdict(config),
            "hardware": devices.summary(),
            "dataset": {
                "class_names": dataset.class_names,
                "image_shape": dataset.image_shape,
                "train_examples": train_examples.size,
                "validation_examples": validation_examples.size,
                "cache": {"train": train_examples.cache, "validation": validation_examples.cache},
            },
            "parameters": {
                "total": model.count_params(),
                "trainable": sum(math.prod(v.shape) for v in model.trainable_variables),
            },
            "versions": _versions(),
        }
    )
    run.write_status("running", progress.best_epoch, progress.best_loss)
    outcome = Loop(
        run=run,
        config=config,
        strategy=devices.strategy,
        engine=engine,
        model=model,
        best_model=models.build(config.model, **architecture),
        train_examples=train_examples,
        validation_examples=validation_examples,
        progress=progress,
        checkpoint=checkpoint,
        profile=Profile(run.tensorboard, profile_steps),
    ).train()
    run.write_status(outcome, progress.best_epoch, progress.best_loss)
    _report(run, outcome, progress)


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


def _report(run: Run, outcome: str, progress: Progress) -> None:
    if outcome == "diverged":
        raise UserError(
            f"training diverged in epoch {progress.epochs + 1}: the loss is not finite; lower "
            f"--learning_rate. The last good checkpoint is in {run.checkpoints}"
        )
    logging.info("best epoch %s, validation loss %.4f", progress.best_epoch, progress.best_loss)
    logging.info("judge it: python -m trainer.evaluate --workdir=%s --output_dir=REPORT", run.path)


if __name__ == "__main__":
    command.run(main)

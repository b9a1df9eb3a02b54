"""The commands as functions, for notebooks and scripts.

    from trainer import api

    data = api.open_dataset("DATA")
    print(data.class_names, data.sizes)
    run = api.train("lenet", data_dir="DATA", workdir="RUN", epochs=12)
    evaluation = api.evaluate(run, split="test", output_dir="REPORT")
    print(evaluation.report.models["RUN"].statistics.values["accuracy"])
    print(evaluation.table().head())
    for explanation in api.explain(run, split="test", method="hirescam", per_class=2):
        print(explanation.example.id, explanation.heat.shape)

Each function does what its command does, writes the same files, and raises an error of
`trainer.errors` where the command ends with an exit code. Any flag of the command is a keyword
argument of the same name. Several trainings may follow each other in one process. This is a
research tool, not a medical device.
"""

import functools
import os
import pathlib
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from cxr_command import log
from trainer import main, settings
from trainer.compile_cache import CompileCache
from trainer.data import opening
from trainer.data.dataset import BuiltDataset
from trainer.data.plain_batches import batches
from trainer.data.source import DEFAULT_DATASET
from trainer.directory import require_writable
from trainer.evaluation import options as of_evaluation
from trainer.evaluation.evaluation import Evaluation, evaluate_runs
from trainer.evaluation.provenance import provenance
from trainer.explain import options as of_explanation
from trainer.explain.explanation import Explainer, Explanation
from trainer.explain.run_gallery import write_gallery
from trainer.given_value import typed
from trainer.gpu_memory import let_memory_grow
from trainer.memory import memory_told
from trainer.models import build as build_model
from trainer.run import Run
from trainer.training.request import make_request

__all__ = ["batches", "build_model", "evaluate", "explain", "open_dataset", "train"]

_Path = str | os.PathLike


def open_dataset(data_dir: _Path | None = None, name: str = DEFAULT_DATASET) -> BuiltDataset:
    """Opens a dataset built by `tfds build` or the builder's `download_and_prepare`.

    Args:
        data_dir: where it was built; None: TFDS_DATA_DIR, else ~/tensorflow_datasets.
        name: TFDS name, `name[/config][:version]`.

    Returns:
        The dataset, with its `class_names` and the `sizes` of its splits. `api.batches` reads a
        split.

    Raises:
        UserError: the dataset does not exist.
    """
    _start()
    directory = "" if data_dir is None else typed(str, "data_dir", data_dir)
    return opening.open_dataset(
        typed(str, "dataset", name), directory or opening.default_data_dir()
    )


def train(
    model: str,
    *,
    data_dir: _Path | None = None,
    workdir: _Path | None = None,
    recipe: str = "strong",
    **chosen: Any,
) -> Run:
    """Trains a network, or resumes its training, as `python -m trainer.main` does.

    Ctrl-C, or a notebook's "interrupt" button, stops training after the current step and saves a
    checkpoint; the same call with the same `workdir` resumes from it.

    Args:
        model: `lenet`, `resnet101`, `vgg19` or `densenet169`.
        data_dir: where the dataset was built; None: TFDS_DATA_DIR, else ~/tensorflow_datasets.
        workdir: the run's directory; None: a new one under runs/.
        recipe: `strong` or `seed`: values for all settings not passed explicitly.
        **chosen: other flags of the command, such as `epochs=12`.

    Returns:
        The run: `read_metrics` has a row for each epoch, `load_model` gives the best model.

    Raises:
        UserError: the request is invalid, or the loss is not finite; the message says what to do.
        Preempted: training was interrupted; a checkpoint has been saved.
        WorkerLost: another worker was lost.
    """
    if (directory := chosen.get("compile_cache_dir")) is not None:
        CompileCache(typed(str, "compile_cache_dir", directory)).use()
    _start()
    asked = {"model": model, "data_dir": data_dir, "workdir": workdir, "recipe": recipe}
    return main.train(make_request(asked | chosen))


@memory_told("evaluate the runs")
def evaluate(
    runs: Run | _Path | Sequence[Run | _Path], *, output_dir: _Path | None = None, **chosen: Any
) -> Evaluation:
    """Evaluates the best models of runs, as `python -m trainer.evaluate` does.

    Temperature and thresholds are fitted on the validation split and stored in the runs'
    directories.

    Args:
        runs: one or more runs returned by `train`, or run directories.
        output_dir: where the report is written; None: no report is written.
        **chosen: other flags of the command, such as `split="test"`: the fields of
            `trainer.evaluation.options.Options`.

    Returns:
        The metrics with confidence intervals, and the predictions as a table.

    Raises:
        UserError: a run or a radiograph cannot be read; the message names it.
    """
    _start()
    options = _options(of_evaluation.Options, chosen)
    workdirs = _paths("workdir", runs)
    directory = _writable(output_dir)
    command = _command("evaluate", options, directory, workdir=workdirs)
    evaluation = evaluate_runs(workdirs, options, provenance(command))
    if directory:
        evaluation.write(directory)
    return evaluation


@memory_told("explain the radiographs")
def explain(
    run: Run | _Path,
    *,
    images: _Path | Sequence[_Path] = (),
    output_dir: _Path | None = None,
    **chosen: Any,
) -> list[Explanation]:
    """Makes heatmaps for a run's best model, as `python -m trainer.export_gradcam` does.

    Args:
        run: a run returned by `train`, or a run directory.
        images: image files, folders or globs to explain instead of a `split`.
        output_dir: where the gallery is written; None: no gallery is written.
        **chosen: other flags of the command, such as `split="test"`, `per_class=2`,
            `method="hirescam"`: the fields of `trainer.explain.options.Options`.

    Returns:
        One explanation per radiograph; about 0.3 MB each at 224x224.

    Raises:
        UserError: the run or a radiograph cannot be read; the message names it.
    """
    _start()
    options = _options(of_explanation.Options, chosen)
    workdir, patterns = _text("workdir", run), _paths("images", images)
    directory = _writable(output_dir)
    explainer = Explainer(Run(workdir), patterns, options)
    explanations: list[Explanation] = []
    if directory is None:
        explanations += explainer.explain()
        return explanations

    def kept() -> Iterator[Explanation]:
        for one in explainer.explain():
            explanations.append(one)
            yield one

    given = {"workdir": [workdir], "images": patterns}
    write_gallery(
        explainer, kept(), directory, _command("export_gradcam", options, directory, **given)
    )
    return explanations


@functools.cache
def _start() -> None:
    """Does the set-up that must precede TensorFlow's start, once per process."""
    log.set_up_for_notebook()
    CompileCache().use()
    let_memory_grow(tf.config.list_physical_devices("GPU"))


def _options(cls: type, chosen: dict[str, Any]) -> Any:
    settings.require_known(chosen, settings.declared(cls))
    # None means the default, as in `train`.
    return settings.fill(cls, {name: one for name, one in chosen.items() if one is not None})


def _paths(flag: str, given: Any) -> list[str]:
    """Converts one or more runs or paths to a list of strings."""
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    return [_text(flag, one) for one in (given if several else [given])]


def _text(flag: str, given: Any) -> str:
    return typed(str, flag, given.path if isinstance(given, Run) else given)


def _writable(output_dir: _Path | None) -> pathlib.Path | None:
    directory = "" if output_dir is None else _text("output_dir", output_dir)
    return require_writable(directory, "output_dir") if directory else None


def _command(name: str, options: Any, output_dir: pathlib.Path | None, **given: list[str]) -> str:
    """Returns the equivalent command line."""
    first = [f"--{flag}={value}" for flag, values in given.items() for value in values]
    last = [f"--output_dir={output_dir}"] if output_dir else []
    return shlex.join(
        ["python", "-m", f"trainer.{name}", *first, *settings.as_flags(options), *last]
    )

"""Each run's predictions on its held-out examples, computed once and stored in the run."""

import dataclasses
import io
import os
import pathlib
from collections.abc import Callable, Mapping

import numpy as np
from absl import logging

from cxr_command.checksums import sha256_of
from trainer.data.dataset import BuiltDataset
from trainer.data.examples import Examples, load_split
from trainer.data.records import Records
from trainer.data.selection import is_split, select
from trainer.directory import move_files, unfinished, writing_to
from trainer.errors import Damaged, UserError
from trainer.evaluation.predictions import predictor
from trainer.evaluation.several_runs import splits_of
from trainer.parsing import parsing
from trainer.progress_line import ProgressLine
from trainer.run import Run

KEPT_FILE = "held_out_predictions.npz"


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """The predictions of one run.

    Attributes:
        split: split of the examples, in TFDS notation.
        ids: `[examples] str`.
        labels: `[examples] int`.
        groups: `[examples]`, equal for all copies of a radiograph; None if unknown.
        probabilities: `[examples, classes] float64`.
        train_examples: number of training examples of the run.
    """

    split: str
    ids: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    probabilities: np.ndarray
    train_examples: int


def predict_held_out(
    runs: Mapping[str, Run],
    contents: Mapping[str, dict],
    splits: Mapping[str, str],
    dataset: BuiltDataset,
) -> dict[str, HeldOut]:
    """Reads the runs' stored predictions; computes and stores missing ones.

    Predictions that cannot be stored, as in a read-only run, are recomputed every time, which is
    logged.

    Args:
        runs: runs by name.
        contents: content of config.json by run name.
        splits: test split by run name.
        dataset: the dataset that they were trained on.

    Returns:
        The predictions of each run.

    Raises:
        UserError: a run was trained or validated on its test examples.
    """
    records = {name: select(dataset, splits[name]) for name in runs}
    for name, content in contents.items():
        _require_unseen(name, splits[name], records[name], content, dataset)
    found, loaded, done = {}, _LastSplit(dataset), 0
    progress = ProgressLine("predictions", sum(map(len, records.values())), 1)
    # Group the runs of one split, so that its images are read once.
    for name in sorted(runs, key=lambda name: (splits[name], name)):
        index = records[name].index
        found[name] = HeldOut(
            split=splits[name],
            ids=np.char.decode(index["id"].astype(bytes), "utf-8"),
            labels=index["label"].astype(int),
            groups=index["group"] if "group" in index.dtype.names else None,
            probabilities=_probabilities(runs[name], splits[name], records[name], dataset, loaded),
            train_examples=contents[name]["dataset"]["train_examples"],
        )
        done += len(index)
        progress.show(done)
    progress.clear()
    return found


class _LastSplit:
    """Caches the images of the split read last."""

    def __init__(self, dataset: BuiltDataset) -> None:
        self._dataset = dataset
        self._loaded: tuple[str, Examples] | None = None

    def __call__(self, split: str) -> Examples:
        if self._loaded is None or self._loaded[0] != split:
            self._loaded = split, load_split(self._dataset, split)
        return self._loaded[1]


def _require_unseen(
    name: str, split: str, records: Records, content: dict, dataset: BuiltDataset
) -> None:
    for used in splits_of({name: content}):
        shared = select(dataset, used).shares_with(records) if is_split(dataset, used) else 0
        if shared:
            raise UserError(
                f"{name} was trained or validated on {used}, which has {shared} examples in common "
                f"with {split}: test it on examples that it has not seen"
            )


def _probabilities(
    run: Run,
    split: str,
    records: Records,
    dataset: BuiltDataset,
    loaded: Callable[[str], Examples],
) -> np.ndarray:
    """Returns the stored predictions if they match the model and the records, else new ones."""
    try:
        kept = read_kept(
            run.path / KEPT_FILE,
            _key(sha256_of(run.model_file), records),
            (len(records), len(dataset.class_names)),
        )
    except Damaged as damage:
        logging.warning("%s", damage)
        kept = None
    if kept is not None:
        return kept
    logging.info("%s predicts %d radiographs of %s", run.path.name, len(records), split)
    best = run.load_model()
    probabilities = predictor(best.network, flip=False)(loaded(split).images)
    try:
        keep(run.path, _key(best.sha256, records), probabilities)
    except UserError as error:
        logging.warning("the predictions are not kept: %s", error)
    return probabilities


def _key(model_sha256: str, records: Records) -> str:
    return f"{model_sha256} {records.digest}"


def read_kept(path: pathlib.Path, key: str, shape: tuple[int, int]) -> np.ndarray | None:
    """Reads a run's stored predictions and verifies their checksums.

    Args:
        path: the file.
        key: key of the model and the records.
        shape: `(examples, classes)`.

    Returns:
        `[examples, classes] float64`; None if missing, or of another model or other records.

    Raises:
        Damaged: the bytes have changed.
        Unreadable: the operating system could not read the file.
    """
    if not os.path.lexists(path):
        return None
    with parsing(path, "it is predicted anew"):
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            kept = {name: archive[name] for name in archive.files}
        if str(kept["key"]) != key:
            return None
        if kept["probabilities"].shape != shape:
            raise ValueError(f"its shape is {kept['probabilities'].shape}, expected {shape}")
        return kept["probabilities"]


def keep(folder: pathlib.Path, key: str, probabilities: np.ndarray) -> None:
    """Stores a run's predictions beside its model.

    Args:
        folder: the run's directory.
        key: key of the model and the records.
        probabilities: `[examples, classes] float64`.

    Raises:
        UserError: the file cannot be written.
    """
    with writing_to(folder), unfinished(folder) as partial:
        np.savez(partial / KEPT_FILE, key=np.array(key), probabilities=probabilities)
        move_files(partial, folder)

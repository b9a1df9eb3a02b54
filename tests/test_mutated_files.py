"""Files of every kind that a command reads, with bytes changed, lost and added.

    python -m pytest -s -m slow tests/test_mutated_files.py

tries 2,000 of each kind and prints how many were read unchanged, refused and by which error, or
read with other values, which only kinds without checksums may be. Whatever was changed: no other
error than the project's, no hang, bounded memory, and no file changed or gone.
"""

import contextlib
import faulthandler
import functools
import hashlib
import json
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import keras
import numpy as np
import openpyxl
import pytest
import tensorflow as tf
from etils import epath
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cxr_command import split_table
from cxr_command.radiograph import manifest
from cxr_command.radiograph.refusal import NotARadiograph
from cxr_tfds.covid19_radiography import archive, inspection, source
from cxr_tfds.covid19_radiography.refusal import RefusedError
from tests.conftest import ROOT
from tests.support import radiograph_file, small_dataset
from trainer import best_model
from trainer.data.example_stream import read_examples
from trainer.data.examples import load_split
from trainer.data.feature_cache import FeatureCache
from trainer.data.opening import open_dataset
from trainer.errors import UserError
from trainer.evaluation import training_features
from trainer.evaluation.study import held_out, layout
from trainer.models.weights import load_weights
from trainer.run import Run
from trainer.training.checkpoint import Checkpoints, read_progress, read_state
from trainer.training.progress import Progress

FEW, MANY = 30, 2000
_MOST_SECONDS = 120
_MOST_BYTES = 2 << 30
SHAPE = (32, 32, 1)
NAME = "unknown_images"
VERSION = f"data/{NAME}/1.0.0"


class Refused(UserError):
    """Something that is refused without an error: a fault of a list, a cache to be made anew."""


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        name: its name.
        make: writes intact files in a folder; returns the one that is changed.
        read: reads it as the commands do; returns what can be compared.
        is_exact: whether no change may go unnoticed.
        refusals: the errors that its reader may raise.
    """

    name: str
    make: Callable[[pathlib.Path], pathlib.Path]
    read: Callable[[pathlib.Path], object]
    is_exact: bool = False
    refusals: tuple[type[Exception], ...] = (UserError, RefusedError, NotARadiograph)


class Edit(NamedTuple):
    """A change: what is done, where as a share of the file's length, and with which bytes."""

    how: str
    where: int
    payload: bytes

    def apply(self, content: bytes) -> bytes:
        place = self.where * len(content) >> 16
        head, tail = content[:place], content[place:]
        size = len(self.payload)
        match self.how:
            case "flip":
                return head + bytes(b ^ 255 for b in tail[:1]) + tail[1:]
            case "overwrite":
                return head + self.payload + tail[size:]
            case "insert":
                return head + self.payload + tail
            case "drop":
                return head + tail[size:]
            case "repeat":
                return head + tail[: 64 * size] + tail
            case _:
                return head


EDITS = st.lists(
    st.builds(
        Edit,
        st.sampled_from(["flip", "overwrite", "insert", "drop", "repeat", "cut"]),
        st.integers(0, 2**16 - 1),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def digest(*arrays: np.ndarray) -> str:
    content = b"".join(repr(a.shape).encode() + np.ascontiguousarray(a).tobytes() for a in arrays)
    return hashlib.sha256(content).hexdigest()


def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 48), np.uint8)


def image(name: str) -> Callable:
    def make(folder):
        Image.fromarray(pixels()).save(folder / name)
        return folder / name

    return make


def read_image(path: pathlib.Path) -> str:
    return digest(radiograph_file.read(path, SHAPE))


def make_dicom(folder: pathlib.Path) -> pathlib.Path:
    from tests.support.dicom_file import write

    return write(folder / "a.dcm")


def make_radiograph(folder: pathlib.Path) -> pathlib.Path:
    (folder / "database/COVID/images").mkdir(parents=True)
    return image("COVID-1.png")(folder / "database/COVID/images")


def look_at_radiograph(path: pathlib.Path) -> str:
    radiograph = source.Radiograph("COVID-1", "COVID", "unknown", epath.Path(path), None)
    found, gray, _ = inspection.look(radiograph)
    if any(fault.kind.stops for fault in found.faults):
        raise Refused(found.faults[0].kind.text)
    return digest(gray)


def make_zip(folder: pathlib.Path) -> pathlib.Path:
    path = folder / "manual/archive.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(3):
            name = f"{source.DATABASE}/COVID/images/COVID-{number}.png"
            file.writestr(name, pixels()[number:].tobytes())
    return path


def extract(path: pathlib.Path) -> dict[str, bytes]:
    place = path.parents[1] / "extracted"
    try:
        found = pathlib.Path(archive.open_database(epath.Path(path.parent), epath.Path(place)))
        return {
            str(file.relative_to(found)): file.read_bytes()
            for file in sorted(found.rglob("*"))
            if file.is_file()
        }
    except RefusedError:
        # Nothing of an archive that is refused stays.
        assert not [file for file in place.rglob("*") if file.is_file()]
        raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


def make_workbook(folder: pathlib.Path) -> pathlib.Path:
    book = openpyxl.Workbook()
    book.active.append(["FILE NAME", "FORMAT", "SIZE", "URL"])
    for number in range(1, 6):
        book.active.append([f"COVID-{number}", "PNG", "256*256", "https://sirm.org/x"])
    book.save(folder / "COVID.metadata.xlsx")
    return folder / "COVID.metadata.xlsx"


def read_workbook(path: pathlib.Path) -> dict[str, str]:
    sources, faults = source.read_sources(epath.Path(path), "COVID")
    if faults:
        raise Refused(faults[0].kind.text)
    return sources


def text_file(name: str, content: object) -> Callable:
    def make(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return make


MANIFEST = f"""path,label,patient,age,split
manifest.csv,Normal,P1,61,train
{ROOT / "README.md"},COVID,P1,0.5,test
"""

CONFIG = {
    "config": {"model": "lenet", "dataset": "small_images:1.0.0", "data_dir": "data"},
    "dataset": {
        "class_names": ["a", "b"], "image_shape": list(SHAPE), "train_examples": 96,
        "validation_examples": 32,
    },
    "parameters": {"total": 100, "trainable": 50},
}  # fmt: skip
STATUS = {"status": "done", "best_epoch": 2, "best_validation_loss": 0.25}
CALIBRATION = {
    "split": "validation", "examples": 32, "temperature": 1.5, "log_loss_before": 0.5,
    "log_loss_after": 0.4, "sensitivity": 0.9, "thresholds": {"a": 0.5, "b": None},
}  # fmt: skip
METRICS = {"epoch": 1, "loss": 0.5, "accuracy": 0.75, "validation_loss": 0.5}
STUDY = {
    "plan": "recipe = seed", "seeds": [0, 1], "folds": 3,
    "configurations": [{"name": "all", "values": {"recipe": "seed"}}],
    "runs": [
        {"directory": f"seed={seed},fold={fold}of3", "configuration": "all", "seed": seed,
         "fold": fold}
        for seed in (0, 1) for fold in range(3)
    ],
}  # fmt: skip
SPLITS = "id,label,source,split,group,sha256\n" + "".join(
    f"COVID-{n},COVID,sirm,train,COVID-{n},{n:064}\n" for n in range(9)
)


def make_calibration(folder: pathlib.Path) -> pathlib.Path:
    (folder / "model.keras").write_bytes(b"a model")
    text_file("config.json", CONFIG)(folder)
    Run(folder).write_calibration(CALIBRATION, "0123")
    return folder / "calibration.json"


def make_training_features(folder: pathlib.Path) -> pathlib.Path:
    features = np.random.default_rng(0).normal(size=(20, 6))
    training_features.save(training_features.fit(features, np.zeros(20), features, "0"), folder)
    return folder / training_features.FILES[0]


def read_training_features(path: pathlib.Path) -> object:
    found = training_features.load(path.parent, "0")
    if found is None:
        raise Refused("it is of another model, or half replaced")
    return [found.whitening.tolist(), found.centres.tolist(), found.threshold]


def make_progress(folder: pathlib.Path) -> pathlib.Path:
    Progress(epochs=3, phase_epochs=3, best_epoch=2, best_loss=0.5).write(folder / "progress.json")
    return folder / "progress.json"


@functools.cache
def built() -> tempfile.TemporaryDirectory:
    """A small dataset, built once for all, under a name that TFDS knows from the files alone."""
    directory = tempfile.TemporaryDirectory()
    folder = pathlib.Path(directory.name)
    small_dataset.build(folder)
    (folder / "small_images").rename(folder / NAME)
    for path in (folder / NAME / "1.0.0").iterdir():
        if path.suffix == ".json":
            path.write_text(path.read_text().replace("small_images", NAME))
        path.rename(path.with_name(path.name.replace("small_images", NAME)))
    return directory


def dataset_file(name: str) -> Callable:
    def make(folder):
        shutil.copytree(built().name, folder / "data")
        return folder / VERSION / name

    return make


def read_dataset(path: pathlib.Path) -> object:
    dataset = open_dataset(NAME, str(path.parents[2]))
    examples = load_split(dataset, "test")
    return dataset.class_names, list(examples.ids), digest(examples.images, examples.labels)


def kept_in(folder: pathlib.Path) -> FeatureCache:
    """The cache of made-up features of a split, in a folder."""
    dataset = open_dataset(NAME, built().name)
    with mock.patch.dict(os.environ, CXR_CACHE_DIR=str(folder)):
        return FeatureCache(dataset, "test", {}, views=1, width=8, dtype="float32")


def make_features(folder: pathlib.Path) -> pathlib.Path:
    cache = kept_in(folder)
    features = np.random.default_rng(0).normal(size=(4, 1, 8)).astype(np.float32)
    with cache.locked(lambda: None):
        cache.begin()
        cache.write(0, features)
        cache.finish()
    return next(cache.folder.glob("*.npy"))


def read_features(path: pathlib.Path) -> str:
    cache, dataset = kept_in(path.parents[1]), open_dataset(NAME, built().name)
    if not cache.is_whole():
        raise Refused("they are computed anew")
    examples = cache.examples(read_examples(dataset, "test", cache="off", shuffle_seed=None))
    (batch,) = examples.one_pass(4)
    return digest(examples.finish(batch)["features"].numpy())


def small_network() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, name="one"),
            keras.layers.Dense(2, name="logits"),
        ],
        name="small",
    )


def make_model(folder: pathlib.Path) -> pathlib.Path:
    small_network().save(folder / "model.keras")
    return folder / "model.keras"


def read_model(path: pathlib.Path) -> str:
    return digest(*best_model.read_model(path, (6,), 2).network.get_weights())


def make_weights(folder: pathlib.Path) -> pathlib.Path:
    import h5py

    network = small_network()
    with h5py.File(folder / "w.h5", "w") as file:
        keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(file, network)
    return folder / "w.h5"


def read_weights(path: pathlib.Path) -> str:
    network = small_network()
    load_weights(network, path)
    return digest(*network.get_weights())


def make_checkpoint(folder: pathlib.Path) -> pathlib.Path:
    state = {"vector": tf.range(500, dtype=tf.float32), "iterations": tf.constant(7, tf.int64)}
    progress, checkpoints = Progress(), Checkpoints(folder / "checkpoints")
    progress.finish_epoch(0.5)
    checkpoints.save(lambda: state, progress)
    checkpoints.wait()
    return next(folder.glob("checkpoints/*/state.npz"))


def read_checkpoint(path: pathlib.Path) -> object:
    newest = Checkpoints(path.parents[1]).newest_whole()
    state = read_state(newest, {"vector": tf.TensorShape([500]), "iterations": tf.TensorShape([])})
    return digest(*state.values()), read_progress(newest)


def make_predictions(folder: pathlib.Path) -> pathlib.Path:
    held_out.keep(folder, "model records", np.random.default_rng(0).random((50, 4)))
    return folder / held_out.KEPT_FILE


def read_predictions(path: pathlib.Path) -> str:
    kept = held_out.read_kept(path, "model records", (50, 4))
    if kept is None:
        raise Refused("of another model")
    return digest(kept)


KINDS = [
    Kind("PNG file of a user", image("a.png"), read_image),
    Kind("JPEG file of a user", image("a.jpg"), read_image),
    Kind("DICOM file", make_dicom, read_image),
    Kind("PNG file of the database", make_radiograph, look_at_radiograph),
    Kind("zip file of the database", make_zip, extract, is_exact=True),
    Kind("metadata workbook", make_workbook, read_workbook, is_exact=True),
    Kind("config.json", text_file("config.json", CONFIG), lambda p: Run(p.parent).read_config()),
    Kind("status.json", text_file("status.json", STATUS), lambda p: Run(p.parent).read_status()),
    Kind("metrics.jsonl", text_file("metrics.jsonl", json.dumps(METRICS) + "\n"),
         lambda p: Run(p.parent).read_metrics()),
    Kind("calibration.json", make_calibration, lambda p: Run(p.parent).read_calibration("0123")),
    Kind("study.json", text_file("study.json", STUDY), lambda p: layout.read_study(p.parent)),
    Kind("kept predictions", make_predictions, read_predictions, is_exact=True),
    Kind("training_features.json", make_training_features, read_training_features),
    Kind("training_features.npy",
         lambda folder: make_training_features(folder).with_suffix(".npy"),
         read_training_features, is_exact=True),
    Kind("progress.json", make_progress, Progress.read),
    Kind("splits.csv", text_file("splits.csv", SPLITS), lambda p: split_table.read(p.parent),
         refusals=(RefusedError, ValueError)),
    Kind("manifest", text_file("manifest.csv", MANIFEST), lambda p: manifest.read(p).cases,
         refusals=(manifest.ManifestError,)),
    Kind("dataset_info.json", dataset_file("dataset_info.json"), read_dataset),
    Kind("features.json", dataset_file("features.json"), read_dataset),
    Kind("labels.txt", dataset_file("label.labels.txt"), read_dataset),
    Kind("TFRecord shard", dataset_file(f"{NAME}-test.tfrecord-00000-of-00001"),
         read_dataset, is_exact=True),
    Kind("kept features", make_features, read_features, is_exact=True),
    Kind("model.keras", make_model, read_model, is_exact=True),
    Kind("weights .h5", make_weights, read_weights),
    Kind("checkpoint's state.npz", make_checkpoint, read_checkpoint, is_exact=True),
]  # fmt: skip


def contents(folder: pathlib.Path) -> Counter:
    return Counter(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@contextlib.contextmanager
def no_hang():
    """Ends the tests, with a stack trace, if what is inside takes too long."""
    faulthandler.dump_traceback_later(_MOST_SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def outcome_of(kind: Kind, path: pathlib.Path, expected: object) -> str:
    try:
        with no_hang():
            found = kind.read(path)
    except kind.refusals as error:
        assert str(error), "it says nothing"
        return f"refused: {type(error).__name__}"
    return "read unchanged" if found == expected else "read with other values"


def outcomes(kind: Kind, folder: pathlib.Path, examples: int) -> Counter:
    """How often each outcome was met, and raises at one that may not be."""
    intact, found = folder / "intact", Counter()
    intact.mkdir()
    path = kind.make(intact).relative_to(intact)
    content = (intact / path).read_bytes()
    expected = kind.read(intact / path)

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    )  # fmt: skip
    @given(EDITS)
    def examine(edits):
        changed = content
        for edit in edits:
            changed = edit.apply(changed)
        work = folder / "work"
        shutil.copytree(intact, work)
        try:
            (work / path).write_bytes(changed)
            before = contents(work)
            outcome = outcome_of(kind, work / path, expected)
            assert contents(work) == before
        finally:
            shutil.rmtree(work)
        assert not (kind.is_exact and outcome == "read with other values")
        found[outcome] += 1

    examine()
    return found


@pytest.fixture(scope="module")
def table():
    rows = {}
    yield rows
    columns = sorted({outcome for row in rows.values() for outcome in row})
    print("\n\n" + " | ".join(["kind", *columns]))
    for name, row in rows.items():
        print(" | ".join([name, *(f"{row[column]:,}" for column in columns)]))


def parameter(kind: Kind):
    return pytest.param(kind, id=kind.name)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", [parameter(kind) for kind in KINDS])
@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_a_changed_file_is_read_right_or_refused(kind, examples, tmp_path, table):
    peak = peak_bytes()
    found = outcomes(kind, tmp_path, examples)
    table[f"{kind.name}, {sum(found.values())} tried"] = found
    assert peak_bytes() - peak < _MOST_BYTES


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (Edit("flip", 2**15, b"x"), bytes([0, 1, 253, 3])),
        (Edit("overwrite", 2**14, b"ab"), b"\0ab\3"),
        (Edit("insert", 2**15, b"ab"), b"\0\1ab\2\3"),
        (Edit("drop", 0, b"ab"), b"\2\3"),
        (Edit("repeat", 2**15, b"a"), b"\0\1\2\3\2\3"),
        (Edit("cut", 2**14, b"a"), b"\0"),
    ],
)
def test_edits_are_what_they_are_called(edit, expected):
    assert edit.apply(bytes(range(4))) == expected


def test_a_reader_that_fails_otherwise_is_found(tmp_path):
    kind = Kind(
        "text", text_file("a", "text" * 9), lambda path: {b"text" * 9: 1}[path.read_bytes()]
    )
    with pytest.raises(KeyError):
        outcomes(kind, tmp_path, 5)


def test_a_change_that_goes_unnoticed_is_found(tmp_path):
    kind = Kind("bytes", text_file("a", "text" * 9), lambda path: path.read_bytes(), is_exact=True)
    with pytest.raises(AssertionError):
        outcomes(kind, tmp_path, 5)


def test_a_file_that_is_deleted_is_found(tmp_path):
    def read(path):
        if path.read_bytes() != b"text" * 9:
            path.unlink()
        return "text"

    with pytest.raises(AssertionError):
        outcomes(Kind("gone", text_file("a", "text" * 9), read), tmp_path, 5)

"""Faults of files, folders, processes and the machine, one row each.

Mistakes in flags are in test_mistakes.py. `test_faults.py` creates each fault in its own folder,
runs the command and checks the result.
"""

import json
import os
import pathlib
import re
import signal
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.support import damage
from tests.support.damage import Damage, all_of
from tests.support.forked_commands import BUILD

TRAIN = "trainer.main --model=lenet --recipe=seed --dataset=small_images --data_dir=data"
ENCODED = "trainer.main --model=lenet --recipe=seed --dataset=other_images --data_dir=other"
# The command that created `run`; the same command resumes it.
AGAIN = f"{TRAIN} --epochs=1 --checkpoint_steps=3 --workdir=run"
FROZEN = (
    "trainer.main --model=vgg19 --weights=none --recipe=seed --epochs=1 --feature_cache=on "
    "--dataset=small_images --data_dir=data --workdir=frozen"
)
EVALUATE = "trainer.evaluate --workdir=run --resamples=100 --output_dir=out"
EXPLAIN = "trainer.export_gradcam --workdir=run --nocurves --output_dir=out"
EXPORT = "trainer.export_model --workdir=run --output_dir=out"
TFDS_BUILD = f"{BUILD} --config=224x224 --manual_dir=manual --data_dir=built"
STUDY = "trainer.study --study_dir=study --plan=plan.txt"
PLAN = (
    "model = lenet\nrecipe = seed\ndataset = small_images\ndata_dir = data\nepochs = 1\n"
    "checkpoint_steps = 3\n"
)
LAUNCH = "launch.local --num_workers=1 -- {python} -c"

LONG = "n" * 300
TOO_LONG = "too long|no such|not exist|no file|has no mask|not a readable"
DATABASE = "manual/COVID-19_Radiography_Dataset"
IMAGE = f"{DATABASE}/COVID/images/COVID-2.png"
WORKBOOK = f"{DATABASE}/COVID.metadata.xlsx"
SHEET = "xl/worksheets/sheet1.xml"
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (98 + depth, b"&%c;" % (97 + depth) * 10) for depth in range(12)
    )
    + b"]><worksheet><sheetData><row><c><v>&m;</v></c></row></sheetData></worksheet>"
)
VERSION = "data/small_images/1.0.0"
SHARD = f"{VERSION}/small_images-%s.tfrecord-00000-of-00001"
TRAIN_SHARD, TEST_SHARD = SHARD % "train", SHARD % "test"
OTHER_VERSION = "other/other_images/1.0.0"
OTHER_SHARD = f"{OTHER_VERSION}/other_images-%s.tfrecord-00000-of-00001"
NEWEST = "run/checkpoints/epoch-00001-*"
EVERY = "run/checkpoints/epoch-*"
# Files that a resumed training may rewrite.
RUN = r"run[^/]*/(status|config|metrics|model|checkpoints|tensorboard)"
# Files that a training rejected after its start may rewrite.
STARTED = "run/(status|config)"
MODEL_CONFIG = "config.json"


class Beside(NamedTuple):
    """Another command that runs in parallel: a file that shows its start, and whether to end it.

    A command that is not ended is waited for.
    """

    command: str
    shows: str
    is_ended: bool = True


class Fault(NamedTuple):
    """One fault.

    Attributes:
        what: description of the fault.
        command: the command, from `python -m` on.
        code: the expected exit code or codes.
        says: a pattern of the output, in the one-line error if it fails.
        do: creates the fault in the folder.
        after: checks the folder afterwards.
        writes: a pattern of existing files that the command may rewrite. Files created by `do` must
            remain, possibly renamed.
        slow: whether it only runs in the drills.
        environment: environment variables of the command.
        sends: a signal to send once a file exists.
        reads: number of output lines read before the reader leaves.
        closed: whether stderr is closed.
        beside: another command that runs in parallel.
    """

    what: str
    command: str
    code: int | tuple[int, ...]
    says: str
    do: Damage = damage.nothing
    after: Callable[[pathlib.Path], None] = damage.nothing
    writes: str = "(?!)"
    slow: bool = False
    environment: Mapping[str, str] = {}
    sends: tuple[signal.Signals, str] | None = None
    reads: int | None = None
    closed: bool = False
    beside: Beside | None = None

    @property
    def needs_process(self) -> bool:
        """Whether a new process is needed instead of a fork, as streams are set up at start."""
        special = self.sends or self.closed or "LC_ALL" in self.environment
        return bool(special) or self.reads is not None


def with_checkpoints(**fields: object) -> Damage:
    """Changes the progress of every checkpoint, so that none can be resumed."""
    return damage.edit_json(f"{EVERY}/progress.json", **fields)


TUNED = {
    "split": "validation", "examples": 32, "temperature": 1.0, "log_loss_before": 0.5,
    "log_loss_after": 0.4, "sensitivity": 0.9, "thresholds": dict.fromkeys("abcd", 0.5),
}  # fmt: skip


def with_calibration(content: dict) -> Damage:
    """Writes a calibration of the run's model."""

    def write(folder):
        import hashlib

        digest = hashlib.sha256((folder / "run/model.keras").read_bytes()).hexdigest()
        (folder / "run/calibration.json").write_text(json.dumps({"model_sha256": digest} | content))

    return write


def edit_model(**fields: object) -> Damage:
    """Changes the configuration of a layer of the run's model."""

    def change(content):
        model = json.loads(content)
        model["config"]["layers"][1] |= fields
        return json.dumps(model).encode()

    return damage.rewrite_zip("run/model.keras", damage.member(MODEL_CONFIG, change))


def non_utf8_image(folder: pathlib.Path) -> None:
    name = os.fsdecode(b"bad-\xff.png")
    (folder / "images/a/0.png").rename(folder / "images/a" / name)


def no_partial_run(folder: pathlib.Path) -> None:
    assert not (folder / "runs").exists()


def set_aside(folder: pathlib.Path) -> None:
    assert list((folder / "run/checkpoints").glob("damaged-epoch-*"))


def caches_set_aside(folder: pathlib.Path) -> None:
    assert list((folder / "cache").rglob("damaged-*"))


def cells_are_no_formulas(folder: pathlib.Path) -> None:
    import csv

    for path in folder.glob("out/*.csv"):
        with path.open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "@")], path


def no_markup(folder: pathlib.Path) -> None:
    import markdown_it

    pages = {path: path.read_text() for path in folder.glob("out/*.html")}
    for path in folder.glob("out/*.md"):
        pages[path] = markdown_it.MarkdownIt("commonmark").render(path.read_text())
    assert pages
    for path, page in pages.items():
        assert "<script>alert" not in page, path


def status_is(state: str, run: str = "run") -> Callable[[pathlib.Path], None]:
    def check(folder):
        assert json.loads((folder / run / "status.json").read_text())["status"] == state

    return check


def is_stale(folder: pathlib.Path) -> None:
    from trainer.run import Run

    assert Run(folder / "new").state() == "stale"


def answers_an_empty_batch(folder: pathlib.Path) -> None:
    import tensorflow as tf

    served = tf.saved_model.load(str(folder / "out")).signatures["serving_default"]
    answer = served(image_bytes=tf.constant([], tf.string))
    assert answer["probabilities"].shape[0] == 0


def refuses_a_huge_batch(folder: pathlib.Path) -> None:
    import tensorflow as tf

    damage.tall_png("huge.png", 8000, 8000)(folder)
    huge = (folder / "huge.png").read_bytes()
    (folder / "huge.png").unlink()
    served = tf.saved_model.load(str(folder / "out")).signatures["serving_default"]
    try:
        served(image_bytes=tf.constant([huge] * 20))
    except tf.errors.InvalidArgumentError:
        pass
    else:
        raise AssertionError("1.28 billion pixels were answered")


PATHS = [
    Fault(
        "a run in a folder named lr[1], goes on",
        AGAIN.replace("=run", "='run[1] *?'"),
        0,
        r"resuming after epoch 0, step 3",
        all_of(damage.remove(NEWEST), damage.move("run", "run[1] *?")),
        status_is("done", "run[1] *?"),
        writes=r"run\[1\]",
        slow=True,
    ),
    Fault(
        "a finished run in lr[1], again",
        AGAIN.replace("=run", "='run[1] *?'"),
        0,
        "best epoch 1",
        damage.move("run", "run[1] *?"),
        writes=r"run\[1\]",
    ),
    Fault(
        "data in data[1]",
        f"{TRAIN} --epochs=1 --workdir=new".replace("=data", "='data[1] *'"),
        0,
        "best epoch",
        damage.move("data", "data[1] *"),
    ),
    Fault(
        "a run and its data in brackets, evaluated",
        f"{EVALUATE} --data_dir='data[1]'".replace("=run", "='run[1]'"),
        0,
        "report: out",
        all_of(damage.move("run", "run[1]"), damage.move("data", "data[1]")),
        writes=r"run\[1\]/calibration",
        slow=True,
    ),
    Fault(
        "images in brackets, explained",
        f"{EXPLAIN} --images='images[1]/a/0.png'",
        0,
        "gallery",
        damage.move("images", "images[1]"),
        slow=True,
    ),
    Fault(
        "a folder of runs in brackets",
        "trainer.export_gradcam --runs_dir='runs[*]' --split=test "
        "--ids=test-0 --nocurves --output_dir='out[1]'",
        0,
        "gallery",
        damage.copy("run", "runs[*]/lr?"),
        slow=True,
    ),
    Fault(
        "an export to brackets",
        EXPORT.replace("=out", "='out[1] *'"),
        0,
        r"out\[1\] \*",
        slow=True,
    ),
    Fault(
        "an audit of brackets",
        "cxr_tfds.audit --data_dir='table[1]'",
        0,
        "8 radiographs",
        damage.move("table", "table[1]"),
    ),
    Fault(
        "folds of brackets",
        "cxr_tfds.folds --data_dir='table[*]' --folds=2 --output='f[1].csv'",
        0,
        "Wrote 8",
        damage.move("table", "table[*]"),
    ),
    Fault(
        "a build from and to brackets",
        TFDS_BUILD.replace("=manual", "='manual[1]'").replace("=built", "='built[*]'"),
        0,
        "",
        damage.move("manual", "manual[1]"),
        slow=True,
    ),
    Fault(
        "a study in brackets",
        STUDY.replace("=study ", "='study[*]' "),
        0,
        "done before",
        damage.copy("run", "study[*]/run"),
        slow=True,
    ),
]

CHECKPOINTS = [
    Fault(
        "the newest checkpoint cut short",
        AGAIN,
        0,
        "resuming after epoch 0, step 3",
        damage.truncate(f"{NEWEST}/state.npz"),
        set_aside,
        RUN,
    ),
    Fault(
        "a byte of the newest changed",
        AGAIN,
        0,
        "resuming after epoch 0, step 3",
        damage.flip(f"{NEWEST}/state.npz"),
        set_aside,
        RUN,
        slow=True,
    ),
    Fault(
        "the newest without progress.json",
        AGAIN,
        0,
        "resuming after epoch 0, step 3",
        damage.remove(f"{NEWEST}/progress.json"),
        set_aside,
        RUN,
        slow=True,
    ),
    Fault(
        "every checkpoint damaged",
        AGAIN,
        2,
        "no checkpoint in run/checkpoints can be used",
        damage.flip(f"{EVERY}/state.npz"),
        writes=STARTED,
    ),
    Fault(
        "a checkpoint that cannot be read",
        AGAIN,
        2,
        r"cannot be read \(Is a directory\) and may",
        damage.into_folder(f"{NEWEST}/state.npz"),
        writes=STARTED,
    ),
    Fault(
        "a link of links for a checkpoint",
        AGAIN,
        2,
        "cannot be read .* and may be whole",
        all_of(
            damage.remove(f"{NEWEST}/state.npz"),
            lambda folder: next(folder.glob(NEWEST)).joinpath("state.npz").symlink_to("state.npz"),
        ),
        writes=STARTED,
    ),
    Fault(
        "checkpoints of an earlier version",
        AGAIN,
        2,
        "another version of this project",
        damage.write(f"{NEWEST}/state.index", "x"),
        writes=STARTED,
    ),
    Fault(
        "checkpoints of another network",
        AGAIN,
        2,
        "another version of this project",
        lambda folder: write_foreign_state(folder),
        writes=STARTED,
    ),
    Fault(
        "what is no checkpoint beside them",
        AGAIN,
        0,
        "best epoch 1",
        damage.write("run/checkpoints/notes.txt", "mine"),
        writes=RUN,
    ),
]


def write_foreign_state(folder: pathlib.Path) -> None:
    import numpy as np

    for path in folder.glob(f"{EVERY}/state.npz"):
        np.savez(path, vector_0=np.zeros(3, np.float32))


NO_CHECKPOINT = "no checkpoint in run/checkpoints can be used"
JSON_FILES = [
    Fault("progress of {}", AGAIN, 2, NO_CHECKPOINT,
          damage.write(f"{EVERY}/progress.json", "{}"), writes=STARTED),
    Fault("a step of -5", AGAIN, 2, NO_CHECKPOINT, with_checkpoints(step=-5), writes=STARTED),
    Fault("phase 9", AGAIN, 2, "of phase 10 of 1", with_checkpoints(phase=9), writes=STARTED),
    Fault("epochs in words", AGAIN, 2, NO_CHECKPOINT,
          with_checkpoints(epochs="x"), writes=STARTED),
    Fault("sums of another length", AGAIN, 2, "has 1 sums, expected",
          with_checkpoints(train_sums=[1]), writes=STARTED),
    Fault("a best epoch beyond the last", AGAIN, 2, NO_CHECKPOINT,
          with_checkpoints(best_epoch=7, best_loss=0.1), writes=STARTED),
    Fault("step 10000", AGAIN, 2, "epoch-00001-step-0000000, epoch-00000-step-0000003; restore",
          with_checkpoints(step=10_000), writes=STARTED),
    Fault("config.json without a model", EVALUATE, 2, r"config.json is damaged .*'config'",
          damage.edit_json("run/config.json", config={})),
    Fault("class names that are a text", EVALUATE, 2, "config.json is damaged .*class_names",
          damage.edit_json("run/config.json", dataset__class_names="abcd")),
    Fault("radiographs of 0 pixels", EXPORT, 2, "config.json is damaged .*image_shape",
          damage.edit_json("run/config.json", dataset__image_shape=[0, 32, 1])),
    Fault("config.json of the letter [ 100,000 times", EXPLAIN + " --split=test", 2,
          "config.json is damaged .*nested too deeply",
          damage.write("run/config.json", "[" * 100_000)),
    Fault("config.json of bytes", EVALUATE, 2, "config.json is damaged",
          damage.write("run/config.json", b'{"config": "\xff"}')),
    Fault("config.json that is a folder", AGAIN, 2, r"config.json cannot be read \(Is a directory",
          damage.into_folder("run/config.json")),
    Fault("a status unknown", EXPLAIN + " --split=test", 2, "'status' is \"asleep\"",
          damage.edit_json("run/status.json", status="asleep")),
    Fault("best epoch 0", EXPORT, 2, "'best_epoch' is 0",
          damage.edit_json("run/status.json", best_epoch=0)),
    Fault("a loss that is no number", EXPLAIN + " --split=test", 2, "'best_validation_loss' is NaN",
          damage.edit_json("run/status.json", best_validation_loss=float("nan"))),
    Fault("metrics cut in a line", "trainer.export_gradcam --runs_dir=. --split=test "
          "--output_dir=out", 2, "metrics.jsonl is damaged .*line 1",
          damage.truncate("run/metrics.jsonl")),
    Fault("metrics of words", AGAIN, 2, "metrics.jsonl is damaged .*'epoch'",
          damage.write("run/metrics.jsonl", '{"epoch": "one"}\n'), writes=RUN),
    Fault("a temperature in words", f"{EVALUATE} --images_dir=images", 2,
          "calibration.json is damaged .*'temperature' is \"hot\"",
          with_calibration(TUNED | {"temperature": "hot"}), slow=True),
    Fault("thresholds that are a list", EXPORT, (0, 2), "",
          with_calibration(TUNED | {"thresholds": [1]}), slow=True),
    Fault("a study over a damaged status", STUDY, 2, "study/run/status.json is damaged",
          all_of(damage.copy("run", "study/run"), damage.write("study/run/status.json", "{"))),
    Fault("a study over a damaged config", STUDY, 2, "study/run/config.json is damaged",
          all_of(damage.copy("run", "study/run"), damage.truncate("study/run/config.json")),
          slow=True),
    Fault("a study.json cut short", STUDY, 2, "study.json is damaged .*remove it",
          damage.write("study/study.json", '{"plan": "model')),
    Fault("a splits.csv cut in a line", "cxr_tfds.audit --data_dir=table", 2, "whole rows",
          damage.truncate("table/covid19_radiography/224x224/1.0.0/splits.csv", 0.6)),
    Fault("a splits.csv of bytes", "cxr_tfds.folds --data_dir=table --output=f.csv", 2,
          "splits.csv", damage.write("table/covid19_radiography/224x224/1.0.0/splits.csv",
                                     b"id,label\xff\xfe\n")),
    Fault("a splits.csv that is a folder", "cxr_tfds.audit --data_dir=table", 2, "splits.csv",
          damage.into_folder("table/covid19_radiography/224x224/1.0.0/splits.csv")),
]  # fmt: skip

DIFFERS = "differs|other|changed|damaged|digest"
DATASETS = [
    Fault("a dataset rebuilt from other images, gone on with", AGAIN, 2, DIFFERS,
          damage.edit_examples(TRAIN_SHARD, damage.inverted_pixels), writes=STARTED),
    Fault("the shard of train copied over test", EVALUATE, 2, "damaged|records|differs",
          damage.copy(TRAIN_SHARD, TEST_SHARD)),
    Fault("a shard with twice the records", f"{TRAIN} --epochs=1 --workdir=new", 2,
          "damaged|records|differs", damage.edit_records(TRAIN_SHARD, lambda r: r + r)),
    Fault("a shard with half of the records, of twice the size", f"{TRAIN} --workdir=new", 2,
          "damaged|records|differs",
          all_of(damage.edit_records(TRAIN_SHARD, lambda r: r[::2]),
                 damage.edit_examples(TRAIN_SHARD, damage.larger_image))),
    Fault("shardLengths changed", f"{TRAIN} --epochs=1 --workdir=new", 2,
          "damaged|records|shardLengths|differs",
          lambda folder: change_shard_lengths(folder, "50")),
    Fault("shardLengths in words", f"{TRAIN} --epochs=1 --workdir=new", 2, "damaged|holds no",
          lambda folder: change_shard_lengths(folder, "many")),
    Fault("the labels' names cut short", EVALUATE, 2, "classes|label",
          damage.write(f"{VERSION}/label.labels.txt", "a\nb\nc\n")),
    Fault("the labels' names cut short before a training", f"{TRAIN} --epochs=1 --workdir=new", 2,
          "classes|label", damage.write(f"{VERSION}/label.labels.txt", "a\nb\nc\n")),
    Fault("a label's name twice", f"{TRAIN} --epochs=1 --workdir=new", 2, "twice|distinct|label",
          damage.write(f"{VERSION}/label.labels.txt", "a\nb\nc\nc\n")),
    Fault("no labels' names", EVALUATE, 2, "classes",
          damage.remove(f"{VERSION}/label.labels.txt")),
    Fault("label 9 of 4", f"{TRAIN} --epochs=1 --workdir=new", 2, "label",
          damage.edit_examples(TRAIN_SHARD, damage.set_label(9), 1)),
    Fault("label -1, unknown", f"{TRAIN} --epochs=1 --workdir=new", 0, "of unknown class",
          damage.edit_examples(TRAIN_SHARD, damage.set_label(-1), 1)),
    Fault("label -2", f"{TRAIN} --epochs=1 --workdir=new", 2, "label",
          damage.edit_examples(TRAIN_SHARD, damage.set_label(-2), 1)),
    Fault("label 9 in the split to evaluate", EVALUATE, 2, "label",
          damage.edit_examples(TEST_SHARD, damage.set_label(9), 1)),
    Fault("images of another size", f"{TRAIN} --epochs=1 --workdir=new", 2, "size|shape|damaged",
          damage.edit_examples(TRAIN_SHARD, damage.larger_image, 1)),
    Fault("images of another size to evaluate", EVALUATE, 2, "size|shape|damaged",
          damage.edit_examples(TEST_SHARD, damage.larger_image, 1)),
    Fault("records that are no examples", f"{TRAIN} --epochs=1 --workdir=new", 2, "damaged",
          damage.edit_records(TRAIN_SHARD, lambda records: [b"x" * 2000] * len(records))),
    Fault("features.json of words", f"{TRAIN} --workdir=new", 2, "damaged",
          damage.write(f"{VERSION}/features.json", "some words")),
    Fault("features.json without the image", f"{TRAIN} --workdir=new", 2, "damaged|image",
          damage.edit_json(f"{VERSION}/features.json", featuresDict={"features": {}})),
    Fault("dataset_info.json of {}", f"{TRAIN} --workdir=new", 2, "damaged|no split|holds no",
          damage.write(f"{VERSION}/dataset_info.json", "{}")),
    Fault("dataset_info.json that is a folder", f"{TRAIN} --workdir=new", 2, "data",
          damage.into_folder(f"{VERSION}/dataset_info.json")),
    Fault("a shard that is a folder", f"{TRAIN} --workdir=new", 2, "damaged|cannot be read",
          damage.into_folder(TRAIN_SHARD)),
    Fault("a damaged record, streamed", f"{TRAIN} --cache=off --epochs=1 --workdir=new", 2,
          "damaged", damage.flip(TRAIN_SHARD)),
    Fault("a damaged record to validate on, streamed",
          f"{TRAIN} --cache=off --epochs=1 --workdir=new", 2, "damaged",
          damage.flip(SHARD % "validation")),
    Fault("a damaged record to evaluate", EVALUATE, 2, "damaged", damage.flip(TEST_SHARD)),
    Fault("a damaged record to explain", f"{EXPLAIN} --split=test", 2, "damaged",
          damage.flip(TEST_SHARD)),
    Fault("a damaged record among those to calibrate on", EVALUATE, 2, "damaged",
          damage.flip(SHARD % "validation")),
    Fault("encoded images: train copied over validation", f"{ENCODED} --epochs=1 --workdir=new", 2,
          "damaged|records|differs",
          damage.copy(OTHER_SHARD % "train", OTHER_SHARD % "validation")),
    Fault("encoded images: one that is none", f"{ENCODED} --epochs=1 --cache=off --workdir=new", 2,
          "damaged", damage.edit_examples(OTHER_SHARD % "train", damage.garbage_image, 1)),
    Fault("encoded images: a damaged record, to the disk cache",
          f"{ENCODED} --epochs=1 --cache=disk --workdir=new", 2, "damaged",
          damage.flip(OTHER_SHARD % "train"), environment={"CXR_CACHE_DIR": "cache"}),
    Fault("encoded images: one that is none, to the disk cache",
          f"{ENCODED} --epochs=1 --cache=disk --workdir=new", 2, "damaged",
          damage.edit_examples(OTHER_SHARD % "train", damage.garbage_image, 1),
          environment={"CXR_CACHE_DIR": "cache"}),
    Fault("encoded images: a damaged record, decoded in every epoch",
          f"{ENCODED} --epochs=1 --cache=off --workdir=new", 2, "damaged",
          damage.flip(OTHER_SHARD % "train")),
    Fault("a calibration of a run on other data", EVALUATE, 2, DIFFERS,
          damage.edit_examples(SHARD % "validation", damage.inverted_pixels),
          writes="run/calibration", slow=True),
]  # fmt: skip


def change_shard_lengths(folder: pathlib.Path, length: str) -> None:
    path = folder / VERSION / "dataset_info.json"
    info = json.loads(path.read_text())
    info["splits"][0]["shardLengths"] = [length]
    path.write_text(json.dumps(info))


CACHE = {"CXR_CACHE_DIR": "cache"}
KEPT = dict(environment=CACHE, slow=True, writes=r"(frozen|cache)/")
ENCODED_AGAIN = f"{ENCODED} --epochs=1 --cache=disk --workdir=new"
CACHES = [
    Fault("other pixels of the same size, kept features", FROZEN.replace("=frozen", "=new"), 0,
          "features of train: .* of which 0 of",
          damage.edit_examples(TRAIN_SHARD, damage.inverted_pixels), **KEPT),
    Fault("ids that repeat, kept features", FROZEN.replace("=frozen", "=new"), 0, "best epoch",
          damage.edit_examples(TRAIN_SHARD, damage.same_id), **KEPT),
    Fault("a byte of the kept features changed", FROZEN.replace("=frozen", "=new"), 0, "damaged",
          damage.flip("cache/*train*/*.npy"), caches_set_aside, **KEPT),
    Fault("kept features cut short", FROZEN.replace("=frozen", "=new"), 0, "damaged",
          damage.truncate("cache/*train*/*.npy"), caches_set_aside, **KEPT),
    Fault("a key of the kept features that is none", FROZEN.replace("=frozen", "=new"), 0, "",
          damage.write("cache/*train*/key.json", "{"), caches_set_aside, **KEPT),
    Fault("a byte of the decoded images changed", ENCODED_AGAIN, 0, "damaged",
          damage.flip("cache/other*train*/*.npy"), caches_set_aside,
          **KEPT | {"writes": "cache/"}),
    Fault("decoded images cut short", ENCODED_AGAIN, 0, "damaged",
          damage.truncate("cache/other*train*/*.npy"), caches_set_aside,
          **KEPT | {"writes": "cache/"}),
]  # fmt: skip

MODELS = [
    Fault("a model without config.json", EVALUATE, 2, "model.keras (cannot be loaded|is damaged)",
          damage.rewrite_zip("run/model.keras", damage.member(MODEL_CONFIG, lambda _: None))),
    Fault("a model whose config is {}", EVALUATE, 2, "model.keras (cannot be loaded|is damaged)",
          damage.rewrite_zip("run/model.keras", damage.member(MODEL_CONFIG, lambda _: b"{}"))),
    Fault("a model with a Lambda layer", EXPORT, 2, "model.keras (cannot be loaded|is damaged)",
          edit_model(module="keras.layers", class_name="Lambda",
                     config={"name": "x", "function": {"class_name": "__lambda__", "config": {}}})),
    Fault("a model with a layer of nobody", EXPORT, 2, "model.keras (cannot be loaded|is damaged)",
          edit_model(class_name="Nobody")),
    Fault("a model without its weights", EXPLAIN + " --split=test", 2,
          "model.keras (cannot be loaded|is damaged)",
          damage.rewrite_zip("run/model.keras",
                             damage.member("model.weights.h5", lambda _: None))),
    Fault("a model with half of its weights", EXPLAIN + " --split=test", 2,
          "model.keras (cannot be loaded|is damaged)",
          damage.rewrite_zip("run/model.keras",
                             damage.member("model.weights.h5", lambda c: c[: len(c) // 2]))),
    Fault("a byte of the model changed", EVALUATE, 2, "model.keras (cannot be loaded|is damaged)",
          damage.flip("run/model.keras")),
    Fault("a model of another number of classes", EVALUATE, 2, "model.keras|classes",
          damage.edit_json("run/config.json",
                           dataset__class_names=["a", "b", "c", "d", "e"])),
    Fault("a model that is a folder", EXPORT, 2, "model.keras",
          damage.into_folder("run/model.keras")),
    Fault("weights with a wrong attribute", "trainer.main --model=vgg19 --weights=w.h5 "
          "--dataset=small_images --data_dir=data --workdir=new", 2, "w.h5",
          lambda folder: write_weights(folder, layer_names=3)),
    Fault("weights that name layers that are not there", "trainer.main --model=vgg19 "
          "--weights=w.h5 --dataset=small_images --data_dir=data --workdir=new", 2, "w.h5",
          lambda folder: write_weights(folder, layer_names=["conv1"])),
    Fault("weights without names", "trainer.main --model=vgg19 --weights=w.h5 "
          "--dataset=small_images --data_dir=data --workdir=new", 2, "w.h5",
          lambda folder: write_weights(folder)),
]  # fmt: skip


def write_weights(folder: pathlib.Path, **attributes: object) -> None:
    import h5py

    with h5py.File(folder / "w.h5", "w") as file:
        file.attrs.update(attributes)


ARCHIVE = "zips/archive.zip"
FROM_ZIP = TFDS_BUILD.replace("=manual", "=zips")
PACKED = "COVID-19_Radiography_Dataset/COVID/images/COVID-2.png"


def from_zip(more: Callable | None = None, *damages: Damage) -> Damage:
    return all_of(damage.zipped(DATABASE, ARCHIVE, more), *damages)


FAULT = "Found 1 fault in|workbook"
BUILDS = [
    Fault("an encrypted zip", FROM_ZIP, 2, "archive.zip",
          from_zip(None, damage.edit_headers(ARCHIVE, PACKED, flag_bits=1))),
    Fault("a zip of an unknown method", FROM_ZIP, 2, "archive.zip",
          from_zip(None, damage.edit_headers(ARCHIVE, PACKED, method=99))),
    Fault("a zip with an entry twice", FROM_ZIP, 2, "archive.zip",
          from_zip(lambda file: file.writestr(PACKED, b"other"))),
    Fault("a zip with names too long", FROM_ZIP, 2, "archive.zip",
          from_zip(lambda file: file.writestr(PACKED.replace("COVID-2", LONG), b"x"))),
    Fault("a zip with a file used as a folder", FROM_ZIP, 2, "archive.zip",
          from_zip(lambda file: file.writestr(f"{PACKED}/COVID-3.png", b"x"))),
    Fault("a zip with a byte changed", FROM_ZIP, 2, "archive.zip",
          from_zip(None, damage.flip(ARCHIVE))),
    Fault("a zip that leads out of the folder", FROM_ZIP, 2, "lead out of the folder",
          from_zip(lambda file: file.writestr("../outside.png", b"x"))),
    Fault("a zip cut short", FROM_ZIP, 2, "archive.zip",
          from_zip(None, damage.truncate(ARCHIVE))),
    Fault("a workbook of broken XML", TFDS_BUILD, 2, FAULT,
          damage.rewrite_zip(WORKBOOK, damage.member(SHEET, lambda _: b"<worksheet><row"))),
    Fault("a workbook that is an entity bomb", TFDS_BUILD, 2, FAULT,
          damage.rewrite_zip(WORKBOOK, damage.member(SHEET, lambda _: BOMB))),
    Fault("a workbook without a sheet", TFDS_BUILD, 2, FAULT,
          damage.rewrite_zip(WORKBOOK, damage.member(
              "xl/workbook.xml", lambda c: re.sub(rb"<sheet .*?/>", b"", c)))),
    Fault("a workbook without workbook.xml", TFDS_BUILD, 2, FAULT,
          damage.rewrite_zip(WORKBOOK, damage.member("xl/workbook.xml", lambda _: None))),
    Fault("a workbook with a byte changed", TFDS_BUILD, 2, FAULT,
          damage.flip(WORKBOOK)),
    Fault("a workbook that is a folder", TFDS_BUILD, 2, FAULT, damage.into_folder(WORKBOOK)),
    Fault("a radiograph that is a folder", TFDS_BUILD, 2, FAULT, damage.into_folder(IMAGE)),
    Fault("a radiograph of 25,000,001 pixels", TFDS_BUILD, 2, FAULT,
          damage.tall_png(IMAGE, 25_000_001, 1)),
    Fault("what a killed build has left", TFDS_BUILD, 0, "incomplete",
          damage.write("built/covid19_radiography/224x224/incomplete.ABCDEF_1.0.0/x", "x"),
          writes="built/.*incomplete", slow=True),
    Fault("a second build beside it", TFDS_BUILD, (0, 2), "", slow=True,
          beside=Beside(TFDS_BUILD, "built", False)),
]  # fmt: skip

NAMES = [
    *(
        Fault(f"a name of 300 characters: {flag}", command, 2, TOO_LONG)
        for flag, command in {
            "train --workdir": f"{TRAIN} --workdir={LONG}",
            "train --data_dir": f"{TRAIN.replace('=data', f'={LONG}')} --workdir=new",
            "train --weights": "trainer.main --model=vgg19 --dataset=small_images --data_dir=data "
            f"--workdir=new --weights={LONG}",
            "evaluate --workdir": f"trainer.evaluate --workdir={LONG} --output_dir=out",
            "evaluate --output_dir": EVALUATE.replace("=out", f"={LONG}"),
            "evaluate --images_dir": f"{EVALUATE} --images_dir={LONG}",
            "gradcam --images": f"{EXPLAIN} --images={LONG}",
            "gradcam --masks_dir": f"{EXPLAIN} --split=test --masks_dir={LONG}",
            "export --output_dir": EXPORT.replace("=out", f"={LONG}"),
            "export --model_card": f"{EXPORT} --model_card={LONG}",
            "audit --data_dir": f"cxr_tfds.audit --data_dir={LONG}",
            "folds --output": f"cxr_tfds.folds --data_dir=table --folds=2 --output={LONG}",
            "phantom --output_dir": f"cxr_tfds.phantom --output_dir={LONG}",
        }.items()
    ),
    Fault("a name of 300 characters: study --study_dir", STUDY.replace("=study ", f"={LONG} "), 2,
          "too long|could not be written"),
    Fault("a name of 300 characters: study --plan", STUDY.replace("plan.txt", LONG), 2,
          "too long"),
    Fault("values of 300 characters in a study", STUDY, 0, "(?s)training.*done.*training.*done",
          damage.write("plan.txt", f"{PLAN}xla = off\ncompile_cache_dir = {LONG}, {LONG}x\n"),
          slow=True),
    Fault("values with a slash in a study", STUDY, 0, "(?s)training.*done.*training.*done",
          damage.write("plan.txt", f"{PLAN}xla = off\ncompile_cache_dir = a/b, a_b\n"),
          slow=True),
    Fault("file names that are not UTF-8, evaluated", f"{EVALUATE} --images_dir=images", (0, 2), "",
          non_utf8_image, slow=True),
    Fault("files whose names are not UTF-8, explained", f"{EXPLAIN} --images=images", (0, 2), "",
          non_utf8_image, slow=True),
    Fault("$ in a file's name", f"{EXPLAIN} --images='images/a'", 0, "gallery",
          damage.move("images/a/0.png", "images/a/a$b_{$.png"), slow=True),
    Fault("a locale of ASCII, a path of other letters",
          f"{TRAIN} --epochs=1 --workdir=läuf", 0, "best epoch", slow=True,
          environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, reads=10_000),
]  # fmt: skip


def readable_once(folder: pathlib.Path) -> None:
    """Makes a second reading of the model block forever."""
    path = folder / "run/model.keras"
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=[content], daemon=True).start()


MODELS += [
    Fault("a model replaced once it was read, evaluated", f"{EVALUATE} --images_dir=images", 0,
          "report", readable_once, slow=True),
    Fault("a model replaced once it was read, exported", EXPORT, 0, "exported to out",
          readable_once, slow=True),
]  # fmt: skip

DOLLARS = ["$x_{", "b$", "$c$", "d"]
NAMES += [
    Fault("$ in classes' names", EVALUATE, 0, "report",
          all_of(damage.write(f"{VERSION}/label.labels.txt", "\n".join(DOLLARS) + "\n"),
                 damage.edit_json("run/config.json", dataset__class_names=DOLLARS)), slow=True),
]  # fmt: skip

INJECTION = [
    Fault("a file named as a formula, explained", f"{EXPLAIN} --images=images/a", 0, "gallery",
          damage.move("images/a/0.png", "images/a/=1+1.png"), cells_are_no_formulas, slow=True),
    Fault("ids that are formulas, in folds",
          "cxr_tfds.folds --data_dir=table --folds=2 --output=out/folds.csv", 0, "Wrote 8",
          all_of(damage.write("out/.keep", ""), lambda folder: id_as_formula(folder)),
          cells_are_no_formulas),
    Fault("HTML in --note", f"{EVALUATE} --note='<script>alert(1)</script>'", 0, "report",
          after=no_markup, slow=True, writes="run/calibration"),
    Fault("HTML in the gallery's --note", f"{EXPLAIN} --images=images/a/0.png "
          "--note='<script>alert(1)</script>'", 0, "gallery", after=no_markup, slow=True),
    Fault("a class named in HTML, in a model's card", EXPORT, 0, "",
          damage.edit_json("run/config.json",
                           dataset__class_names=["<script>alert(1)</script>", "b", "c", "d"]),
          no_markup, slow=True),
]  # fmt: skip


def id_as_formula(folder: pathlib.Path) -> None:
    path = folder / "table/covid19_radiography/224x224/1.0.0/splits.csv"
    path.write_text(path.read_text().replace("COVID-1,COVID", "=COVID-1,COVID"))


SERVED = [
    Fault("an empty batch to a served model", EXPORT, 0, "", after=answers_an_empty_batch,
          slow=True),
    Fault("a batch of 1.28 billion pixels to a served model", EXPORT, 0, "",
          after=refuses_a_huge_batch, slow=True),
]  # fmt: skip

LONG_TRAINING = f"{TRAIN} --epochs=200 --patience=200 --workdir=new"
RUNS = "trainer.runs --runs_dir=runs"
DEAD = {
    "status": "running", "best_epoch": None, "best_validation_loss": None, "host": "elsewhere",
    "process_id": 1, "last_sign_of_life": "2020-01-01T00:00:00+00:00",
}  # fmt: skip
PROCESSES = [
    Fault("a terminal closed while a run trains", LONG_TRAINING, 75, "after step",
          after=status_is("preempted", "new"), sends=(signal.SIGHUP, "new/metrics.jsonl"),
          slow=True),
    Fault("SIGTERM while a run trains", LONG_TRAINING, 75, "after step",
          after=status_is("preempted", "new"), sends=(signal.SIGTERM, "new/metrics.jsonl"),
          slow=True),
    Fault("SIGKILL while a run trains", LONG_TRAINING, -signal.SIGKILL, "", after=is_stale,
          sends=(signal.SIGKILL, "new/metrics.jsonl"), slow=True),
    Fault("two trainings in one --workdir", LONG_TRAINING, 2, "process|lock|another",
          beside=Beside(LONG_TRAINING, "new/metrics.jsonl"), slow=True),
    Fault("a refused run without --workdir", f"{TRAIN} --global_batch_size=7 --virtual_devices=2",
          2, "does not divide", after=no_partial_run),
    Fault("a run that says running and is dead", RUNS, 0, "stale",
          all_of(damage.copy("run", "runs/dead"),
                 damage.write("runs/dead/status.json", json.dumps(DEAD)))),
    Fault("a list of runs of every state", RUNS, 0,
          "(?s)(?=.*stale)(?=.*done)(?=.*failed)(?=.*preempted)(?=.*diverged)",
          all_of(damage.copy("run", "runs/done"), damage.copy("run", "runs/dead"),
                 damage.write("runs/dead/status.json", json.dumps(DEAD)),
                 *(all_of(damage.copy("run", f"runs/of {state}"),
                          damage.edit_json(f"runs/of {state}/status.json", status=state))
                   for state in ("failed", "preempted", "diverged")))),
    Fault("a list of runs, one of them damaged", RUNS, (0, 2), "status.json",
          all_of(damage.copy("run", "runs/whole"), damage.copy("run", "runs/torn"),
                 damage.write("runs/torn/status.json", "{"))),
    Fault("SIGTERM to a study", STUDY, 75, "0 of 1 runs are done; the same command continues",
          damage.write("plan.txt", "model = lenet\nrecipe = seed\ndata_dir = data\n"
                       "dataset = small_images\nepochs = 200\npatience = 200\n"),
          status_is("preempted", "study/run"),
          sends=(signal.SIGTERM, "study/run/metrics.jsonl"), slow=True),
    Fault("two studies in one directory", STUDY, 2, "study is in use by process",
          damage.write("plan.txt", "model = lenet\nrecipe = seed\ndata_dir = data\n"
                       "dataset = small_images\nepochs = 200\npatience = 200\n"),
          beside=Beside(STUDY, "study/run/metrics.jsonl"), slow=True),
    Fault("a study into a file", STUDY, 2, r"study cannot be written to \(File exists\)",
          damage.write("study", "x")),
    Fault("a study whose run is a file", STUDY, 2, "1 of 1 runs failed",
          damage.write("study/run", "x"), slow=True),
    Fault("a reader of launch.local that leaves",
          f"{LAUNCH} 'import sys; print(chr(10) * 200000); sys.exit(9)'", 9, "", reads=1),
    Fault("launch.local without stderr", f"{LAUNCH} 'import sys; print(1); sys.exit(9)'", 9, "",
          closed=True),
    Fault("a closed terminal under launch.local", f"{LAUNCH} \"import pathlib, signal, sys, time; "
          "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); pathlib.Path('up').touch(); "
          "time.sleep(100)\"", 75, "", sends=(signal.SIGHUP, "up")),
    Fault("a mistake without stderr", "trainer.main --model=alexnet", 2, "", closed=True,
          slow=True),
    Fault("a worker's port in use", f"{TRAIN} --strategy=multi_worker --workdir=new", 76,
          "127.0.0.1:{port}.* another process uses it",
          environment={"TF_CONFIG": json.dumps({
              "cluster": {"worker": ["127.0.0.1:{port}"]},
              "task": {"type": "worker", "index": 0}})}),
]  # fmt: skip

FULL_DISKS = [
    Fault("a full disk while a run trains", f"{TRAIN} --epochs=1 --workdir=disk/run", 2,
          "make room", damage.disk(2000), status_is("failed", "disk/run"), slow=True),
    Fault("a full disk for folds.csv",
          "cxr_tfds.folds --data_dir=table --folds=2 --output=disk/folds.csv", 2, "disk/folds.csv",
          damage.disk(0)),
    Fault("a full disk for a study", STUDY.replace("=study ", "=disk/study "), 2, "disk/study",
          damage.disk(0), slow=True),
]  # fmt: skip

FAULTS = [
    *PATHS, *CHECKPOINTS, *JSON_FILES, *DATASETS, *CACHES, *MODELS, *BUILDS, *NAMES, *INJECTION,
    *SERVED, *PROCESSES, *FULL_DISKS,
]  # fmt: skip

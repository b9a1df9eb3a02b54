import csv
import hashlib
import inspect
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import cxr_tfds
from cxr_command import split_table
from cxr_tfds import phantom
from cxr_tfds.covid19_radiography import (
    covid19_radiography_dataset_builder,
    examples,
    faults,
    parallel,
    refusal,
    scratch,
    shards,
)
from tests.conftest import ROOT
from tests.support.forked_commands import bare_machine

TFDS = "tensorflow_datasets.scripts.cli.main"
PACKAGE = Path(cxr_tfds.__file__).parent / "covid19_radiography"
SPLITS = ("train", "validation", "test")
MASKLESS = "COVID-1"
COLOURED = "Viral Pneumonia-1"


@pytest.fixture(scope="module")
def manual_dir(tmp_path_factory):
    """The phantoms of `dummy_data`, one of them without its mask and one tinted."""
    copy = tmp_path_factory.mktemp("manual")
    shutil.copytree(PACKAGE / "dummy_data", copy, dirs_exist_ok=True)
    mask_file(copy, MASKLESS).unlink()
    gray = np.array(Image.open(image_file(copy, COLOURED)).convert("L"))
    tinted = np.stack([gray, gray // 2, 255 - gray], axis=-1)
    Image.fromarray(tinted).save(image_file(copy, COLOURED))
    return copy


@pytest.fixture(scope="module")
def data_dir(manual_dir, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("data")
    for config in ("full", "224x224"):
        build(config, manual_dir, data_dir)
    return data_dir


def build(config, manual_dir, data_dir, file_format=None, **options):
    builder = tfds.builder(f"covid19_radiography/{config}", data_dir=data_dir)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir, **options),
        file_format=file_format,
    )
    return builder


def tfds_build(manual_dir, data_dir, *flags):
    words = ["build", PACKAGE, f"--manual_dir={manual_dir}", f"--data_dir={data_dir}", *flags]
    return bare_machine().run(TFDS, list(map(str, words)), ROOT)


def version_dir(data_dir, config="224x224"):
    return Path(data_dir, "covid19_radiography", config, "1.0.0")


def files_and_hashes(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def image_file(manual_dir, radiograph_id):
    label = radiograph_id.rsplit("-", 1)[0]
    folder = manual_dir / "COVID-19_Radiography_Dataset" / label / "images"
    return folder / f"{radiograph_id}.png"


def mask_file(manual_dir, radiograph_id):
    return image_file(manual_dir, radiograph_id).parents[1] / "masks" / f"{radiograph_id}.png"


def raw_examples(data_dir, config):
    """Yields id, image bytes and mask bytes as they are stored, read without TFDS."""
    text = tf.io.FixedLenFeature((), tf.string)
    for file in sorted(Path(data_dir, "covid19_radiography", config).rglob("*.tfrecord*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            example = tf.io.parse_example(record, dict.fromkeys(("id", "image", "mask"), text))
            yield tuple(example[name].numpy() for name in ("id", "image", "mask"))


def test_full_stores_the_published_files(manual_dir, data_dir):
    examples = list(raw_examples(data_dir, "full"))
    assert len(examples) == 12
    for radiograph_id, image, mask in examples:
        radiograph_id = radiograph_id.decode()
        assert image == image_file(manual_dir, radiograph_id).read_bytes()
        published = mask_file(manual_dir, radiograph_id)
        assert mask == (published.read_bytes() if published.exists() else b"")


def test_224x224_stores_resized_gray_pixels(manual_dir, data_dir):
    examples = list(raw_examples(data_dir, "224x224"))
    assert len(examples) == 12
    for radiograph_id, image, _ in examples:
        radiograph_id = radiograph_id.decode()
        stored = np.frombuffer(image, np.uint8).reshape(224, 224, 1)
        gray = Image.open(image_file(manual_dir, radiograph_id)).convert("L")
        expected = np.array(gray.resize((224, 224), Image.BILINEAR))[..., None]
        if radiograph_id == COLOURED:  # libpng and Pillow round luma differently.
            assert np.abs(stored.astype(int) - expected).max() <= 1
        else:
            np.testing.assert_array_equal(stored, expected)


def test_224x224_holds_masks_of_zeros_and_ones(manual_dir, data_dir):
    for example in as_numpy(data_dir, "224x224"):
        mask = example["mask"][..., 0]
        assert example["has_mask"] == (example["id"].decode() != MASKLESS)
        if not example["has_mask"]:
            assert not mask.any()
            continue
        published = Image.open(mask_file(manual_dir, example["id"].decode())).convert("L")
        expected = np.array(published.resize((224, 224), Image.BILINEAR)) >= 128
        assert set(np.unique(mask)) == {0, 1}
        assert np.mean(mask == expected) > 0.99


def as_numpy(data_dir, config):
    """Reads a built dataset as a program does that has its folder and not this project."""
    builder = tfds.builder_from_directory(Path(data_dir, "covid19_radiography", config, "1.0.0"))
    for split in SPLITS:
        for example in tfds.as_numpy(builder.as_dataset(split=split)):
            named = {k: builder.info.features[k].int2str(example[k]) for k in ("label", "source")}
            yield example | named | {"split": split}


@pytest.mark.parametrize("config", ["full", "224x224"])
def test_a_built_dataset_can_be_read_without_the_builder(data_dir, config):
    examples = list(as_numpy(data_dir, config))
    assert sorted(example["id"].decode() for example in examples) == [
        f"{label}-{n}"
        for label in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
        for n in (1, 2, 3)
    ]
    for example in examples:
        assert example["id"].decode().startswith(example["label"])
        assert example["image"].dtype == np.uint8
        assert example["image"].shape[-1] == 1


def test_both_configurations_split_alike(data_dir):
    full, resized = (
        {example["id"]: (example["split"], example["source"]) for example in as_numpy(data_dir, c)}
        for c in ("full", "224x224")
    )
    assert full == resized


def test_importing_the_package_registers_the_builder_without_tensorflow():
    program = (
        "import sys, cxr_tfds; assert 'tensorflow' not in sys.modules;"
        "import tensorflow_datasets as tfds; print(tfds.builder_cls('covid19_radiography').name)"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout.strip() == "covid19_radiography"


def test_group_and_native_size_are_stored(manual_dir, data_dir):
    for config in ("full", "224x224"):
        for example in as_numpy(data_dir, config):
            assert example["group"] == example["id"]
            assert (example["height"], example["width"]) == (299, 299)
            assert example["height"].dtype == np.int32


def test_image_and_label_are_read_without_the_rest(data_dir):
    wanted = tfds.decode.PartialDecoding({"image": True, "label": True})
    data = tfds.builder_from_directory(version_dir(data_dir)).as_dataset("train", decoders=wanted)
    assert set(data.element_spec) == {"image", "label"}
    whole = tfds.builder_from_directory(version_dir(data_dir)).as_dataset("train")
    for part, example in zip(tfds.as_numpy(data), tfds.as_numpy(whole), strict=True):
        np.testing.assert_array_equal(part["image"], example["image"])


def test_the_table_of_splits_says_what_is_stored(manual_dir, data_dir):
    for config in ("full", "224x224"):
        with (version_dir(data_dir, config) / "splits.csv").open(newline="") as file:
            rows = {row["id"]: row for row in csv.DictReader(file)}
        stored = {example["id"].decode(): example for example in as_numpy(data_dir, config)}
        assert list(rows) == sorted(stored)
        for radiograph_id, row in rows.items():
            assert list(row) == ["id", "label", "source", "split", "group", "sha256"]
            for name in ("label", "source", "split"):
                assert row[name] == stored[radiograph_id][name]
            content = image_file(manual_dir, radiograph_id).read_bytes()
            assert row["sha256"] == hashlib.sha256(content).hexdigest()


def test_duplicates_get_one_group_and_one_split(tmp_path):
    phantom.write_database(tmp_path, 8)
    # A copy of the file, the same pixels in RGB, and the same picture smaller and darker.
    shutil.copy(image_file(tmp_path, "COVID-1"), image_file(tmp_path, "COVID-2"))
    picture = Image.open(image_file(tmp_path, "Normal-3"))
    picture.convert("RGB").save(image_file(tmp_path, "Normal-5"))
    processed = picture.resize((280, 280)).point(lambda value: value * 0.9)
    processed.save(image_file(tmp_path, "Normal-7"))

    build("224x224", tmp_path, tmp_path / "data")

    rows = split_table.read(version_dir(tmp_path / "data"))
    groups = defaultdict(set)
    for row in rows:
        groups[row.group].add(row.id)
    assert groups["COVID-1"] == {"COVID-1", "COVID-2"}
    assert groups["Normal-3"] == {"Normal-3", "Normal-5", "Normal-7"}
    assert sum(len(members) > 1 for members in groups.values()) == 2
    assert len({(row.group, row.split) for row in rows}) == len(groups)


@pytest.fixture(scope="module")
def built_backwards(manual_dir, tmp_path_factory):
    """Both datasets from a process that hashes strings otherwise, and lists folders backwards."""
    folder = tmp_path_factory.mktemp("backwards")
    program = (
        "import sys, cxr_tfds; import tensorflow_datasets as tfds; from etils import epath;"
        "listed = epath.gpath.PosixGPath.iterdir;"
        "epath.gpath.PosixGPath.iterdir = lambda path: sorted(listed(path), reverse=True);"
        "config = tfds.download.DownloadConfig(manual_dir=sys.argv[1]);"
        "build = lambda name: tfds.builder(f'covid19_radiography/{name}', data_dir=sys.argv[2])"
        ".download_and_prepare(download_config=config);"
        "build('full'); build('224x224')"
    )
    subprocess.run(  # noqa: S603
        [sys.executable, "-c", program, str(manual_dir), str(folder)],
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.parametrize("config", ["full", "224x224"])
def test_shards_are_the_same_bytes_whatever_the_order_of_folders(config, data_dir, built_backwards):
    built = files_and_hashes(version_dir(built_backwards, config))
    assert built == files_and_hashes(version_dir(data_dir, config))
    assert sum("tfrecord" in name for name in built) == 3


@pytest.mark.parametrize("config", ["full", "224x224"])
def test_beam_builds_the_same_examples_and_splits(config, manual_dir, data_dir, tmp_path):
    done = tfds_build(
        manual_dir,
        tmp_path,
        f"--config={config}",
        "--num_shards=1",
        # What DirectRunner runs, once it has tried to download a faster one.
        "--beam_pipeline_options=runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    )
    assert done.code == 0, done.said
    plain, beam = version_dir(data_dir, config), version_dir(tmp_path, config)
    assert (beam / "splits.csv").read_bytes() == (plain / "splits.csv").read_bytes()
    examples = [sorted(raw_examples(folder, config)) for folder in (data_dir, tmp_path)]
    assert examples[0] == examples[1]
    assert sorted(path.name for path in beam.iterdir()) == sorted(
        path.name for path in plain.iterdir()
    )


def test_the_datasheet_has_the_counts_of_the_table_and_is_not_sealed(data_dir):
    folder = version_dir(data_dir)
    with (folder / "splits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    text = (folder / "datasheet.md").read_text()
    assert f"{len(rows):,} radiographs" in text and "kaggle.com" in text
    for label in sorted({row["label"] for row in rows}):
        of_splits = [
            sum((row["label"], row["split"]) == (label, split) for row in rows)
            for split in ("train", "validation", "test")
        ]
        shown = label.replace("_", "\\_")
        assert f"| {shown} | {' | '.join(map(str, of_splits))} |" in text
    assert "datasheet.md" not in (folder / "SHA256SUMS").read_text()


def test_the_tfds_command_builds_it_with_its_flags(manual_dir, tmp_path):
    flags = ["--config=224x224", "--num_shards=2", "--file_format=array_record"]
    done = tfds_build(manual_dir, tmp_path, *flags, "--max_examples_per_split=2")
    assert done.code != 0
    assert "--num_shards=2 is more than the smallest split has examples, 1" in done.said

    flags[1] = "--num_shards=1"
    done = tfds_build(manual_dir, tmp_path, *flags, "--max_examples_per_split=2")
    assert done.code == 0, done.said
    builder = tfds.builder_from_directory(version_dir(tmp_path))
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    assert sizes == {"train": 2, "validation": 1, "test": 2}
    assert len(split_table.read(version_dir(tmp_path))) == 5
    assert len(list(version_dir(tmp_path).glob("*.array_record-*"))) == 3
    assert builder.as_data_source("train")[0]["image"].shape == (224, 224, 1)


def test_shards_hold_every_example_once_and_in_the_same_order(tmp_path):
    phantom.write_database(tmp_path, 20)
    orders = []
    for num_shards in (1, 3):
        data_dir = tmp_path / str(num_shards)
        builder = build("224x224", tmp_path, data_dir, num_shards=num_shards)
        assert builder.info.splits["train"].num_shards == num_shards
        orders.append([radiograph_id for radiograph_id, *_ in raw_examples(data_dir, "224x224")])
    assert orders[0] == orders[1]
    assert len(set(orders[0])) == 80


def test_no_examples_are_built_if_none_are_asked_for(manual_dir, tmp_path):
    builder = build("224x224", manual_dir, tmp_path, max_examples_per_split=0)
    assert not builder.info.splits


def test_the_zip_file_of_kaggle_builds_the_same(manual_dir, data_dir, tmp_path):
    (tmp_path / "manual").mkdir()
    shutil.make_archive(tmp_path / "manual" / "archive", "zip", manual_dir)
    build("224x224", tmp_path / "manual", tmp_path / "data")
    built, expected = version_dir(tmp_path / "data"), version_dir(data_dir)
    assert files_and_hashes(built) == files_and_hashes(expected)


def test_bad_input_is_listed_whole_and_leaves_nothing_built(manual_dir, tmp_path):
    shutil.copytree(manual_dir, tmp_path / "manual")
    image_file(tmp_path / "manual", "COVID-2").write_bytes(b"")
    image_file(tmp_path / "manual", "Normal-1").write_bytes(b"text")
    image_file(tmp_path / "manual", "Normal-2").write_bytes(b"text")
    with pytest.raises(faults.DatabaseError) as error:
        build("224x224", tmp_path / "manual", tmp_path / "data")
    lines = str(error.value).splitlines()
    assert lines[0].startswith("Found 3 faults in ") and "nothing was built" in lines[0]
    assert "  zero bytes (1):" in lines
    assert "    COVID/images/COVID-2.png" in lines
    assert "  not a PNG file (2):" in lines
    assert sum("Normal/images/Normal-" in line for line in lines) == 2
    left = [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert left == ["metadata.json"]  # TFDS's own note of the default configuration.


@pytest.mark.parametrize("files", [(), ("notes.txt",)])
def test_without_the_database_the_error_says_how_to_get_it(files, tmp_path):
    for file in files:
        (tmp_path / file).touch()
    builder = tfds.builder("covid19_radiography/full", data_dir=tmp_path / "data")
    config = tfds.download.DownloadConfig(manual_dir=tmp_path)
    page = "kaggle.com/datasets/tawsifurrahman/covid19-radiography-database"
    with pytest.raises((AssertionError, FileNotFoundError), match=page):
        builder.download_and_prepare(download_config=config)


# Where it is built, and what else is there ------------------------------------------------------


def left_in(data_dir):
    """The files and folders below a data directory, but those that every build leaves."""
    usual = {"covid19_radiography", ".config", "metadata.json", "downloads", "extracted"}
    return sorted(path.name for path in data_dir.rglob("*") if path.name not in usual)


def test_pattern_letters_are_letters_of_its_folders(manual_dir, data_dir, tmp_path):
    (tmp_path / "m [1] *?").mkdir()
    shutil.copytree(manual_dir, tmp_path / "m [1] *?", dirs_exist_ok=True)
    (tmp_path / "d 1 xy").mkdir()
    builder = build("224x224", tmp_path / "m [1] *?", tmp_path / "d [1] *?")
    built = version_dir(tmp_path / "d [1] *?")
    assert builder.is_prepared()
    assert files_and_hashes(built) == files_and_hashes(version_dir(data_dir))
    assert len(list(as_numpy(tmp_path / "d [1] *?", "224x224"))) == 12


def left_by_a_killed_build(folder, is_marked=True):
    """Makes what a build leaves that is killed while it writes."""
    folder.mkdir(parents=True)
    (folder / "shard").write_bytes(bytes(1000))
    if is_marked:
        ready, write = os.pipe()
        process = os.fork()
        if process == 0:
            with scratch.marked(folder):
                os.write(write, b"x")
                signal.pause()
        os.read(ready, 1)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def test_the_next_build_removes_what_a_killed_one_left(manual_dir, tmp_path, caplog):
    versions = version_dir(tmp_path).parent
    left_by_a_killed_build(versions / "incomplete.AAAAAA_1.0.0")
    left_by_a_killed_build(versions / "incomplete.BBBBBB_0.9.0")
    left_by_a_killed_build(versions / "incomplete.CCCCCC_1.0.0", is_marked=False)
    logging.getLogger("absl").addHandler(caplog.handler)
    try:
        build("224x224", manual_dir, tmp_path)
    finally:
        logging.getLogger("absl").removeHandler(caplog.handler)
    assert sorted(path.name for path in versions.iterdir()) == ["1.0.0", "incomplete.CCCCCC_1.0.0"]
    for name in ("AAAAAA_1.0.0", "BBBBBB_0.9.0", "CCCCCC_1.0.0"):
        assert f"incomplete.{name}" in caplog.text


def overtake(monkeypatch, other_build):
    """Lets another build run while the first one surveys the database."""
    survey = covid19_radiography_dataset_builder.Builder._survey

    def survey_and_be_overtaken(*args):
        monkeypatch.setattr(covid19_radiography_dataset_builder.Builder, "_survey", survey)
        other_build()
        return survey(*args)

    monkeypatch.setattr(
        covid19_radiography_dataset_builder.Builder, "_survey", survey_and_be_overtaken
    )


def test_a_second_build_stands_back_from_a_living_one(manual_dir, data_dir, tmp_path, monkeypatch):
    def build_too():
        with pytest.raises(refusal.RefusedError, match=rf"process {os.getpid()} on .* builds"):
            build("224x224", manual_dir, tmp_path)

    overtake(monkeypatch, build_too)
    build("224x224", manual_dir, tmp_path)
    assert files_and_hashes(version_dir(tmp_path)) == files_and_hashes(version_dir(data_dir))


def test_of_two_builds_at_once_the_faster_is_kept_and_the_slower_told(
    manual_dir, data_dir, tmp_path, monkeypatch
):
    # Neither sees the other, as when both begin at the same moment.
    monkeypatch.setattr(scratch, "sweep", lambda *_: {})
    overtake(monkeypatch, lambda: build("224x224", manual_dir, tmp_path))
    with pytest.raises(refusal.RefusedError, match="Another build finished .* was kept"):
        build("224x224", manual_dir, tmp_path)
    assert files_and_hashes(version_dir(tmp_path)) == files_and_hashes(version_dir(data_dir))
    assert [path.name for path in version_dir(tmp_path).parent.iterdir()] == ["1.0.0"]


def test_a_folder_that_holds_something_else_is_no_dataset(manual_dir, tmp_path):
    version_dir(tmp_path).mkdir(parents=True)
    (version_dir(tmp_path) / "thesis.txt").touch()
    with pytest.raises(refusal.RefusedError, match="not a complete dataset: move it"):
        build("224x224", manual_dir, tmp_path)
    assert left_in(tmp_path) == ["1.0.0", "224x224", "thesis.txt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(30, "Read-only file system"),
        tf.errors.ResourceExhaustedError(None, None, "shard; No space left on device"),
        tf.errors.PermissionDeniedError(None, None, "shard; Permission denied"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_system_refuses_while_it_writes_is_one_sentence(
    manual_dir, tmp_path, monkeypatch, error
):
    def refuse(_, path, records):
        next(records)
        raise error

    # So few are read ahead that some are left.
    monkeypatch.setattr(parallel, "_AHEAD", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    read, opened = examples.read, []
    monkeypatch.setattr(shards.CanonicalWriter, "write", refuse)
    monkeypatch.setattr(examples, "read", lambda *args: opened.append(read(*args)) or opened[-1])
    with pytest.raises(refusal.RefusedError) as refused:
        build("224x224", manual_dir, tmp_path)
    sentence = str(refused.value)
    start = f"Cannot build covid19_radiography/224x224/1.0.0 in {version_dir(tmp_path)}: "
    assert sentence.startswith(start) and len(sentence.splitlines()) == 1
    assert (error.strerror if isinstance(error, OSError) else error.message) in sentence
    # Its progress bar is gone, and stands in no line with the sentence.
    assert inspect.getgeneratorstate(opened[0]) == inspect.GEN_CLOSED
    assert left_in(tmp_path) == ["224x224"]


def test_what_may_not_be_listed_is_said(manual_dir, tmp_path, monkeypatch):
    listdir = os.listdir

    def refuse(path):
        if Path(path) == manual_dir:
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(refusal.RefusedError, match=f"Permission denied: {manual_dir}"):
        build("224x224", manual_dir, tmp_path)


def test_a_dataset_that_is_damaged_is_said_when_it_is_opened(data_dir, tmp_path):
    shutil.copytree(data_dir / "covid19_radiography", tmp_path / "covid19_radiography")
    (version_dir(tmp_path) / "dataset_info.json").write_text("{")
    with pytest.raises(refusal.RefusedError, match="Cannot open covid19_radiography in"):
        tfds.builder("covid19_radiography/224x224", data_dir=tmp_path)
    assert (version_dir(tmp_path) / "dataset_info.json").read_text() == "{"


@pytest.mark.slow
def test_a_locale_without_letters_builds_or_says_what_to_set(manual_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    shutil.copytree(manual_dir, tmp_path / "m\xe4nual")

    def build_in_locale(manual_dir, data_dir):  # Python reads the locale when it starts.
        flags = [f"--manual_dir={manual_dir}", f"--data_dir={data_dir}", "--config=224x224"]
        command = [sys.executable, "-m", TFDS, "build", str(PACKAGE), *flags]
        return subprocess.run(command, capture_output=True, text=True)  # noqa: S603

    done = build_in_locale(tmp_path / "m\xe4nual", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    done = build_in_locale(manual_dir, tmp_path / "d\xe4ta")
    assert done.returncode == 2
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "set PYTHONUTF8=1" in sentence and "Traceback" not in done.stderr
    monkeypatch.setenv("PYTHONUTF8", "1")
    done = build_in_locale(manual_dir, tmp_path / "d\xe4ta")
    assert done.returncode == 0, done.stderr

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import cxr_tfds

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
        tfds.builder(f"covid19_radiography/{config}", data_dir=data_dir).download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
        )
    return data_dir


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
        gray = np.array(Image.open(image_file(manual_dir, radiograph_id)).convert("L"))[..., None]
        expected = np.round(tf.image.resize(gray, (224, 224), antialias=True))
        if radiograph_id == COLOURED:  # libpng and Pillow round luma differently.
            assert np.abs(stored - expected).max() <= 1
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


def test_the_tfds_command_builds_it(manual_dir, tmp_path):
    command = [sys.executable, "-m", "tensorflow_datasets.scripts.cli.main", "build", str(PACKAGE)]
    flags = ["--config=224x224", f"--manual_dir={manual_dir}", f"--data_dir={tmp_path}"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 0, done.stderr
    builder = tfds.builder_from_directory(tmp_path / "covid19_radiography/224x224/1.0.0")
    sizes = {name: info.num_examples for name, info in builder.info.splits.items()}
    assert sizes == {"train": 9, "validation": 1, "test": 2}


@pytest.mark.parametrize("files", [(), ("archive.zip",)])
def test_without_the_database_the_error_says_how_to_get_it(files, tmp_path):
    for file in files:
        (tmp_path / file).touch()
    builder = tfds.builder("covid19_radiography/full", data_dir=tmp_path / "data")
    config = tfds.download.DownloadConfig(manual_dir=tmp_path)
    page = "kaggle.com/datasets/tawsifurrahman/covid19-radiography-database"
    with pytest.raises((AssertionError, FileNotFoundError), match=page):
        builder.download_and_prepare(download_config=config)

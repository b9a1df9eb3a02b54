import hashlib
import io
import json
import os
import pathlib
import zipfile

import h5py
import keras
import numpy as np
import pytest

from trainer import models
from trainer.best_model import read_model
from trainer.errors import Damaged, Unreadable

SHAPE = (32, 32, 1)
CONFIG, WEIGHTS = "config.json", "model.weights.h5"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two models of the same form and other weights, as bytes."""
    folder, contents = tmp_path_factory.mktemp("models"), []
    for number in range(2):
        keras.utils.set_random_seed(number)
        model = models.build("lenet", image_shape=SHAPE, num_classes=3)
        model.save(folder / f"{number}.keras")
        contents.append((folder / f"{number}.keras").read_bytes())
    return contents


@pytest.fixture(scope="module")
def parts(saved):
    """The files in model.keras by name."""
    with zipfile.ZipFile(io.BytesIO(saved[0])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(path, parts, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return path


def answers(model):
    return model(np.arange(32 * 32, dtype=np.uint32).astype(np.uint8).reshape(1, *SHAPE)).numpy()


def test_model_and_digest_are_of_the_same_bytes_though_the_file_is_replaced(
    saved, tmp_path, monkeypatch
):
    path = tmp_path / "model.keras"
    path.write_bytes(saved[0])
    load = keras.models.load_model

    def replace_and_load(*arguments, **settings):
        path.write_bytes(saved[1])
        return load(*arguments, **settings)

    monkeypatch.setattr(keras.models, "load_model", replace_and_load)
    best = read_model(path, SHAPE, 3)
    monkeypatch.undo()
    assert path.read_bytes() == saved[1]
    assert best.content == saved[0]
    assert best.sha256 == hashlib.sha256(saved[0]).hexdigest()
    (tmp_path / "first.keras").write_bytes(saved[0])
    first, second = (keras.models.load_model(tmp_path / n) for n in ("first.keras", path.name))
    np.testing.assert_array_equal(answers(best.network), answers(first))
    assert np.abs(answers(first) - answers(second)).max() > 0


def change_config(**changes):
    def change(parts):
        return parts | {CONFIG: json.dumps(json.loads(parts[CONFIG]) | changes).encode()}

    return change


def lambda_layer(parts):
    inputs = keras.Input(SHAPE)
    outputs = keras.layers.Lambda(lambda x: x)(inputs)
    content = keras.saving.serialize_keras_object(keras.Model(inputs, outputs))
    return parts | {CONFIG: json.dumps(content).encode()}


def change_weights(change):
    def changed(parts):
        content = io.BytesIO(parts[WEIGHTS])
        with h5py.File(content, "r+") as file:
            change(file)
        return parts | {WEIGHTS: content.getvalue()}

    return changed


def without(name):
    def change(file):
        del file[name]

    return change


def renamed_layers(file):
    file.move("layers", "others")


def all_arrays(file):
    found = []
    file.visititems(lambda name, item: found.append(name) if hasattr(item, "nbytes") else None)
    return found


def enormous_array(file):
    name = all_arrays(file)[0]
    del file[name]
    file.create_dataset(name, (1 << 40,), "float32")  # Nothing is written to it: it takes no room.


def other_shape(file):
    name = all_arrays(file)[0]
    del file[name]
    file[name] = np.zeros(3, np.float32)


DAMAGES = {
    "no config": lambda parts: {k: v for k, v in parts.items() if k != CONFIG},
    "no weights": lambda parts: {k: v for k, v in parts.items() if k != WEIGHTS},
    "config no JSON": lambda parts: parts | {CONFIG: b"{"},
    "config no object": lambda parts: parts | {CONFIG: b"[]"},
    "config null": lambda parts: parts | {CONFIG: b"null"},
    "config nested": lambda parts: parts | {CONFIG: b"[" * 100_000},
    "config no text": lambda parts: parts | {CONFIG: b"\xff\xfe"},
    "config empty": lambda parts: parts | {CONFIG: b"{}"},
    "a class unknown": change_config(class_name="NoSuchClass"),
    "a class of another module": change_config(module="os", class_name="system"),
    "a layer and no model": change_config(
        module="keras.layers", class_name="Flatten", config={}, build_config=None
    ),
    "config of null": change_config(config=None),
    "config without layers": change_config(config={"name": "a"}),
    "a forbidden layer": lambda_layer,
    "weights no HDF5": lambda parts: parts | {WEIGHTS: b"no weights"},
    "weights cut": lambda parts: parts | {WEIGHTS: parts[WEIGHTS][:5000]},
    "weights empty": lambda parts: parts | {WEIGHTS: b""},
    "a layer missing": change_weights(without("layers/conv2d")),
    "an array missing": change_weights(without("layers/dense_1/vars/1")),
    "all layers missing": change_weights(without("layers")),
    "layers of another name": change_weights(renamed_layers),
    "an array of another shape": change_weights(other_shape),
    "an enormous array": change_weights(enormous_array),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_a_sentence(damage, parts, tmp_path):
    path = archive(tmp_path / "model.keras", DAMAGES[damage](parts))
    with pytest.raises(Damaged) as raised:
        read_model(path, SHAPE, 3)
    sentence = str(raised.value)
    assert sentence.startswith(f"{path} is damaged (")
    assert sentence.endswith("; train the run again")
    assert "\n" not in sentence


def test_nobody_is_told_how_to_run_foreign_code(parts, tmp_path):
    path = archive(tmp_path / "model.keras", DAMAGES["a forbidden layer"](parts))
    with pytest.raises(Damaged, match="it holds code, such as a Lambda layer, that is not run"):
        read_model(path, SHAPE, 3)


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_archive_is_a_sentence(content, tmp_path):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(Damaged, match="model.keras is damaged"):
        read_model(tmp_path / "model.keras", SHAPE, 3)


def test_a_flipped_or_missing_byte_anywhere_is_found(saved, tmp_path):
    """Of the parts that hold something: Keras' own reader passes over some of them."""
    path, whole = tmp_path / "model.keras", saved[0]
    expected = answers(read_network(whole, path))
    for place in np.random.default_rng(0).integers(0, len(whole), 25):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            found = read_model(path, SHAPE, 3).network
        except Damaged:
            continue
        np.testing.assert_array_equal(answers(found), expected)  # It was a date, or padding.
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Damaged):
        read_model(path, SHAPE, 3)


def read_network(content, path):
    path.write_bytes(content)
    return read_model(path, SHAPE, 3).network


def test_what_would_unpack_to_more_than_the_file_is_not_unpacked(parts, tmp_path):
    bomb = parts | {"assets/zeros": bytes(10_000_000)}
    path = archive(tmp_path / "model.keras", bomb, zipfile.ZIP_DEFLATED)
    with pytest.raises(Damaged, match="claim to be larger than it is"):
        read_model(path, SHAPE, 3)


@pytest.mark.parametrize(("shape", "classes"), [((16, 16, 1), 3), (SHAPE, 4), ((32, 32), 3)])
def test_a_model_that_contradicts_the_run_is_refused(saved, shape, classes, tmp_path):
    (tmp_path / "model.keras").write_bytes(saved[0])
    with pytest.raises(Damaged, match="its input and output are .* those of the run's config.json"):
        read_model(tmp_path / "model.keras", shape, classes)


@pytest.mark.parametrize("number", [5, 13, 24])
def test_a_model_that_cannot_be_read_is_not_called_damaged(number, saved, tmp_path, monkeypatch):
    (tmp_path / "model.keras").write_bytes(saved[0])

    def fail(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pathlib.Path, "read_bytes", fail)
    with pytest.raises(Unreadable, match=f"{os.strerror(number)}.*may be whole"):
        read_model(tmp_path / "model.keras", SHAPE, 3)


def test_nothing_is_left_of_the_copy(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "model.keras").write_bytes(saved[0])
    read_model(tmp_path / "model.keras", SHAPE, 3)
    (tmp_path / "model.keras").write_bytes(saved[0][:100])
    with pytest.raises(Damaged):
        read_model(tmp_path / "model.keras", SHAPE, 3)
    assert list((tmp_path / "temporary").iterdir()) == []

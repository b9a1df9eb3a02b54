import base64
import hashlib
import json
import math
import struct
import subprocess
import sys
import types
import zlib

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from cxr_command.largest_image import MOST_PIXELS
from tests.conftest import run_command
from tests.support import radiograph_file
from trainer.errors import UserError
from trainer.evaluation.training_features import load
from trainer.explain.methods import GradCAM
from trainer.export.lite import require_lite
from trainer.export.onnx_file import require_onnx
from trainer.export.served import ServedModel
from trainer.models.taps import Taps
from trainer.run import Run


@pytest.fixture(scope="module")
def exported(finished_run, tmp_path_factory):
    """The run's model as SavedModel and LiteRT."""
    directory = tmp_path_factory.mktemp("export") / "saved"
    run_command(
        "trainer.export_model", f"--workdir={finished_run}", f"--output_dir={directory}",
        "--format=saved_model", "--format=tflite",
    )  # fmt: skip
    return directory


@pytest.fixture(scope="module")
def served(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def model(finished_run):
    return Run(finished_run).load_model().network


@pytest.fixture(scope="module")
def files(phantom_database, tmp_path_factory):
    """Radiographs of several sizes, formats and modes."""
    directory = tmp_path_factory.mktemp("files")
    gray = PIL.Image.open(next(phantom_database.glob("*/COVID/images/*.png"))).convert("L")
    wide = np.asarray(gray, np.uint16) * 257
    images = {
        "gray.png": gray,
        "colour.png": gray.convert("RGB"),
        "alpha.png": gray.convert("RGBA"),
        "palette.png": gray.convert("P"),
        "bilevel.png": gray.convert("1"),
        "sixteen.png": PIL.Image.fromarray(wide),
        "large.png": gray.resize((900, 700)),
        "small.jpg": gray.resize((40, 60)),
        "colour.jpg": gray.convert("RGB"),
        "cmyk.jpg": gray.convert("CMYK"),
    }
    for name, image in images.items():
        image.save(directory / name)
    return sorted(directory.iterdir())


def test_bytes_of_any_size_and_mode_give_the_trainers_own_answers(served, model, files, dataset):
    expected = model(np.stack([radiograph_file.read(path, dataset.image_shape) for path in files]))
    answer = served.signatures["serving_default"](
        image_bytes=tf.constant([path.read_bytes() for path in files])
    )
    np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
    names = np.array(dataset.class_names)
    predicted = names[np.asarray(expected).argmax(axis=1)]
    assert [name.decode() for name in answer["predicted_class"].numpy()] == predicted.tolist()
    assert answer["class_names"].numpy().astype(str).tolist() == [names.tolist()] * len(files)


def test_cmyk_is_read_as_the_gray_it_shows(files, dataset):
    (path,) = [path for path in files if path.name == "cmyk.jpg"]
    shown = np.asarray(PIL.Image.open(path).convert("L").resize((224, 224)), int)
    read = radiograph_file.read(path, dataset.image_shape)[:, :, 0].astype(int)
    assert np.abs(read - shown).mean() < 4


def test_the_other_signatures_explain_and_give_features(served, model, files, dataset):
    images = np.stack([radiograph_file.read(path, dataset.image_shape) for path in files[:3]])
    encoded = tf.constant([path.read_bytes() for path in files[:3]])
    explained = served.signatures["explain"](image_bytes=encoded)
    heatmaps, probabilities = GradCAM(model)(images)
    np.testing.assert_allclose(
        explained["heatmap"], heatmaps, atol=1e-5 * max(1, heatmaps.max()), rtol=1e-5
    )
    np.testing.assert_allclose(explained["probabilities"], probabilities, atol=1e-5)
    features = served.signatures["features"](image_bytes=encoded)["features"].numpy()
    kernel, bias = model.get_layer("logits").get_weights()
    logits = features @ kernel + bias
    np.testing.assert_allclose(tf.nn.softmax(logits), probabilities, atol=1e-5)


def test_it_flags_what_is_unlike_the_training(
    exported, served, model, finished_run, files, dataset
):
    encoded = tf.constant([path.read_bytes() for path in files])
    answer = served.signatures["explain"](image_bytes=encoded)
    fitted = load(finished_run, Run(finished_run).load_model().sha256)
    images = np.stack([radiograph_file.read(path, dataset.image_shape) for path in files])
    expected = fitted.distance(keras.Model(model.input, Taps(model).features).predict(images))
    np.testing.assert_allclose(answer["distance"], expected, rtol=1e-5)
    np.testing.assert_array_equal(answer["unusual"], expected > 1)
    assert json.loads((exported / "export.json").read_text())["flags_unusual"] is True
    assert load(exported, fitted.model_sha256).threshold == fitted.threshold


def test_where_nothing_is_known_of_the_training_nothing_is_flagged(model, dataset):
    plain = ServedModel(model, dataset.class_names)
    outputs = set(plain.explain.get_concrete_function().structured_outputs)
    assert {"heatmap", "probabilities"} <= outputs
    assert not {"unusual", "distance"} & outputs


def png_of(width, height):
    """A PNG file of a few bytes that claims a size."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


@pytest.mark.parametrize(
    "bad",
    [
        b"", b"no image", b"\xff\xd8\xff", b"GIF89a" + bytes(50), png_of(2**31 - 1, 2**31 - 1),
        png_of(30_000, 30_000), png_of(0, 5), png_of(2**32 - 1, 2), png_of(10, 10)[:40],
    ],
    ids=["empty", "text", "jpeg", "gif", "largest", "bomb", "zero", "negative", "cut"],
)  # fmt: skip
def test_undecodable_bytes_are_named_by_their_position(bad, served, files):
    good = files[0].read_bytes()
    with pytest.raises(tf.errors.InvalidArgumentError, match="position 2 of the batch"):
        served.signatures["serving_default"](image_bytes=tf.constant([good, good, bad, good, b""]))


def test_an_empty_batch_is_answered_with_nothing_of_the_right_form(served, files, dataset):
    for signature in served.signatures.values():
        one = signature(image_bytes=tf.constant([files[0].read_bytes()]))
        none = signature(image_bytes=tf.constant([], tf.string))
        assert {name: (tensor.dtype, tensor.shape[1:]) for name, tensor in none.items()} == {
            name: (tensor.dtype, tensor.shape[1:]) for name, tensor in one.items()
        }
        assert all(tensor.shape[0] == 0 for tensor in none.values())


def test_a_batch_of_too_many_pixels_is_refused_before_any_is_decoded(served):
    side = math.isqrt(MOST_PIXELS)
    claimed = png_of(side, side)  # It cannot be decoded: whoever tries names a position.
    for signature in served.signatures.values():
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{5 * side**2} pixels together"):
            signature(image_bytes=tf.constant([claimed] * 5))
        with pytest.raises(tf.errors.InvalidArgumentError, match="position 0 of the batch"):
            signature(image_bytes=tf.constant([claimed] * 4))


def test_it_loads_without_this_project(exported, files, model, dataset, tmp_path):
    script = (
        "import sys, json, tensorflow as tf\n"
        "served = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "given = tf.constant([open(sys.argv[2], 'rb').read()])\n"
        "assert 'trainer' not in sys.modules\n"
        "print(json.dumps(served(image_bytes=given)['probabilities'].numpy().tolist()))\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-c", script, exported, files[0]],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    expected = model(radiograph_file.read(files[0], dataset.image_shape)[None])
    np.testing.assert_allclose(json.loads(done.stdout.splitlines()[-1]), expected, atol=1e-5)


def test_the_request_of_a_server_fits_the_signature(exported, served, files):
    """Row format of TensorFlow Serving's REST interface: base64 in, one row for each image out."""
    request = {
        "instances": [{"image_bytes": {"b64": base64.b64encode(files[0].read_bytes()).decode()}}]
    }
    sent = json.loads(json.dumps(request))["instances"]
    encoded = [base64.b64decode(row["image_bytes"]["b64"]) for row in sent]
    for signature in served.signatures.values():
        assert set(signature.structured_input_signature[1]) == {"image_bytes"}
        answer = signature(image_bytes=tf.constant(encoded))
        assert all(tensor.shape[0] == 1 for tensor in answer.values())


def test_the_model_its_card_and_the_class_order_travel_with_it(exported, finished_run, dataset):
    original = (finished_run / "model.keras").read_bytes()
    assert (exported / "model.keras").read_bytes() == original
    assert json.loads((exported / "class_names.json").read_text()) == list(dataset.class_names)
    card = (exported / "model_card.md").read_text()
    assert "not for diagnosis" in card
    assert hashlib.sha256(original).hexdigest() in card
    about = json.loads((exported / "export.json").read_text())
    assert about["formats"]["saved_model"]["largest_difference"] <= 1e-5
    assert about["formats"]["saved_model"]["milliseconds_for_one"] > 0
    assert about["formats"]["saved_model"]["images_per_second_of_32"] > 0


def test_the_lite_model_gives_the_same_probabilities(exported, files, model, dataset):
    interpreter = Interpreter(str(exported / "model.tflite"))
    interpreter.allocate_tensors()
    image = radiograph_file.read(files[0], dataset.image_shape)[None]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model(image), atol=1e-5)


@pytest.mark.parametrize(
    "format_, package, told, require",
    [
        ("tflite", "ai_edge_litert", "ai-edge-litert", require_lite),
        ("onnx", "tf2onnx", "tf2onnx", require_onnx),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    format_, package, told, require, monkeypatch
):
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"--format={format_} needs {told}.*; .*pip install 'cxr"):
        require()


@pytest.mark.slow
def test_the_onnx_model_gives_the_same_probabilities(model, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    from trainer.export.onnx_file import write_onnx

    write_onnx(model, tmp_path / "model.onnx")
    images = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), dtype=np.uint8)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    np.testing.assert_allclose(found, model(images), atol=1e-5)

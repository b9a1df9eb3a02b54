"""A run's model.keras, read once: digest, network and copies are of the same bytes."""

import dataclasses
import hashlib
import io
import pathlib
import tempfile
import zipfile
from collections.abc import Sequence

import keras
import tensorflow as tf

from trainer.directory import unfinished, writing_to
from trainer.parsing import parsing

_ADVICE = "train the run again"


@dataclasses.dataclass(frozen=True)
class BestModel:
    """What model.keras was when it was read; the file may have been replaced since.

    Attributes:
        network: the model.
        sha256: of the bytes that it was loaded from, hexadecimal.
        content: those bytes.
    """

    network: keras.Model
    sha256: str
    content: bytes


def read_model(path: pathlib.Path, image_shape: Sequence[int], classes: int) -> BestModel:
    """Reads and loads a run's model, in safe mode.

    Args:
        path: model.keras.
        image_shape: `[height, width, 1]` of the radiographs that the run was trained on.
        classes: how many classes it was trained to tell apart.

    Returns:
        The model.

    Raises:
        Unreadable: the system could not read it.
        Damaged: it is no model of `trainer.models.build`, or one of other radiographs or classes.
    """
    with parsing(path, _ADVICE):
        content = path.read_bytes()
        _check_archive(content)
        network = _load(content)
        _check_network(network, tuple(image_shape), classes)
    return BestModel(network, hashlib.sha256(content).hexdigest(), content)


def _check_archive(content: bytes) -> None:
    """Compares the checksums, of which Keras passes over some; unpacks nothing."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # Keras compresses nothing. What claims to be more than the file holds would fill memory.
        if sum(entry.file_size for entry in archive.infolist()) > len(content):
            raise ValueError("its parts claim to be larger than it is")
        if damaged := archive.testzip():
            raise ValueError(f"the checksum of its part {damaged} is wrong")


def _load(content: bytes) -> keras.Model:
    """Loads a model from a copy that nobody else knows, as Keras takes paths alone."""
    folder = pathlib.Path(tempfile.gettempdir())
    with unfinished(folder, "cxr-model-") as private:
        copy = private / "model.keras"
        with writing_to(folder):
            copy.write_bytes(content)
        try:
            return keras.models.load_model(copy, compile=False, safe_mode=True)
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(error.message) from error  # It says nothing of the file.


def _check_network(network: object, image_shape: tuple[int, ...], classes: int) -> None:
    if not isinstance(network, keras.Model):
        raise ValueError(f"it holds a {type(network).__name__}, expected a model")
    found = (network.input_shape, network.output_shape)
    expected = ((None, *image_shape), (None, classes))
    if found != expected:
        raise ValueError(
            f"its input and output are {found[0]} and {found[1]}, those of the run's config.json "
            f"{expected[0]} and {expected[1]}"
        )
    network.get_layer("logits")

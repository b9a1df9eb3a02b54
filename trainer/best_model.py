"""Reads a run's model.keras once, so that digest, network and copies are of the same bytes."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Sequence

import keras

from trainer.hdf5_trial import claimed_bytes
from trainer.keras_file import nothing_passed_over, private_copy, weights_of_archive
from trainer.models.taps import Taps
from trainer.parsing import parsing

_ADVICE = "train the run again"


@dataclasses.dataclass(frozen=True)
class BestModel:
    """The content of model.keras at the time it was read; the file may have changed since.

    Attributes:
        network: the loaded model.
        sha256: hexadecimal digest of the bytes it was loaded from.
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
        classes: number of classes it was trained on.

    Returns:
        The model.

    Raises:
        Unreadable: the operating system could not read the file.
        Damaged: the file is not a model made by `trainer.models.build`, or its image shape or
            number of classes differs.
    """
    with parsing(path, _ADVICE):
        content = path.read_bytes()
        if claimed_bytes(weights_of_archive(content)) > len(content):
            raise ValueError("its weights claim to be larger than it is")
        network = _load(content)
        _check_network(network, tuple(image_shape), classes)
    return BestModel(network, hashlib.sha256(content).hexdigest(), content)


def _load(content: bytes) -> keras.Model:
    with private_copy(content, "model.keras") as copy, nothing_passed_over():
        try:
            return keras.models.load_model(copy, compile=False, safe_mode=True)
        except ValueError as error:
            if "safe_mode" in str(error):  # Keras' message tells how to switch safe mode off.
                raise ValueError(
                    "it holds code, such as a Lambda layer, that is not run"
                ) from error
            raise


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
    _ = Taps(network).logits

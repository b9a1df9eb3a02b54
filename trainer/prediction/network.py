"""The networks for prediction: best models of runs, or one exported by trainer.export_model."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trainer.best_model import BestModel, read_model
from trainer.errors import UserError
from trainer.evaluation.predictions import predictor_with_features
from trainer.json_file import read_object, record, text
from trainer.run import CONFIG, Run

_ABOUT = {"run_config": record(CONFIG), "model_sha256": text()}
_ADVICE = "export the run again"


@dataclasses.dataclass(frozen=True)
class Network:
    """One of the networks whose probabilities are averaged.

    Attributes:
        content: content of config.json of its run.
        best: the model.
        directory: directory of its run, or of the exported model.
        run: its run; None for an exported model.
    """

    content: dict[str, Any]
    best: BestModel
    directory: pathlib.Path
    run: Run | None = None


def exported(directory: str) -> Network:
    """Loads a model exported by trainer.export_model.

    The Keras file is used, which has the same weights as the SavedModel: loading it executes no
    code, batches need not be encoded as PNG, and every explanation method is available.

    Args:
        directory: a directory written by trainer.export_model.

    Returns:
        The network.

    Raises:
        UserError: the directory is not an exported model, or its files do not match.
    """
    about_file, model_file = (
        pathlib.Path(directory, name) for name in ("export.json", "model.keras")
    )
    for file in (about_file, model_file):
        if not file.exists():
            raise UserError(
                f"--model={directory} holds no {file.name}; expected the directory that "
                "trainer.export_model wrote"
            )
    about = read_object(about_file, _ABOUT, _ADVICE)
    trained_on = about["run_config"]["dataset"]
    best = read_model(model_file, trained_on["image_shape"], len(trained_on["class_names"]))
    if best.sha256 != about["model_sha256"]:
        raise UserError(f"{model_file} is not the model that export.json describes; {_ADVICE}")
    return Network(about["run_config"], best, pathlib.Path(directory))


def mean_predictor(
    networks: Sequence[Network],
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Returns a function that averages the probabilities of networks.

    Args:
        networks: networks with the same image shape and classes.

    Returns:
        A function from `[examples, H, W, 1] uint8` to `[examples, classes] float64` and the inputs
        of the first network's last layer, `[examples, features] float32`.
    """
    predictors = [predictor_with_features(network.best.network, flip=False) for network in networks]

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = zip(*(one(images) for one in predictors), strict=True)
        return np.mean(probabilities, axis=0), features[0]

    return predict

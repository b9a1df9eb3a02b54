"""The networks that predict: best models of runs, or one that trainer.export_model wrote."""

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
        content: the config.json of its run.
        best: the model.
        directory: of its run, or of the exported model.
        run: its run; None of an exported model.
    """

    content: dict[str, Any]
    best: BestModel
    directory: pathlib.Path
    run: Run | None = None


def exported(directory: str) -> Network:
    """Loads the model of a directory of trainer.export_model.

    Its Keras file is taken, which is the SavedModel's network to the last weight: loading it runs
    no code, its batches need not be encoded as PNG again, and it can be explained by any method.

    Args:
        directory: what trainer.export_model wrote.

    Returns:
        The network.

    Raises:
        UserError: it is no such directory, or its files do not belong together.
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
    """Makes a function that averages the probabilities of networks.

    Args:
        networks: of the same radiographs and classes.

    Returns:
        From `[examples, H, W, 1] uint8` to `[examples, classes] float64`, and to what enters the
        last layer of the first of them, `[examples, features] float32`.
    """
    predictors = [predictor_with_features(network.best.network, flip=False) for network in networks]

    def predict(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        probabilities, features = zip(*(one(images) for one in predictors), strict=True)
        return np.mean(probabilities, axis=0), features[0]

    return predict

"""Out-of-distribution detection by the distance to the features of training radiographs.

Features are the inputs of the network's last layer. A radiograph that is farther away than 95 % of
the validation radiographs is flagged as unlike those of the training: a flag, not a guarantee.
"""

import dataclasses
import hashlib
import io
import json
import pathlib

import numpy as np
from scipy.spatial import distance
from sklearn.covariance import LedoitWolf

from trainer.directory import move_files, unfinished, writing_to
from trainer.json_file import integer, number, read_object, text
from trainer.parsing import parsing

# Share of validation radiographs that are not flagged.
PASSING = 0.95
FILES = ("training_features.json", "training_features.npy")
_ABOUT = {
    "model_sha256": text(),
    "array_sha256": text(),
    "threshold": number(0),
    "passing": number(0, 1),
    "train_examples": integer(1),
    "validation_examples": integer(1),
}
_ADVICE = "remove it and evaluate the run again"
# Lower limit of lengths and variances, so that divisions by rounding errors stay finite.
LEAST = 1e-12


@dataclasses.dataclass(frozen=True)
class TrainingFeatures:
    """Class means and a shared covariance of unit-length features (Lee et al., 2018).

    The distance is the Mahalanobis distance to the nearest mean. Features are scaled to unit length
    first (Mueller & Hein, 2025); otherwise images to which a network hardly responds, such as
    noise, would appear the most typical.

    Attributes:
        whitening: `[features, features] float64`, which transforms the covariance to the identity.
        centres: `[classes, features] float64`, the whitened means.
        threshold: the distance above which a radiograph is flagged.
        train_examples: number of training radiographs used to fit it.
        validation_examples: number of validation radiographs used for the threshold.
        model_sha256: SHA-256 of the model.keras that computes the features.
    """

    whitening: np.ndarray
    centres: np.ndarray
    threshold: float
    train_examples: int
    validation_examples: int
    model_sha256: str

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Computes the distance from the training radiographs, relative to the threshold.

        Args:
            features: `[examples, features] float`.

        Returns:
            `[examples] float64`; above 1 a radiograph is flagged.
        """
        return _nearest(_unit(features) @ self.whitening, self.centres) / self.threshold


def fit(
    features: np.ndarray, labels: np.ndarray, validation: np.ndarray, model_sha256: str
) -> TrainingFeatures:
    """Fits means and covariance, and chooses the threshold.

    Args:
        features: `[examples, features] float`, features of training radiographs.
        labels: `[examples] int`, their classes.
        validation: `[validation, features] float`, features of validation radiographs.
        model_sha256: SHA-256 of the model.keras that computes the features.

    Returns:
        The training features. The covariance is the estimator of Ledoit and Wolf (2004), which is
        also defined for fewer examples than features.
    """
    unit = _unit(features)
    present, classes = np.unique(labels, return_inverse=True)
    means = np.stack([unit[classes == index].mean(axis=0) for index in range(len(present))])
    covariance = LedoitWolf(assume_centered=True).fit(unit - means[classes]).covariance_
    variances, axes = np.linalg.eigh(covariance)
    whitening = axes / np.sqrt(np.maximum(variances, LEAST))
    centres = means @ whitening
    distances = _nearest(_unit(validation) @ whitening, centres)
    threshold = float(np.quantile(distances, PASSING, method="inverted_cdf"))
    return TrainingFeatures(
        whitening, centres, max(threshold, LEAST), len(features), len(validation), model_sha256
    )


def save(fitted: TrainingFeatures, directory: pathlib.Path) -> None:
    """Writes the training features atomically.

    Args:
        fitted: the training features.
        directory: output directory.

    Raises:
        UserError: the files cannot be written.
    """
    about_name, array_name = FILES
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate([fitted.whitening, fitted.centres]), allow_pickle=False)
    about = {
        "model_sha256": fitted.model_sha256,
        "array_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        "threshold": fitted.threshold,
        "passing": PASSING,
        "train_examples": fitted.train_examples,
        "validation_examples": fitted.validation_examples,
    }
    with writing_to(directory), unfinished(directory) as partial:
        (partial / about_name).write_text(json.dumps(about, indent=2) + "\n")
        (partial / array_name).write_bytes(buffer.getvalue())
        move_files(partial, directory)


def load(directory: pathlib.Path, model_sha256: str) -> TrainingFeatures | None:
    """Reads features written by `save`.

    Args:
        directory: directory to read from.
        model_sha256: SHA-256 of the model that computes the features.

    Returns:
        The training features; None if there are none for this model.

    Raises:
        Unreadable: the operating system could not read the files.
        Damaged: the content is invalid.
    """
    about_file, array_file = (directory / name for name in FILES)
    if not about_file.exists():
        return None
    about = read_object(about_file, _ABOUT, _ADVICE)
    if about["model_sha256"] != model_sha256:
        return None
    with parsing(array_file, _ADVICE):
        content = array_file.read_bytes()
        # From different fits, if a process was killed between writing the two files.
        if hashlib.sha256(content).hexdigest() != about["array_sha256"]:
            return None
        array = np.load(io.BytesIO(content), allow_pickle=False)
        width = array.shape[1]
        if array.dtype != np.float64 or len(array) <= width or not np.isfinite(array).all():
            raise ValueError(f"it holds {array.dtype} {array.shape}")
    return TrainingFeatures(
        array[:width],
        array[width:],
        max(about["threshold"], LEAST),
        about["train_examples"],
        about["validation_examples"],
        model_sha256,
    )


def _unit(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), LEAST)


def _nearest(whitened: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return distance.cdist(whitened, centres).min(axis=1)

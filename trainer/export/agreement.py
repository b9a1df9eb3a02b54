"""Checks that an exported model predicts the same as the run's model."""

from collections.abc import Callable

import keras
import numpy as np

from trainer.errors import UserError

_IMAGES = 8
# Largest change of a probability due to another order of float32 sums.
_TOLERANCE = 1e-5


def largest_difference(model: keras.Model, predict: Callable[[np.ndarray], np.ndarray]) -> float:
    """Compares the predictions of both models on the same images.

    Args:
        model: the run's model.
        predict: the exported model, from `[batch, H, W, 1] uint8` to `[batch, classes]`
            probabilities.

    Returns:
        The largest absolute difference of probabilities.

    Raises:
        UserError: the difference is too large for the export to be usable.
    """
    height, width, _ = model.input_shape[1:]
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (_IMAGES, 8, 8, 1))
    smooth = np.asarray(keras.ops.image.resize(coarse, (height, width)))
    images = np.clip(smooth, 0, 255).astype(np.uint8)
    difference = float(np.abs(predict(images) - np.asarray(model(images, training=False))).max())
    if not difference <= _TOLERANCE:
        raise UserError(
            f"the exported model's probabilities differ by {difference:.1e} from the run's; "
            f"expected at most {_TOLERANCE:.0e}: use another --format"
        )
    return difference

"""Preprocessing of stored uint8 radiographs, as built-in layers inside the model."""

from typing import Any

import keras

from trainer.models.taps import SCALING

# Scaling of gray values for each backbone's ImageNet weights, as `scale * x + offset` per channel.
# Source: keras.applications.imagenet_utils.preprocess_input, modes "caffe" and "torch". The three
# channels of a gray image are equal, so caffe's RGB to BGR swap is only a swap of the offsets.
_CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

SCALINGS: dict[str, dict[str, Any]] = {
    # The original fed raw gray values, 0 to 255, to every network.
    "raw": {"scale": 1.0, "offset": 0.0},
    "caffe": {"scale": [1.0] * 3, "offset": [-mean for mean in _CAFFE_MEAN_BGR]},
    "torch": {
        "scale": [1 / (255 * std) for std in _TORCH_STD],
        "offset": [-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD, strict=True)],
    },
}


def to_network_input(images: keras.KerasTensor, scaling: str) -> keras.KerasTensor:
    """Tiles gray radiographs to three channels and scales them.

    Args:
        images: `[batch, height, width, 1] uint8`.
        scaling: a key of `SCALINGS`.

    Returns:
        `[batch, height, width, 3] float32`.
    """
    images = keras.layers.Concatenate(name="gray_to_rgb")([images] * 3)
    # Always in float32: bfloat16 would round the offsets, and the saved model is float32.
    return keras.layers.Rescaling(**SCALINGS[scaling], dtype="float32", name=SCALING)(images)

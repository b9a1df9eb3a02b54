"""MixUp, CutMix, RandAugment and random cutout of keras-cv, on the host.

They change one replica's batch at a time. Their draws are seeded by the run's seed but depend on
the order of the batches: a run is reproducible with the same number of replicas, and a resumed run
draws new numbers. Augmentation that does not depend on replicas is in `trainer.data.augment`.
"""

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from trainer.data.input import ChangeBatch
from trainer.errors import UserError
from trainer.settings import section, setting

_GRAY_RANGE = (0, 255)
# Values from the papers for ImageNet: Zhang et al. 2018, "mixup"; Yun et al. 2019, "CutMix"; Cubuk
# et al. 2020, "RandAugment" (two operations; a third of the magnitude, as radiographs bear less);
# DeVries and Taylor 2017, "Cutout".
_LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "mixup": ("MixUp", {"alpha": 0.2}),
    "cutmix": ("CutMix", {"alpha": 1.0}),
    "randaugment": (
        "RandAugment",
        {"value_range": _GRAY_RANGE, "augmentations_per_image": 2, "magnitude": 0.3},
    ),
    "cutout": ("RandomCutout", {"height_factor": 0.3, "width_factor": 0.3}),
}


@section("Augmentation", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class BatchAugmentation:
    """Augmentation of whole batches.

    Attributes:
        keras_cv: comma-separated names of layers; empty: no change.
    """

    keras_cv: str = setting(
        "", "keras-cv layers, comma-separated: mixup, cutmix, randaugment, cutout."
    )


def batch_augmenter(names: str, num_classes: int, seed: int) -> ChangeBatch | None:
    """Creates a function that applies the layers to a batch in sequence.

    Args:
        names: comma-separated layers: `mixup`, `cutmix`, `randaugment`, `cutout`.
        num_classes: number of classes.
        seed: the run's seed.

    Returns:
        A function for `distribute_batches`: it changes `image` and adds `soft_label`
        `[b, num_classes] float32`, which MixUp and CutMix mix. None if there are no names.

    Raises:
        UserError: a layer does not exist, or keras-cv is not installed.
    """
    if not names:
        return None
    layers = [_make_layer(name, seed + index) for index, name in enumerate(names.split(","))]

    def change(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        mixed = {
            "images": tf.repeat(tf.cast(batch["image"], tf.float32), 3, axis=-1),
            "labels": tf.one_hot(batch["label"], num_classes),
        }
        for layer in layers:
            mixed = layer(mixed, training=True)
        # The first channel: some operations of RandAugment change colours.
        gray = tf.round(tf.clip_by_value(mixed["images"][..., :1], *_GRAY_RANGE))
        gray = tf.ensure_shape(tf.cast(gray, tf.uint8), batch["image"].shape)
        return batch | {"image": gray, "soft_label": mixed["labels"]}

    return change


def _make_layer(name: str, seed: int) -> Callable:
    if name not in _LAYERS:
        raise UserError(f"--keras_cv: there is no {name!r}; choose of {', '.join(_LAYERS)}")
    try:
        keras_cv = importlib.import_module("keras_cv")
    except ImportError as error:
        raise UserError(
            "--keras_cv needs keras-cv: pip install -c requirements.lock -e '.[keras_cv]'"
        ) from error
    layer, settings = _LAYERS[name]
    made = getattr(keras_cv.layers, layer)(**settings, seed=seed)
    return _with_exact_shares(made) if name == "cutmix" else made


def _with_exact_shares(cutmix: Callable) -> Callable:
    """Wraps CutMix so that labels are mixed by the actual shares of pixels.

    keras-cv 0.9 mixes them by the area of the drawn box, including parts outside the image.
    """

    def mix(mixed: dict[str, tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
        images, labels = mixed["images"], mixed["labels"]
        # Each class is added as a channel that is cut and pasted with the image.
        shape = tf.concat([tf.shape(images)[:3], tf.shape(labels)[1:]], axis=0)
        planes = tf.broadcast_to(labels[:, None, None], shape)
        stacked = tf.concat([images, planes], axis=-1)
        cut = cutmix({"images": stacked, "labels": labels}, training=training)["images"]
        return {"images": cut[..., :3], "labels": tf.reduce_mean(cut[..., 3:], axis=[1, 2])}

    return mix

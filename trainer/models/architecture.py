"""The settings of a network."""

import dataclasses
import math

from trainer.models.preprocess import SCALINGS
from trainer.settings import section, setting

LENET, BACKBONE = "--model=lenet", "a backbone"


@section("Network", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Architecture:
    """The settings of a network's architecture.

    Attributes:
        weights: `imagenet`, `none` or the path of a weights file.
        train_backbone: whether the backbone's weights are trained; None follows the original: true
            for DenseNet-169, false for ResNet-101 and VGG-19.
        scaling: scaling of gray values, a key of `preprocess.SCALINGS`.
        input_pooling: size of the average pooling before LeNet's first convolution; 1, as in the
            original: no pooling.
        pooling: pooling after LeNet's second convolution: `average`, as in the original, or
            `average_max`, which concatenates the average and the maximum.
        map_dropout: share of feature maps dropped in training after LeNet's first stage (Tompson et
            al. 2015, "Efficient Object Localization Using Convolutional Networks").
        head: head of a backbone: the `original` one, or `average_pool` (global average pooling).
        dropout: share of features dropped in training before the last layer.
    """

    weights: str = setting(
        "none", "imagenet, none, or a Keras weights file of the backbone.", only_for=BACKBONE
    )
    train_backbone: bool | None = setting(None, "Train the backbone's weights too.")
    scaling: str = setting("raw", "Scaling of gray values.", choices=SCALINGS)
    input_pooling: int = setting(
        1, "Side of the squares that LeNet averages first.", within=(1, math.inf), only_for=LENET
    )
    pooling: str = setting(
        "average",
        "What LeNet's dense layer sees of its feature maps.",
        choices=("average", "average_max"),
        only_for=LENET,
    )
    map_dropout: float = setting(
        0.0, "Share of LeNet's first feature maps left out.", within=(0, 1), only_for=LENET
    )
    head: str = setting(
        "original",
        "What follows a backbone.",
        choices=("original", "average_pool"),
        only_for=BACKBONE,
    )
    dropout: float = setting(
        0.0, "Share of the features left out before the last layer.", within=(0, 1)
    )


ORIGINAL = Architecture()

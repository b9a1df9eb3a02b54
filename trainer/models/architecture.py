"""The settings of a network."""

import dataclasses
import math

from trainer.models.preprocess import SCALINGS
from trainer.settings import section, setting

LENET, BACKBONE = "--model=lenet", "a backbone"


@section("Network", in_recipes=True)
@dataclasses.dataclass(frozen=True)
class Architecture:
    """What a network is built of.

    Attributes:
        weights: `imagenet`, `none` or the path of a weights file.
        train_backbone: whether the backbone's weights are trained; None does as the original did:
            DenseNet-169's are, those of ResNet-101 and VGG-19 are not.
        scaling: how gray values are scaled, a key of `preprocess.SCALINGS`.
        input_pooling: side of the squares that are averaged before LeNet's first convolution; 1, as
            in the original, averages nothing.
        pooling: what LeNet's dense layer sees of the second convolution's squares: their `average`,
            as in the original, or `average_max`, that and their maximum.
        map_dropout: share of the feature maps that training leaves out after LeNet's first stage
            (Tompson et al. 2015, "Efficient Object Localization Using Convolutional Networks").
        head: what follows a backbone: the `original` head, or `average_pool`, the average of each
            feature over the plane.
        dropout: share of the features that training leaves out before the last layer.
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

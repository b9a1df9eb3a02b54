"""Published results of the original notebooks, for comparison with runs of the same network.

They used a different split (2,117 images, duplicates not kept together), so a difference is only a
weak indication.
"""

import dataclasses
from collections.abc import Sequence

DATASET = "covid19_radiography"
WHERE = (
    "another split, the 2,117 test images of the original notebooks, whose near-duplicates may be "
    "in the training set"
)
# Test accuracy by network.
ACCURACY = {"lenet": 0.7837, "resnet101": 0.9258, "vgg19": 0.9140, "densenet169": 0.8559}
# Precision, recall and F1 by class, published for the best network only.
PER_CLASS = {
    "resnet101": {
        "COVID": (0.96, 0.94, 0.95),
        "Lung_Opacity": (0.93, 0.86, 0.89),
        "Normal": (0.91, 0.96, 0.93),
        "Viral Pneumonia": (0.96, 0.96, 0.96),
    }
}


@dataclasses.dataclass(frozen=True)
class ClassFigures:
    """Published figures of a class."""

    precision: float
    recall: float
    f1: float


@dataclasses.dataclass(frozen=True)
class OriginalModel:
    """A network of the original.

    Attributes:
        model: name of the network.
        published: its published accuracy.
        measured: accuracy of each evaluated model of the same network, by name.
        per_class: its published figures by class; empty if none were published.
    """

    model: str
    published: float
    measured: dict[str, float]
    per_class: dict[str, ClassFigures]


@dataclasses.dataclass(frozen=True)
class Original:
    """The published results beside the measured ones.

    Attributes:
        where: source of the published results.
        models: one entry per published network.
    """

    where: str
    models: list[OriginalModel]


def beside_original(dataset: str, measured: Sequence[tuple[str, str, float]]) -> Original | None:
    """Returns the published results beside the measured ones.

    Args:
        dataset: name of the evaluated dataset.
        measured: network, name and accuracy of each evaluated model.

    Returns:
        The results; None for another dataset.
    """
    if dataset.split("/")[0] != DATASET:
        return None
    return Original(
        WHERE,
        [
            OriginalModel(
                model=model,
                published=published,
                measured={
                    name: accuracy for network, name, accuracy in measured if network == model
                },
                per_class={
                    name: ClassFigures(*figures)
                    for name, figures in PER_CLASS.get(model, {}).items()
                },
            )
            for model, published in ACCURACY.items()
        ],
    )

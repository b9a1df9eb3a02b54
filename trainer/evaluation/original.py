"""What the original notebooks published, to stand beside a run of the same network.

Their split is another one (2,117 images, duplicates not kept together), so a difference between
the two says little.
"""

import dataclasses
from collections.abc import Sequence

DATASET = "covid19_radiography"
WHERE = (
    "another split, the 2,117 test images of the original notebooks, whose near-duplicates may be "
    "in the training set"
)
# Test accuracy of each network.
ACCURACY = {"lenet": 0.7837, "resnet101": 0.9258, "vgg19": 0.9140, "densenet169": 0.8559}
# Precision, recall and F1 of each class, published for the best network alone.
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
    """Published figures of one class."""

    precision: float
    recall: float
    f1: float


@dataclasses.dataclass(frozen=True)
class OriginalModel:
    """A network of the original.

    Attributes:
        model: its name.
        published: its accuracy there.
        measured: name to accuracy of each evaluated model of the same network.
        per_class: its figures there, by class; empty where none were published.
    """

    model: str
    published: float
    measured: dict[str, float]
    per_class: dict[str, ClassFigures]


@dataclasses.dataclass(frozen=True)
class Original:
    """The published figures beside the measured ones.

    Attributes:
        where: the published ones come from.
        models: one for each published network.
    """

    where: str
    models: list[OriginalModel]


def beside_original(dataset: str, measured: Sequence[tuple[str, str, float]]) -> Original | None:
    """The published figures beside the measured ones.

    Args:
        dataset: name of the dataset that was evaluated on.
        measured: network, name and accuracy of each model that was evaluated.

    Returns:
        Both; None for another dataset.
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

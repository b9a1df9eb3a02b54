"""What the original notebooks published, to stand beside a run of the same network.

Their split is another one (2,117 images, duplicates not kept together), so a difference between
the two says little.
"""

from collections.abc import Sequence
from typing import Any

DATASET = "covid19_radiography"
WHERE = (
    "the original notebooks' own test split of 2,117 images, which is another split: near-copies "
    "of its images may have been trained on"
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


def beside_original(
    dataset: str, measured: Sequence[tuple[str, str, float]]
) -> dict[str, Any] | None:
    """The published figures beside the measured ones.

    Args:
        dataset: name of the dataset that was judged on.
        measured: network, name and accuracy of each model that was judged.

    Returns:
        `where` the published figures come from, and one of `models` for each network with its
        `published` accuracy and `per_class` figures and the `measured` accuracies by name; None
        for another dataset.
    """
    if dataset.split("/")[0] != DATASET:
        return None
    return {
        "where": WHERE,
        "models": [
            {
                "model": model,
                "published": published,
                "measured": {
                    name: accuracy for network, name, accuracy in measured if network == model
                },
                "per_class": {
                    name: dict(zip(("precision", "recall", "f1"), numbers, strict=True))
                    for name, numbers in PER_CLASS.get(model, {}).items()
                },
            }
            for model, published in ACCURACY.items()
        ],
    }

"""Rows of metrics as passed by the loop to its observers."""

import numpy as np

from trainer.training.metrics import Metrics
from trainer.training.observers.observer import EpochMetrics, StepMetrics


def step_metrics(**values) -> StepMetrics:
    """Returns metrics of the third step of epoch 2 of a deterministic run, with changed values."""
    names = ("images_per_second", "input_wait", "loss_scale")
    row = dict.fromkeys(names) | {"epoch": 2, "step": 1, "global_step": 3, "loss": 0.75}
    row |= {"accuracy": 0.5, "learning_rate": 1e-3, "gradient_norm": 2.0}
    return StepMetrics(**row | values)


def epoch_metrics(**values) -> EpochMetrics:
    """Returns metrics of epoch 2, the best so far, with changed values."""
    confusion = np.array([[3, 1], [0, 4]])
    recall = np.array([0.75, 1.0])
    row = {
        "epoch": 2, "phase": "head", "best_epoch": 2, "best_loss": 0.25, "learning_rate": 1e-3,
        "train": Metrics(0.5, 0.75, 8, 1.0, confusion, recall),
        "validation": Metrics(0.25, 0.875, 8, 1.0, confusion, recall),
        "images_per_second": 100.0, "input_wait": 0.125, "seconds": 9.0,
    }  # fmt: skip
    return EpochMetrics(**row | values)

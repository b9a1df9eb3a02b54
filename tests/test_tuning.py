import numpy as np
import pytest
from sklearn import metrics

from tests.simulated import CLASSES, simulate
from trainer.data.cases import Cases
from trainer.evaluation.calibration import apply_temperature
from trainer.evaluation.tuning import tune


def test_what_is_chosen_is_chosen_on_validation():
    labels, probabilities = simulate((20, 30, 40, 0))
    validation = Cases(CLASSES, np.arange(90).astype(str), labels, np.zeros((90, 1, 1, 1)))
    chosen = tune(probabilities, validation, "validation")
    assert (chosen["split"], chosen["examples"]) == ("validation", 90)
    assert chosen["split_digest"] == validation.digest
    every = range(4)
    before = metrics.log_loss(labels, probabilities, labels=every)
    after = apply_temperature(probabilities, chosen["temperature"])
    assert chosen["log_loss_before"] == pytest.approx(before)
    assert chosen["log_loss_after"] == pytest.approx(metrics.log_loss(labels, after, labels=every))
    assert chosen["log_loss_after"] <= chosen["log_loss_before"]
    for index, name in enumerate(CLASSES[:3]):
        found = probabilities[labels == index, index] >= chosen["thresholds"][name]
        assert 0.95 <= found.mean() < 1
    assert chosen["thresholds"]["Viral Pneumonia"] is None

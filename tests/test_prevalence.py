import numpy as np
import pytest

from tests.support.simulated import CLASSES, simulate
from trainer.errors import UserError
from trainer.evaluation.operating_point import evaluate_thresholds
from trainer.evaluation.prevalence import parse_prevalences
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.tasks import Multiclass


def evaluated(labels, shares, threshold, prevalences, count=60):
    resampling = Resampling(labels, None, count, 0)
    task = Multiclass(labels, shares)
    return evaluate_thresholds(task, CLASSES, {"COVID": threshold}, resampling, prevalences)


def test_predictive_values_are_counted_in_a_population_of_that_prevalence():
    labels, shares = simulate()
    said, ill = shares[:, 0] >= 0.3, labels == 0
    (found,) = evaluated(labels, shares, 0.3, (0.02,))["COVID"].at_prevalence
    # Of a million, 20,000 are ill.
    true, missed = 20_000 * np.mean(said[ill]), 20_000 * np.mean(~said[ill])
    false, cleared = 980_000 * np.mean(said[~ill]), 980_000 * np.mean(~said[~ill])
    assert found.prevalence == 0.02
    assert found.numbers.values["ppv"] == pytest.approx(true / (true + false), abs=1e-9)
    assert found.numbers.values["npv"] == pytest.approx(cleared / (cleared + missed), abs=1e-9)


def test_at_the_prevalence_of_the_examples_they_are_the_plain_ones():
    point = evaluated(*simulate(), 0.3, (60 / 300,))["COVID"]
    for name in ("ppv", "npv"):
        assert point.at_prevalence[0].numbers.values[name] == pytest.approx(point.values[name])
        bounds = point.at_prevalence[0].numbers.intervals[name]
        np.testing.assert_allclose(bounds, point.intervals[name], atol=1e-9)


def test_what_is_never_called_has_no_ppv():
    (found,) = evaluated(*simulate(), 1.5, (0.1,))["COVID"].at_prevalence
    assert found.numbers.values["ppv"] is None
    assert found.numbers.why["ppv"] == "this class was never predicted"


def test_without_an_example_of_the_class_there_are_none():
    labels, shares = simulate((0, 90, 120, 30))
    (found,) = evaluated(labels, shares, 0.3, (0.1,))["COVID"].at_prevalence
    assert found.numbers.values == {"ppv": None, "npv": None}
    assert found.numbers.why["npv"] == "no example of this class"


def test_prevalences_are_numbers_between_0_and_1():
    assert parse_prevalences(["0.02", "0.1", "0.10"]) == (0.02, 0.1)
    for wrong in ("0", "1", "-0.1", "2%", "nan", ""):
        with pytest.raises(UserError, match="between 0 and 1"):
            parse_prevalences(["0.1", wrong])

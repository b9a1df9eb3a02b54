import numpy as np
import pytest
from sklearn import metrics
from statsmodels.stats.multitest import multipletests

from tests.support.simulated import CLASSES, simulate
from trainer.evaluation.json_content import json_content
from trainer.evaluation.resampling import Resampling
from trainer.evaluation.subgroups import evaluate_subgroups
from trainer.evaluation.tasks import Multiclass

LABELS, PROBABILITIES = simulate()
TASK = Multiclass(LABELS, PROBABILITIES)
# Each patient has three radiographs, of several classes and views.
PATIENTS = np.arange(len(LABELS)) // 3
RESAMPLING = Resampling(LABELS, PATIENTS, 400, 0)


def evaluated(**attributes):
    return json_content(evaluate_subgroups(attributes, TASK, CLASSES, RESAMPLING))


@pytest.fixture(scope="module")
def attributes():
    generator = np.random.default_rng(3)
    sites = generator.choice(["North", "South", "West"], len(LABELS))
    return {"site": sites, "sex": np.where(PATIENTS % 2, "F", "M"), "view": sites.copy()}


@pytest.fixture(scope="module")
def found(attributes):
    return evaluated(**attributes)


def test_a_subgroup_is_evaluated_by_its_examples_alone(attributes, found):
    rows = attributes["site"] == "South"
    predicted = PROBABILITIES.argmax(axis=1)
    south = found["site"]["South"]
    assert south["examples"] == rows.sum() == sum(south["support"].values())
    assert south["groups"] == len(set(PATIENTS[rows]))
    assert south["support"]["Normal"] == (LABELS[rows] == 2).sum()
    accuracy = metrics.accuracy_score(LABELS[rows], predicted[rows])
    assert south["accuracy"] == pytest.approx(accuracy)
    assert south["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(LABELS[rows], predicted[rows])
    )
    rest = metrics.accuracy_score(LABELS[~rows], predicted[~rows])
    assert south["difference"] == pytest.approx(accuracy - rest)


def test_the_interval_of_a_difference_is_that_of_resampled_patients(attributes, found):
    rows = attributes["site"] == "South"
    right = PROBABILITIES.argmax(axis=1) == LABELS
    generator, drawn = np.random.default_rng(1), []
    first = LABELS[::3]  # A patient counts as the class of the first radiograph.
    for _ in range(2000):
        patients = np.concatenate(
            [
                generator.choice(np.flatnonzero(first == label), (first == label).sum())
                for label in range(4)
            ]
        )
        chosen = (3 * patients[:, None] + np.arange(3)).ravel()
        inside, outside = chosen[rows[chosen]], chosen[~rows[chosen]]
        drawn.append(right[inside].mean() - right[outside].mean())
    expected = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose(found["site"]["South"]["difference_interval"], expected, atol=0.02)


def test_two_sexes_and_a_column_twice_are_tested_once(found):
    sexes = found["sex"]
    assert sexes["F"]["difference"] == pytest.approx(-sexes["M"]["difference"])
    tested = [part["p"] for part in found["site"].values()] + [sexes["F"]["p"]]
    corrected = multipletests(tested, method="holm")[1]
    holm = [part["p_holm"] for part in found["site"].values()] + [sexes["F"]["p_holm"]]
    np.testing.assert_allclose(holm, corrected)
    assert sexes["M"]["p_holm"] == sexes["F"]["p_holm"]
    assert found["view"] == found["site"]


def test_a_subgroup_on_which_a_model_fails_is_found():
    wrong = np.where(TASK.right, "good", "bad")
    wrong[:20] = "bad"
    parts = evaluated(device=wrong)["device"]
    assert parts["bad"]["difference"] < -0.5 and parts["bad"]["p_holm"] < 0.02
    low, high = parts["bad"]["difference_interval"]
    assert low <= parts["bad"]["difference"] <= high < 0


def test_a_single_value_has_no_others_to_differ_from():
    (part,) = evaluated(site=np.full(len(LABELS), "North"))["site"].values()
    assert part["examples"] == len(LABELS)
    names = ("difference", "difference_interval", "p", "p_holm")
    assert [part[name] for name in names] == [None] * 4


def test_without_attributes_there_is_none():
    assert evaluated() == {}

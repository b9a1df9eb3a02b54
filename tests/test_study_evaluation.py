"""`trainer.evaluate --study_dir`, on runs of networks that were hardly trained."""

import csv
import json
import re
import shutil

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from tests.conftest import run_command
from tests.support import small_dataset
from tests.support.report_schemas import require_valid
from tests.support.studies import CLASSES, write_study
from trainer.evaluation.study.corrected_t import corrected_resampled_t
from trainer.evaluation.study.differences import Difference, Differences
from trainer.evaluation.study.summary import summary

CONFIGURATIONS = {"recipe=seed": {"recipe": "seed"}, "recipe=strong": {"recipe": "strong"}}
HALVES = {"train_split": "train[:50%]", "validation_split": "train[50%:]"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    directory = tmp_path_factory.mktemp("small")
    small_dataset.build(directory)
    return directory


@pytest.fixture(scope="module")
def over_seeds(data, tmp_path_factory):
    """A study of three seeds, of which the first configuration lacks the last."""
    study = tmp_path_factory.mktemp("studies") / "seeds"
    write_study(
        study, data, CONFIGURATIONS, [0, 1, 2], None, undone={"recipe=seed,seed=2"}, **HALVES
    )
    said = evaluate(study, "--split=validation", "--note=Small images.")
    return study, said, *read(study)


@pytest.fixture(scope="module")
def over_folds(data, tmp_path_factory):
    """A study of two seeds and three folds, all of them finished."""
    study = tmp_path_factory.mktemp("studies") / "folds"
    write_study(study, data, {"recipe=seed": {}}, [0, 1], 3)
    evaluate(study)
    return study, *read(study)


def evaluate(study, *flags, code=0):
    flags = (f"--study_dir={study}", f"--output_dir={study}-report", "--resamples=200", *flags)
    return run_command("trainer.evaluate", *flags, code=code)


def read(study):
    report = json.loads((study.with_name(f"{study.name}-report") / "report.json").read_text())
    require_valid(report)
    with (study.with_name(f"{study.name}-report") / "predictions.csv").open(newline="") as file:
        return report, list(csv.DictReader(file))


def page_of(study):
    return (study.with_name(f"{study.name}-report") / "report.html").read_text()


def probabilities(rows):
    labels = np.array([CLASSES.index(row["label"]) for row in rows])
    return labels, np.array([[float(row[name]) for name in CLASSES] for row in rows])


def rows_of(rows, configuration, seed, fold):
    place = {"configuration": configuration}
    place |= {"seed": "" if seed is None else str(seed), "fold": "" if fold is None else str(fold)}
    return [row for row in rows if place.items() <= row.items()]


def recomputed(labels, shares):
    said, hot = shares.argmax(axis=1), np.eye(4)[labels]
    bins = np.ceil(shares.max(axis=1) * 15).clip(1, 15)
    gaps = [
        (bins == one).mean()
        * abs(shares.max(axis=1)[bins == one].mean() - (said == labels)[bins == one].mean())
        for one in np.unique(bins)
    ]
    return {
        "accuracy": metrics.accuracy_score(labels, said),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, said),
        "macro_f1": metrics.f1_score(labels, said, average="macro"),
        "macro_auroc": metrics.roc_auc_score(hot, shares, average="macro"),
        "log_loss": metrics.log_loss(labels, shares, labels=range(4)),
        "brier_score": ((shares - hot) ** 2).sum(axis=1).mean(),
        "ece": sum(gaps),
    }


def check_runs(report, rows):
    """Recomputes every run's metrics, and the means and standard deviations."""
    for one in report["configurations"]:
        if one["members"] > 1:
            continue
        found = []
        for run in one["runs"]:
            of_run = rows_of(rows, one["name"], run["seed"], run["fold"])
            found.append(recomputed(*probabilities(of_run)))
            assert {key: run[key] for key in found[-1]} == pytest.approx(found[-1], abs=1e-9)
            assert run["examples"] == len(of_run)
        for name, metric in one["metrics"].items():
            values = [run[name] for run in found]
            assert metric["over_runs"]["mean"] == pytest.approx(np.mean(values), abs=1e-9)
            assert metric["over_runs"]["sd"] == pytest.approx(np.std(values, ddof=1), abs=1e-9)


def test_seeds_alone_get_the_plain_interval_and_say_what_it_leaves_out(over_seeds):
    study, _, report, rows = over_seeds
    assert report["kind"] == "study" and report["folds"] is None and report["examples"] == 32
    check_runs(report, rows)
    strong = next(one for one in report["configurations"] if one["name"] == "recipe=strong")
    values = [run["accuracy"] for run in strong["runs"]]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = strong["metrics"]["accuracy"]["over_runs"]["interval"]
    assert found == pytest.approx([expected.low, expected.high], abs=1e-9)
    assert set(strong["variance"]["components"]) == {"seed", "test_sample"}
    page = page_of(study)
    assert "it does not cover other training or test radiographs" in page
    assert "Small images." in page and "not a medical device" in page


def test_a_run_that_is_not_done_is_named_and_its_seed_left_out(over_seeds):
    study, said, report, rows = over_seeds
    assert report["missing"] == ["recipe=seed,seed=2: failed"]
    assert "not in the report: recipe=seed,seed=2: failed" in said
    assert "recipe=seed,seed=2: failed" in page_of(study)
    assert report["summary"][-1].endswith("1 remark below says what is missing.")
    seeds = {(row["configuration"], row["seed"]) for row in rows}
    assert len(seeds) == 5 and ("recipe=seed", "2") not in seeds
    pairs = report["differences"]["found"]
    assert {pair["over_runs"]["runs"] for pair in pairs} == {2}


def test_differences_are_tested_in_pairs_with_holms_correction(over_seeds):
    *_, report, _ = over_seeds
    runs = {
        one["name"]: {run["seed"]: run for run in one["runs"]}
        for one in report["configurations"]
        if one["members"] == 1
    }
    found = {one["metric"]: one for one in report["differences"]["found"]}
    assert report["differences"]["tests"] == len(found) == 7
    for name, one in found.items():
        first, second = (
            [runs[configuration][seed][name] for seed in (0, 1)] for configuration in runs
        )
        expected = stats.ttest_rel(first, second)
        assert one["over_runs"]["p_value"] == pytest.approx(expected.pvalue, abs=1e-9)
    ordered = sorted(found.values(), key=lambda one: one["over_runs"]["p_value"])
    steps = [one["over_runs"]["p_value"] * (7 - rank) for rank, one in enumerate(ordered)]
    expected = np.minimum(1, np.maximum.accumulate(steps))
    assert [one["p_holm"] for one in ordered] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("values", "p_holm", "said"),
    [
        (
            [0.1],
            None,
            "Differences in accuracy between configurations are not tested: a single run",
        ),
        ([0.1, -0.1], 0.9, "No difference in accuracy is significant after Holm's correction."),
        (
            [0.2, 0.21],
            0.0004,
            "95\N{NO-BREAK SPACE}% interval 14.1 to 26.9; p <\N{NO-BREAK SPACE}0.001",
        ),
    ],
)
def test_what_is_said_of_a_difference(values, p_holm, said):
    one = Difference(("a", "b"), "accuracy", corrected_resampled_t(values, 0), p_holm)
    (line,) = summary([], Differences([one], 1, []), [])
    assert said in line


def test_the_folds_hold_out_each_example_once(over_folds):
    _, report, rows = over_folds
    everything = sum(small_dataset.SIZES.values())
    assert report["examples"] == everything and len(rows) == everything * 2
    once = {(row["configuration"], row["seed"], row["id"]) for row in rows}
    assert len(once) == len(rows)
    check_runs(report, rows)


def test_over_folds_and_seeds_the_interval_is_the_corrected_one(over_folds):
    study, report, _ = over_folds
    one = report["configurations"][0]
    values = [run["accuracy"] for run in one["runs"]]
    ratio = report["test_to_train"]
    assert ratio == pytest.approx(132 / 3 / 60)  # Every run says that it trained on 60.
    error = np.std(values, ddof=1) * np.sqrt(1 / 6 + ratio)
    expected = np.mean(values) + error * np.array(stats.t.interval(0.95, 5))
    found = one["metrics"]["accuracy"]["over_runs"]["interval"]
    assert found == pytest.approx(expected.tolist(), abs=1e-9)
    assert list(one["variance"]["components"]) == ["seed", "seed_in_fold", "split", "test_sample"]
    assert "over 3 folds and 2 seeds" in report["summary"][0] and len(report["summary"]) <= 10
    assert "corrected resampled t interval (Nadeau and Bengio, 2003)" in page_of(study)


def test_the_ensemble_is_the_mean_of_the_seeds_in_each_fold(over_folds):
    _, report, rows = over_folds
    single, mean = report["configurations"][:2]
    assert (single["members"], mean["members"], mean["name"]) == (1, 2, single["name"])
    for run in mean["runs"]:
        seeds = [probabilities(rows_of(rows, mean["name"], seed, run["fold"])) for seed in (0, 1)]
        (labels, first), (_, second) = seeds
        expected = recomputed(labels, (first + second) / 2)
        assert {key: run[key] for key in expected} == pytest.approx(expected, abs=1e-9)


def test_predictions_are_kept_until_the_model_changes(over_folds):
    study, report, rows = over_folds
    assert "predicts" not in evaluate(study)
    again, rows_again = read(study)
    assert rows_again == rows and again["configurations"] == report["configurations"]
    first, second = (study / f"recipe=seed,seed={seed},fold=0of3" for seed in (0, 1))
    kept = first / "held_out_predictions.npz"
    content = kept.read_bytes()
    kept.write_bytes(content[:300] + b"?" + content[301:])
    shutil.copy(first / "model.keras", second / "model.keras")
    said = evaluate(study)
    predicted = set(re.findall(r"([^\s:]+) predicts", said))
    assert predicted == {first.name, second.name} and f"{kept} is damaged" in said
    _, changed = read(study)
    first, second = (probabilities(rows_of(changed, "recipe=seed", seed, 0)) for seed in (0, 1))
    np.testing.assert_array_equal(first[1], second[1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fold": "1/3"}, "trained or validated on"),
        ({"fold": "2/3", "train_split": "fold 0 of 3"}, "more than once"),
        ({"seed": 5}, "was trained with seed 5, the plan says 0"),
    ],
)
def test_runs_that_do_not_fit_together_are_refused(change, said, over_folds, tmp_path):
    study = tmp_path / "study"
    shutil.copytree(over_folds[0], study)
    path = study / "recipe=seed,seed=0,fold=0of3" / "config.json"
    content = json.loads(path.read_text())
    content["config"] |= change
    path.write_text(json.dumps(content))
    assert said in evaluate(study, code=2)
    assert not (tmp_path / "study-report").exists()


def test_differences_of_single_runs_are_said_to_be_untested():
    one = Difference(("a", "b"), "accuracy", corrected_resampled_t([0.1], 0), None)
    assert summary([], Differences([one], 0, []), []) == [
        "Differences in accuracy between configurations are not tested: a single run does not show "
        "the spread over runs."
    ]

import csv
import json

import numpy as np
import PIL.Image
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.conftest import run_command
from trainer.data.examples import load_split
from trainer.errors import UserError
from trainer.evaluation.predictions import predictor
from trainer.prediction import drift
from trainer.prediction.drift import FEATURES, compare, open_reference, sample
from trainer.prediction.image_list import list_images
from trainer.prediction.rows import Reading
from trainer.prediction.two_samples import maximum_mean_discrepancy
from trainer.run import Run


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    """The training radiographs of the phantoms, darker than they were."""
    folder = tmp_path_factory.mktemp("dark")
    examples = load_split(dataset, "train")
    for name, image in zip(examples.ids, examples.images, strict=True):
        PIL.Image.fromarray((image[..., 0] * 0.6).astype(np.uint8)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no radiograph")
    return folder


def command(finished_run, folder, output, code=0):
    return run_command(
        "trainer.predict", f"--workdir={finished_run}", f"--images={folder}",
        f"--drift_from={finished_run}", f"--output={output}", code=code,
    )  # fmt: skip


def test_a_folder_is_compared_with_the_test_split(finished_run, folder, dataset, tmp_path):
    said = command(finished_run, folder, tmp_path / "p.csv")
    found = json.loads((tmp_path / "p-drift.json").read_text())
    test = load_split(dataset, "test")
    paths = sorted(folder.glob("*.png"))
    assert found["images"]["examples"] == len(paths)
    assert (found["reference"]["split"], found["reference"]["examples"]) == ("test", len(test.ids))

    gray = np.array([np.asarray(PIL.Image.open(path)).mean() for path in paths])
    expected = stats.ks_2samp(gray, test.images.mean(axis=(1, 2, 3)))
    mean = found["tests"]["mean of gray values"]
    assert (mean["statistic"], mean["p"]) == pytest.approx(expected, abs=1e-9)
    old = predictor(Run(finished_run).load_model().network, flip=False)(test.images)
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["left_out"]]
    for index, name in enumerate(dataset.class_names):
        new = np.array([float(row[name]) for row in rows])
        found_p = found["tests"][f"probability of {name}"]["p"]
        assert found_p == pytest.approx(stats.ks_2samp(new, old[:, index]).pvalue, abs=1e-9)
    p_values = [test["p"] for test in found["tests"].values()]
    corrected = [test["p_holm"] for test in found["tests"].values()]
    np.testing.assert_allclose(corrected, multipletests(p_values, method="holm")[1])
    assert len(found["tests"]) == 7 and FEATURES in found["tests"]
    lines = {line.partition("drift: ")[2] for line in said.splitlines() if "drift: " in line}
    assert len(lines) == 3 and any("mean of gray values" in line for line in lines)


def test_features_are_compared_as_vectors():
    generator = np.random.default_rng(0)
    new, old = generator.normal(size=(30, 4)), generator.normal(1, 1, (25, 4))
    found = compare({"a": new[:, 0], FEATURES: new}, {"a": old[:, 0], FEATURES: old}, 3)
    assert found[FEATURES].statistic == maximum_mean_discrepancy(new, old, 3).statistic
    assert found["a"].p_holm >= found["a"].p


def test_of_many_radiographs_some_are_drawn_by_the_seed(folder, monkeypatch):
    monkeypatch.setattr(drift, "MOST", 10)
    reading = Reading(list_images(str(folder)), (224, 224, 1), depth=None, any_view=False)
    first, again, other = (sample(reading, seed) for seed in (1, 1, 2))
    assert first.shape[0] in (9, 10)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_run_of_other_radiographs_is_refused(finished_run):
    content = Run(finished_run).finished_config()
    content["dataset"]["image_shape"] = [32, 32, 1]
    with pytest.raises(UserError, match="was trained with image_shape"):
        open_reference(str(finished_run), content, None)


def test_a_split_of_one_radiograph_is_refused(finished_run, monkeypatch):
    content = Run(finished_run).finished_config()
    monkeypatch.setattr(drift, "select", lambda *_: ["one"])
    with pytest.raises(UserError, match="has 1 radiograph; expected 2 or more"):
        open_reference(str(finished_run), content, None)


def test_few_radiographs_are_refused_before_the_work(finished_run, folder, tmp_path):
    (tmp_path / "few.csv").write_text("path\n" + f"{folder}/notes.txt\n" * 5)
    said = command(finished_run, tmp_path / "few.csv", tmp_path / "p.csv", code=2)
    assert "--drift_from compares 20 radiographs or more, and --images names 5" in said
    assert not (tmp_path / "p.csv").exists()


def files_that_are_none(finished_run, tmp_path):
    """Twenty names of one file that is no radiograph."""
    (tmp_path / "none.txt").write_text("none")
    (tmp_path / "none.csv").write_text("path\n" + "none.txt\n" * 20)
    return command(finished_run, tmp_path / "none.csv", tmp_path / "p.csv")


def test_where_too_few_can_be_read_the_table_is_written_all_the_same(finished_run, tmp_path):
    assert "0 radiographs can be read, too few" in files_that_are_none(finished_run, tmp_path)
    assert (tmp_path / "p.csv").exists() and not (tmp_path / "p-drift.json").exists()


def gray_values(trial, brightness, size=40):
    """Mean and deviation of made-up radiographs, and features that follow them."""
    generator = np.random.default_rng(trial)
    values = {}
    for name, shift in (("new", brightness), ("old", 0.0)):
        mean, sd = generator.normal(120 + shift, 20, size), generator.normal(60, 8, size)
        features = np.stack([mean, sd, generator.normal(size=size)], axis=1) / 20
        values[name] = {"mean": mean, "sd": sd, FEATURES: features}
    return values["new"], values["old"]


@pytest.mark.slow
@pytest.mark.parametrize("brightness", [0, 10, 20])
def test_drill_of_a_shifted_gray_scale(brightness, monkeypatch):
    monkeypatch.setattr("trainer.prediction.two_samples.DRAWS", 200)
    found = 0
    for trial in range(1000):
        tests = compare(*gray_values(trial, brightness), trial)
        found += any(test.p_holm <= 0.05 for test in tests.values())
    print(f"40 and 40 radiographs, {brightness} gray values brighter: drift in {found / 1000:.1%}")
    assert found <= 70 if brightness == 0 else found > 200

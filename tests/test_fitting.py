import dataclasses
import logging
import shutil

import keras
import numpy as np
import pytest

from trainer.data.examples import load_split
from trainer.data.selection import select
from trainer.errors import UserError
from trainer.evaluation import fitting
from trainer.evaluation.fitting import training_features
from trainer.evaluation.training_features import FILES, fit, load
from trainer.run import Run


@pytest.fixture
def run(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run", ignore=shutil.ignore_patterns("training_*"))
    return Run(tmp_path / "run")


@pytest.fixture(scope="module")
def best(finished_run):
    return Run(finished_run).load_model()


def keras_features(best, images):
    return keras.Model(best.network.input, best.network.get_layer("logits").input).predict(
        images, verbose=0
    )


def test_it_is_fitted_on_the_runs_splits_and_kept(run, best, dataset, monkeypatch):
    found = training_features(run.finished_config(), best, run.path, None)
    train, validation = (load_split(dataset, split) for split in ("train", "validation"))
    expected = fit(
        keras_features(best, train.images), train.labels,
        keras_features(best, validation.images), best.sha256,
    )  # fmt: skip
    test = keras_features(best, load_split(dataset, "test").images)
    np.testing.assert_allclose(found.distance(test), expected.distance(test), rtol=1e-4)
    monkeypatch.setattr(fitting, "one_dataset", None)
    again = training_features(run.finished_config(), best, run.path, None)
    np.testing.assert_array_equal(again.distance(test), found.distance(test))


def test_large_splits_are_sampled(run, best, monkeypatch):
    monkeypatch.setattr(fitting, "MOST", 3)
    found = training_features(run.finished_config(), best, run.path, None, keeps=False)
    assert (found.train_examples, found.validation_examples) == (3, 3)


def test_a_sample_of_records_is_drawn_by_the_seed(dataset):
    records = select(dataset, "train")
    rows = [records.sample(10, seed).index["offset"].tolist() for seed in (3, 3, 4)]
    assert rows[0] == rows[1] != rows[2]
    digests = {records.digest, *(records.sample(10, seed).digest for seed in (3, 3, 4))}
    assert len(digests) == 3
    assert len(rows[0]) == 10 and records.sample(10**6, 0) is records


def test_nothing_is_kept_where_it_is_not_asked_for(run, best):
    assert training_features(run.finished_config(), best, run.path, None, keeps=False)
    assert not (run.path / FILES[0]).exists()


def test_without_the_dataset_it_is_left_out(run, best, caplog):
    content = run.finished_config()
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert training_features(content, best, run.path, str(run.path / "gone")) is None
    assert "the flag of radiographs unlike the training's is left out" in caplog.text


def test_what_was_fitted_on_another_build_is_not_kept(run, best, dataset, caplog):
    content = run.finished_config()
    content["dataset"]["digests"] = dict.fromkeys(content["dataset"]["digests"], "other")
    content["config"]["data_dir"] = "elsewhere"
    with caplog.at_level(logging.WARNING, logger="absl"):
        place = str(dataset.builder.data_dir).split("/covid19")[0]
        assert training_features(content, best, run.path, place)
    assert "are of another dataset: not kept" in caplog.text
    assert load(run.path, best.sha256) is None


def test_a_run_that_can_only_be_read_is_served_all_the_same(run, best, monkeypatch, caplog):
    def refuse(*_):
        raise UserError("it is read-only")

    monkeypatch.setattr(fitting, "save", refuse)
    with caplog.at_level(logging.WARNING, logger="absl"):
        assert training_features(run.finished_config(), best, run.path, None)
    assert "are not kept: it is read-only" in caplog.text


def test_another_model_is_fitted_anew(run, best):
    training_features(run.finished_config(), best, run.path, None)
    other = dataclasses.replace(best, sha256="other")
    assert training_features(run.finished_config(), other, run.path, None).model_sha256 == "other"
    assert load(run.path, best.sha256) is None

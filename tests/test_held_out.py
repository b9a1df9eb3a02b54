import logging

import numpy as np

from trainer.data.examples import load_split
from trainer.errors import UserError
from trainer.evaluation.predictions import predictor
from trainer.evaluation.study import held_out
from trainer.run import Run


def test_a_run_that_can_only_be_read_is_predicted_all_the_same(
    finished_run, dataset, monkeypatch, caplog
):
    def refuse(*_):
        raise UserError("it is read-only")

    monkeypatch.setattr(held_out, "keep", refuse)
    run = Run(finished_run)
    with caplog.at_level(logging.WARNING, logger="absl"):
        found = held_out.predict_held_out(
            {"run": run}, {"run": run.finished_config()}, {"run": "test"}, dataset
        )["run"]
    assert "the predictions are not kept: it is read-only" in caplog.text
    test = load_split(dataset, "test")
    expected = predictor(run.load_model().network, flip=False)(test.images)
    np.testing.assert_allclose(found.probabilities, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.ids, test.ids)

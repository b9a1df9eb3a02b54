"""The `strong` recipe of the deep networks, from random weights on small phantoms."""

import json

import numpy as np
import pytest

from tests.conftest import run_command

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("model", ["resnet101", "vgg19", "densenet169"])
def test_strong_learns_without_divergence_under_two_replicas(
    model, precision, small_phantoms, tmp_path
):
    run = tmp_path / "run"
    run_command(
        "trainer.main", f"--model={model}", "--weights=none", "--strategy=mirrored",
        "--virtual_devices=2", f"--precision={precision}", "--dataset=small_phantoms",
        f"--data_dir={small_phantoms}", f"--workdir={run}",
        "--epochs=12",
        # An epoch has 8 steps here, and 70 with the 2,240 real radiographs: the recipe's warm-up
        # would be too short for ResNet-101, and its average would reach back over all steps.
        "--warmup_epochs=4",
        "--ema_momentum=0.9",
    )  # fmt: skip
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert np.isfinite([row["validation_loss"] for row in rows]).all()
    assert rows[-1]["validation_accuracy"] > 0.4

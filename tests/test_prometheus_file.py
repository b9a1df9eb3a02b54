import json
import math
import re

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT
from trainer.errors import UserError
from trainer.training.metrics import Metrics
from trainer.training.observers import prometheus_file
from trainer.training.observers.observer import EpochMetrics, StepMetrics
from trainer.training.observers.prometheus_file import PrometheusFile, full_name, require_file
from trainer.training.progress import Progress
from trainer.training.utilisation.utilisation import NAMES, Utilisation

STEPS = StepMetrics(
    epoch=2, step=3, global_step=23, loss=0.5, accuracy=0.75, learning_rate=1e-3,
    gradient_norm=math.inf, loss_scale=None, images_per_second=100.0, input_wait=0.25,
)  # fmt: skip
NUMBERS = Metrics(
    examples=4, loss=0.4, accuracy=0.5, confusion=np.eye(2), recall=np.ones(2), waited=0.0
)
EPOCH = EpochMetrics(
    epoch=2, phase="all", train=NUMBERS, validation=NUMBERS, best_epoch=1, best_loss=0.3,
    learning_rate=1e-3, images_per_second=100.0, input_wait=0.25, seconds=9.0,
    utilisation=Utilisation(mfu=0.25, time_share_other=0.5),
)  # fmt: skip


def samples(path):
    """Value by name and labels, as Prometheus' own parser reads the file."""
    return {
        (sample.name, sample.labels["run"], sample.labels.get("split")): sample.value
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    }


def test_prometheus_reads_the_newest_metrics(tmp_path, monkeypatch):
    monkeypatch.setattr(prometheus_file, "_SECONDS_BETWEEN_WRITES", 0)
    path, run = tmp_path / "a.prom", 'a "run"\\n'
    observer = PrometheusFile(path, run)
    observer.begin_training(Progress(best_epoch=1, epochs=1, best_loss=0.3))
    assert samples(path)["cxr_training_running", run, None] == 1
    observer.finish_steps(STEPS)
    observer.finish_epoch(EPOCH)
    found = samples(path)
    assert found["cxr_training_loss", run, "train"] == 0.5
    assert found["cxr_training_loss", run, "validation"] == 0.4
    assert found["cxr_training_global_step", run, None] == 23
    assert found["cxr_training_mfu", run, None] == 0.25
    assert found["cxr_training_time_share_other", run, None] == 0.5
    assert ("cxr_training_slowest_worker", run, None) not in found
    assert set(NAMES) < set(prometheus_file.GAUGES)
    assert found["cxr_training_gradient_norm", run, None] == math.inf
    assert found["cxr_training_best_validation_loss", run, None] == 0.3
    assert ("cxr_training_loss_scale", run, None) not in found
    observer.end()
    assert samples(path)["cxr_training_running", run, None] == 0
    assert [file.name for file in tmp_path.iterdir()] == ["a.prom"]


def test_a_file_that_the_collector_would_not_read_is_refused(tmp_path):
    with pytest.raises(UserError, match="names end with .prom"):
        require_file(str(tmp_path / "metrics.txt"))
    assert require_file(str(tmp_path / "new" / "a.prom")).name == "a.prom"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder.prom").mkdir()
    with pytest.raises(UserError, match="folder.prom is a directory"):
        require_file(str(tmp_path / "folder.prom"))


def test_the_dashboard_shows_every_metric_and_no_other():
    board = json.loads((ROOT / "launch" / "grafana" / "training.json").read_text())
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    names = {name for expression in shown for name in re.findall(r"cxr_\w+", expression)}
    assert names == set(map(full_name, prometheus_file.GAUGES))
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])

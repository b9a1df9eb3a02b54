import io
import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.support.rows import epoch_metrics, step_metrics
from trainer import progress_line
from trainer.run import Run
from trainer.training.observers.epoch_log import EpochLog
from trainer.training.observers.epoch_progress import EpochProgress
from trainer.training.observers.metrics_file import MetricsFile
from trainer.training.observers.profile import Profile
from trainer.training.observers.status_file import StatusFile
from trainer.training.progress import Progress


def test_the_row_of_an_epoch_that_is_trained_again_is_replaced(tmp_path):
    run = Run(tmp_path)
    run.write_metrics([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 7.0}])
    file = MetricsFile(run, run.read_metrics())
    file.begin_training(Progress(epochs=1, step=3))
    file.finish_epoch(epoch_metrics())
    before, row = map(json.loads, (tmp_path / "metrics.jsonl").open())
    assert before == {"epoch": 1, "loss": 0.5}
    assert list(row.items()) == [
        ("epoch", 2), ("phase", "head"), ("loss", 0.5), ("accuracy", 0.75),
        ("validation_loss", 0.25), ("validation_accuracy", 0.875), ("learning_rate", 1e-3),
        ("images_per_second", 100.0), ("input_wait", 0.125), ("seconds", 9.0),
    ]  # fmt: skip


def test_the_status_is_that_of_the_training(tmp_path):
    run = Run(tmp_path)
    file, known = StatusFile(run), []
    progress = Progress(epochs=1, best_epoch=1, best_loss=0.5)
    for tell, row in (
        (file.begin_training, progress),
        (file.finish_steps, step_metrics()),
        (file.finish_epoch, epoch_metrics()),
        (file.finish_epoch, epoch_metrics(epoch=3)),
        (file.finish_training, Progress(epochs=3, best_epoch=2, best_loss=0.25)),
    ):
        tell(row)
        names = ("status", "best_epoch", "best_validation_loss")
        known.append(tuple(run.read_status()[name] for name in names))
    begun, later = ("running", 1, 0.5), ("running", 2, 0.25)
    assert known == [begun, begun, later, later, ("done", 2, 0.25)]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, "accuracy 0.8750  100 images/s  input wait 12.5%  (best so far)"),
        ({"best_epoch": 1}, "accuracy 0.8750  100 images/s  input wait 12.5%"),
        (
            {"images_per_second": None, "input_wait": None},
            "accuracy 0.8750  not timed images/s  input wait not timed  (best so far)",
        ),
    ],
)
def test_the_log_tells_an_epoch_in_a_line(changes, end, caplog):
    caplog.set_level("INFO", "absl")
    EpochLog(9).finish_epoch(epoch_metrics(**changes))
    begin = "epoch 2/9  loss 0.5000  accuracy 0.7500  validation loss 0.2500  "
    assert caplog.messages == [begin + end]


class NotebookStream(io.StringIO):
    """What a kernel has for standard error: no terminal."""

    __module__ = "ipykernel.iostream"


class TerminalStream(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream", [TerminalStream, NotebookStream])
def test_the_progress_line_goes_with_the_last_step(stream, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    clock = [0.0]
    monkeypatch.setattr(progress_line.time, "monotonic", lambda: clock[0])
    line = EpochProgress(epochs=5, batch_size=16)
    line.begin_epoch(2, steps=4)
    said = []
    for clock[0], step in ((0.1, 1), (2.0, 2), (4.0, 4)):
        line.finish_steps(step_metrics(step=step))
        said.append(sys.stderr.getvalue())
    text = "epoch 2/5  step 2/4  16 images/s  2 s left"
    assert said[:2] == ["", f"\r{text}"]
    *_, last, blanks, nothing = said[2].split("\r")
    assert len(last) >= len(text) and blanks.isspace() and len(blanks) == len(last)
    assert nothing == ""


def test_the_progress_line_covers_a_longer_one_before_it(monkeypatch):
    monkeypatch.setattr(sys, "stderr", NotebookStream())
    clock = [0.0]
    monkeypatch.setattr(progress_line.time, "monotonic", lambda: clock[0])
    line = progress_line.Line()
    for clock[0], text in ((1.0, "a long line"), (2.0, "a short")):
        line.show(lambda text=text: text)
    assert sys.stderr.getvalue() == "\ra long line\ra short    "


@pytest.mark.parametrize("first, last", [(0, 3), (3, 5), (5, 6), (7, 50), (40, 50)])
@pytest.mark.parametrize("resumed", [0, 4])
def test_exactly_the_steps_that_were_asked_for_are_profiled(
    first, last, resumed, monkeypatch, tmp_path
):
    recording, recorded, written = [False], [], []

    def start(directory):
        recording[0] = True

    def stop():
        recording[0] = False
        written.append(True)

    monkeypatch.setattr(tf.profiler.experimental, "start", start)
    monkeypatch.setattr(tf.profiler.experimental, "stop", stop)
    profile, step = Profile(tmp_path, first, last), resumed
    while step < 12:
        steps = profile.begin_steps(step, min(4, 12 - step))
        recorded += range(step, step + steps) if recording[0] else []
        step += steps
    profile.end()
    expected = range(first, min(last, 12)) if first >= resumed else []
    np.testing.assert_array_equal(recorded, list(expected))
    assert len(written) == bool(expected) and not recording[0]

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

from tests.conftest import relative_difference, two_replicas
from tests.support.settings import SETTINGS
from tests.support.toy import BATCH, make_examples, small_lenet
from trainer.errors import Preempted
from trainer.run import Run
from trainer.training import config
from trainer.training.checkpoint import Checkpoints
from trainer.training.computation import Computation
from trainer.training.engine import Engine
from trainer.training.interruption import StopRequest
from trainer.training.loop import Loop
from trainer.training.objective import Objective
from trainer.training.observers.observer import Observer
from trainer.training.phases import Phase

# Three steps an epoch, the last one of eight examples.
TRAINED, VALIDATED, STEPS = 40, 20, 3
PEAK_FLOPS = 1e12


class Recorder(Observer):
    """A sink that is known to nobody but this file."""

    def __init__(self):
        self.told, self.steps, self.epochs = [], [], []

    def begin_training(self, progress):
        self.told.append(("begin_training", progress.epochs, progress.step))

    def begin_epoch(self, epoch, steps):
        self.told.append(("begin_epoch", epoch, steps))

    def begin_steps(self, global_step, steps):
        self.told.append(("begin_steps", global_step, steps))
        return steps

    def finish_steps(self, metrics):
        self.told.append(("finish_steps", metrics.epoch, metrics.step, metrics.global_step))
        self.steps.append(metrics)

    def finish_epoch(self, metrics):
        self.told.append(("finish_epoch", metrics.epoch))
        self.epochs.append(metrics)

    def finish_training(self, progress):
        self.told.append(("finish_training", progress.epochs, progress.step))

    def end(self):
        self.told.append(("end",))


def make_loop(path, observers, stop_request=None, **settings):
    """The loop of a small LeNet's two epochs under two replicas."""
    keras.utils.set_random_seed(0)
    stop_request = stop_request or StopRequest()

    def start_phase(phase):
        return Engine(
            two_replicas(), small_lenet(),
            Computation(keras.optimizers.Adam(1e-3), Objective(4)), stop_request=stop_request,
        )  # fmt: skip

    run = Run(path)
    settings = {"epochs": 2, "log_steps": 2, "global_batch_size": BATCH} | settings
    return Loop(
        run=run,
        config=config.make("seed", "lenet", SETTINGS | settings),
        strategy=two_replicas(),
        phases=(Phase("all", 2, 1e-3, None, False),),
        start_phase=start_phase,
        best_model=small_lenet(),
        train_examples=make_examples(TRAINED),
        validation_examples=make_examples(VALIDATED, seed=1),
        change_batch=None,
        checkpoints=Checkpoints(run.checkpoints),
        stop_request=stop_request,
        observers=observers,
        peak_flops=PEAK_FLOPS,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    recorder = Recorder()
    loop = make_loop(tmp_path_factory.mktemp("loop"), [recorder])
    loop.train()
    return loop, recorder


def test_a_sink_is_told_every_step_and_every_epoch(trained):
    _, recorder = trained
    assert recorder.told == [
        ("begin_training", 0, 0),
        ("begin_epoch", 1, STEPS),
        ("begin_steps", 0, 2), ("finish_steps", 1, 2, 2),
        ("begin_steps", 2, 1), ("finish_steps", 1, 3, 3),
        ("finish_epoch", 1),
        ("begin_epoch", 2, STEPS),
        ("begin_steps", 3, 2), ("finish_steps", 2, 2, 5),
        ("begin_steps", 5, 1), ("finish_steps", 2, 3, 6),
        ("finish_epoch", 2),
        ("finish_training", 2, 0),
        ("end",),
    ]  # fmt: skip


def test_the_steps_add_up_to_their_epoch(trained):
    _, recorder = trained
    sizes = [2 * BATCH, TRAINED - 2 * BATCH]
    for epoch in recorder.epochs:
        steps = [step for step in recorder.steps if step.epoch == epoch.epoch]
        for name in ("loss", "accuracy"):
            mean = np.average([getattr(step, name) for step in steps], weights=sizes)
            assert getattr(epoch.train, name) == pytest.approx(mean, rel=1e-6)
        assert all(step.gradient_norm > 0 and step.images_per_second > 0 for step in steps)
        assert steps[-1].learning_rate == epoch.learning_rate == pytest.approx(1e-3)


def test_an_epoch_is_told_what_its_model_answers(trained):
    loop, recorder = trained
    best = min(recorder.epochs, key=lambda epoch: epoch.validation.loss)
    examples = make_examples(VALIDATED, seed=1)
    rows = examples.load(tf.range(VALIDATED))
    labels, answers = rows["label"].numpy(), loop.best_model(rows["image"]).numpy()
    np.testing.assert_array_equal(
        best.validation.confusion,
        metrics.confusion_matrix(labels, answers.argmax(axis=1), labels=range(4)),
    )
    answers = answers.astype(np.float64)
    answers /= answers.sum(axis=1, keepdims=True)
    loss = metrics.log_loss(labels, answers, labels=range(4))
    assert best.validation.loss == pytest.approx(loss, rel=1e-4)
    losses = [epoch.validation.loss for epoch in recorder.epochs]
    assert recorder.epochs[-1].best_epoch == best.epoch == 1 + int(np.argmin(losses))
    assert [epoch.best_loss for epoch in recorder.epochs] == list(np.minimum.accumulate(losses))
    assert recorder.epochs[0].is_best


def test_an_epoch_tells_how_it_used_devices_and_time(trained):
    loop, recorder = trained
    for epoch in recorder.epochs:
        measured = epoch.utilisation.measured()
        shares = [value for name, value in measured.items() if name.startswith("time_share_")]
        assert sum(shares) == pytest.approx(1) and all(share >= 0 for share in shares)
        assert 0 < measured["step_seconds_p50"] <= measured["step_seconds_p99"]
        # Two replicas compute the halves of a batch.
        operations = epoch.images_per_second / BATCH * 2 * loop._engine.flops
        assert measured["mfu"] == pytest.approx(operations / PEAK_FLOPS)


def test_a_deterministic_run_tells_nothing_of_the_clock(tmp_path):
    recorder = Recorder()
    make_loop(tmp_path, [recorder], deterministic=True).train()
    for row in (*recorder.steps, *recorder.epochs):
        assert row.images_per_second is row.input_wait is None
    assert all(epoch.seconds is None for epoch in recorder.epochs)
    assert not any(epoch.utilisation.measured() for epoch in recorder.epochs)


class OneByOne(Observer):
    """Lets the engine take one step in each call."""

    def begin_steps(self, global_step, steps):
        return 1


class StopAfter(Observer):
    """Asks for a stop once so many steps have been taken."""

    def __init__(self, stop_request, global_step):
        self._stop_request, self._global_step = stop_request, global_step

    def finish_steps(self, metrics):
        if metrics.global_step == self._global_step:
            self._stop_request.ask()


def test_a_stopped_training_ends_unfinished_and_goes_on_where_it_stood(tmp_path):
    before, after, stop_request = Recorder(), Recorder(), StopRequest()
    observers = [OneByOne(), StopAfter(stop_request, 4), before]
    with pytest.raises(Preempted, match="after step 2 of epoch 2"):
        make_loop(tmp_path, observers, stop_request).train()
    assert before.told[-3:] == [("begin_steps", 4, 1), ("finish_steps", 2, 2, 5), ("end",)]
    assert [step.global_step for step in before.steps] == [1, 2, 3, 4, 5]
    make_loop(tmp_path, [after]).train()
    assert after.told == [
        ("begin_training", 1, 2),
        ("begin_epoch", 2, STEPS), ("begin_steps", 5, 1), ("finish_steps", 2, 3, 6),
        ("finish_epoch", 2), ("finish_training", 2, 0), ("end",),
    ]  # fmt: skip


def test_one_that_was_stopped_after_the_last_step_of_an_epoch_goes_on_with_validation(
    trained, tmp_path
):
    undisturbed, _ = trained
    recorder, stop_request = Recorder(), StopRequest()
    rates = []

    class Rates(Observer):
        def finish_epoch(self, metrics):
            rates.append((metrics.images_per_second, metrics.input_wait))

    with pytest.raises(Preempted, match="after step 3 of epoch 1"):
        make_loop(tmp_path, [OneByOne(), StopAfter(stop_request, STEPS - 1)], stop_request).train()
    loop = make_loop(tmp_path, [recorder, Rates()])
    loop.train()
    assert rates[0] == (None, None)  # Nothing of the first epoch was trained here.
    assert recorder.told[:4] == [
        ("begin_training", 0, STEPS), ("begin_epoch", 1, STEPS), ("finish_epoch", 1),
        ("begin_epoch", 2, STEPS),
    ]  # fmt: skip
    assert loop.progress.best_loss == pytest.approx(undisturbed.progress.best_loss, rel=1e-5)
    ours, theirs = (one.best_model.get_weights() for one in (loop, undisturbed))
    assert relative_difference(ours, theirs) < 1e-5


def test_an_error_of_one_observer_at_the_end_hides_no_other(tmp_path):
    ended, stop_request = [], StopRequest()

    class Failing(Observer):
        def end(self):
            raise OSError("No space left on device")

    class Last(Observer):
        def end(self):
            ended.append(True)

    observers = [OneByOne(), StopAfter(stop_request, 1), Failing(), Last()]
    loop = make_loop(tmp_path, observers, stop_request)
    with pytest.raises(Preempted):
        loop.train()
    assert ended == [True]
    assert loop.checkpoints.newest_whole()

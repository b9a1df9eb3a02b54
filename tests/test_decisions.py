"""What trials decide, and that they leave no trace in the training that follows."""

import dataclasses
import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import ROOT, run_command, two_replicas
from tests.support.settings import SETTINGS
from tests.support.toy import SIZE, make_examples, small_lenet
from tests.support.trainings import TRAIN, assert_same_run
from trainer import hardware
from trainer.errors import UserError
from trainer.training import config, decisions, step_trial
from trainer.training.batching import Batching
from trainer.training.decisions import Trials, faster_way, find_batch_size, most_of_epoch
from trainer.training.interruption import StopRequest
from trainer.training.phase_engine import build_engine
from trainer.training.phases import plan
from trainer.training.step_trial import Outcome, StepTrial

DEVICES = ("/cpu:0", "/cpu:1")
SLOW, FAST = Outcome(1.0, 10.0), Outcome(60.0, 30.0)
LOST = Outcome(error="Autotuner could not find any supported configs")
TOO_LARGE = Outcome(error="OOM when allocating", is_of_memory=True)


@pytest.fixture(autouse=True)
def cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def two_devices():
    return hardware.Hardware(two_replicas(), DEVICES, "float32", True, True, "ring")


def trials(try_steps, decided=(), obstacle=None, **settings):
    """The trials of a LeNet on two replicas, for which `auto` is with XLA until they are made."""
    chosen = config.make("seed", "lenet", SETTINGS | {"global_batch_size": 16} | settings)
    return Trials(chosen, decided, two_devices(), try_steps, (SIZE, SIZE, 1), 4, 64, obstacle)


def refuse(*arguments):
    raise AssertionError("nothing is to be tried")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return small_lenet()


def real_steps(model, traced):
    return StepTrial(two_devices(), model, make_examples(40), 4, traced).run


def draws():
    """The next numbers of every generator that a training could draw from."""
    return [random.random(), np.random.rand(), float(tf.random.uniform([])),  # noqa: S311
            float(keras.random.uniform([]))]  # fmt: skip


def test_a_real_trial_measures_both_ways_and_leaves_weights_and_random_numbers_alone(model, caplog):
    caplog.set_level("INFO", "absl")
    weights, trainable = model.get_weights(), len(model.trainable_variables)
    keras.utils.set_random_seed(7)
    expected = draws()
    keras.utils.set_random_seed(7)
    traced = {}
    found = trials(real_steps(model, traced)).decide()
    assert draws() == expected
    for weight, was in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, was)
    assert len(model.trainable_variables) == trainable
    told = found.record["xla"]
    for way in ("on", "off"):
        assert told[way]["images_per_second"] > 0 and told[way]["compile_seconds"] > 0
    rates = {way: told[way]["images_per_second"] for way in ("on", "off")}
    assert told["taken"] == max(rates, key=rates.get) == ("on" if found.xla else "off")
    for way in ("on", "off"):
        assert f"{rates[way]:.1f} images/s, compiled in" in caplog.text
    # What was traced is handed on to the training, whatever the number of its replicas.
    assert len(traced) == 2
    chosen = trials(refuse).config
    build_engine(
        plan(chosen.phases, chosen.optimization, chosen.network)[0], config=chosen,
        devices=two_devices(), model=model, start=None, train_examples=make_examples(40),
        stop_request=StopRequest(), traced=traced,
    )  # fmt: skip
    assert len(traced) == 2


@pytest.mark.parametrize(
    ("with_xla", "without", "taken"),
    [(FAST, SLOW, True), (SLOW, FAST, False), (LOST, SLOW, False), (SLOW, LOST, True),
     (TOO_LARGE, SLOW, False)],
)  # fmt: skip
def test_the_faster_way_is_taken_and_one_that_fails_has_lost(with_xla, without, taken):
    assert faster_way({True: with_xla, False: without}) is taken


def test_if_both_ways_fail_the_sentence_says_what_each_said():
    with pytest.raises(UserError, match="XLA on: Autotuner could .*; XLA off: OOM when allocating"):
        faster_way({True: LOST, False: TOO_LARGE})


def test_the_second_run_takes_the_kept_answer_until_the_program_changes(caplog):
    caplog.set_level("INFO", "absl")
    tried = []

    def try_steps(config, xla):
        tried.append((config.batching.global_batch_size, xla))
        return FAST if xla else SLOW

    first = trials(try_steps).decide()
    assert first.xla and not first.record["xla"]["kept"]
    second = trials(refuse).decide()
    assert second.xla and second.record["xla"] == first.record["xla"] | {"kept": True}
    assert "by the trial kept in" in caplog.text
    assert trials(refuse, learning_rate=0.5, epochs=3, seed=9).decide().xla
    for changes in ({"global_batch_size": 32}, {"optimizer": "sgd"}, {"rotation": 5.0}):
        trials(try_steps, **changes).decide()
    assert tried == [
        (16, True),
        (16, False),
        (32, True),
        (32, False),
        *[(16, True), (16, False)] * 2,
    ]


def test_a_damaged_answer_is_made_anew(cache_folder, caplog):
    def try_steps(config, xla):
        return FAST if xla else SLOW

    trials(try_steps).decide()
    (file,) = cache_folder.iterdir()
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"with_xla": {"images_per_second": "fast"}}))
    assert not trials(try_steps).decide().record["xla"]["kept"]
    assert f"{file} is damaged" in caplog.text
    assert json.loads(file.read_text()) == content


def test_a_lack_of_memory_is_not_kept_as_others_may_leave_some():
    def try_steps(config, xla):
        return TOO_LARGE if xla else SLOW

    assert not trials(try_steps).decide().xla
    assert trials(lambda config, xla: FAST if xla else SLOW).decide().xla


def test_nothing_is_tried_where_xla_was_chosen_or_there_is_no_gpu(caplog):
    caplog.set_level("INFO", "absl")
    assert trials(refuse, xla="on").decide() == decisions.Decided(16, True, {})
    on_cpus = trials(refuse, ("global_batch_size",), "only the memory of GPUs is tried").decide()
    assert on_cpus.batch_size == 16
    assert on_cpus.record["global_batch_size"]["obstacle"]
    assert "16, the recipe's: only the memory of GPUs is tried" in caplog.text


@pytest.mark.parametrize("holds", [1, 3, 8, 63, 64, 1000])
def test_the_largest_batch_that_fits_is_found_by_halving(holds):
    """Each of three replicas holds so many images, half of them with XLA."""

    def run(batch_size, xla):
        return SLOW if batch_size // 3 <= holds / (1 + xla) else TOO_LARGE

    for ways, most in (((False,), holds), ((True,), holds // 2), ((False, True), holds // 2)):
        if most:
            expected = max(size for size in (1, 2, 4, 8, 16, 32, 64) if size <= most)
            taken, tried = find_batch_size(3, 100, ways, run)
            assert taken == 3 * expected
            sizes = [one["batch_size"] for one in tried]
            assert sizes == [3 * 64 // 2**halved for halved in range(len(sizes))]
            assert [one["fits"] for one in tried] == [False] * (len(sizes) - 1) + [True]
        else:
            with pytest.raises(UserError, match="not even a batch of 3 fits the memory"):
                find_batch_size(3, 100, ways, run)


@pytest.mark.parametrize(
    ("examples", "recipe", "most"),
    [(16_932, 32, 1058), (1_344, 32, 84), (300, 32, 32), (20, 32, 20)],
)
def test_the_largest_batch_leaves_an_epoch_enough_steps(examples, recipe, most):
    assert most_of_epoch(examples, Batching(recipe)) == most


def test_a_way_that_fails_does_not_keep_the_batch_small():
    assert find_batch_size(2, 8, (False, True), lambda size, xla: LOST if xla else SLOW)[0] == 16


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Graph execution error:\n\nDetected at node a defined at (most recent call last):\n"
         '  File "a.py", line 1, in f\n\nAutotuner could not find any supported configs\n'
         "\t [[{{node a}}]]", "Autotuner could not find any supported configs"),
        ("2 root error(s) found.\n  (0) UNKNOWN: no algorithm worked", "(0) UNKNOWN: no algorithm "
         "worked"),
        ("", "InternalError"),
    ],
)  # fmt: skip
def test_a_failure_is_told_by_the_line_that_says_something(text, told, model, monkeypatch):
    def fail(*arguments, **others):
        raise tf.errors.InternalError(None, None, text)

    monkeypatch.setattr(step_trial, "build_engine", fail)
    assert real_steps(model, {})(trials(refuse).config, True) == Outcome(error=told)


def test_a_run_with_both_trials_is_the_run_of_their_answers_and_goes_on_with_them(
    data_dir, cache_folder, forks, tmp_path
):
    decided, plain = tmp_path / "decided", tmp_path / "plain"
    flags = [*TRAIN, "--input_pooling=4", "--epochs=1", f"--data_dir={data_dir}"]

    def on_gpus():
        done = forks.run(
            "tests.support.train_as_on_gpus",
            [*flags, "--global_batch_size=auto", f"--workdir={decided}"],
            ROOT,
            {"CXR_CACHE_DIR": str(cache_folder)},
        )
        assert done.code == 0, done.said
        return done.stderr

    said = on_gpus()
    assert "XLA: off, by trial; with it failed (Autotuner could not find any supp" in said
    content = json.loads((decided / "config.json").read_text())
    assert content["config"]["global_batch_size"] == 8
    assert not content["hardware"]["xla"]
    told = content["trials"]["global_batch_size"]
    assert [one["batch_size"] for one in told["tried"]] == [16, 8]
    assert content["trials"]["xla"]["off"]["images_per_second"] > 0
    # Adam, and half of the recipe's batch of 16.
    rate = content["config"]["learning_rate"]
    assert rate == pytest.approx(1e-3 / 2**0.5)
    run_command(
        "trainer.main", *flags, "--global_batch_size=8", f"--learning_rate={rate}",
        f"--workdir={plain}",
    )  # fmt: skip
    assert_same_run(decided, plain)
    said = on_gpus()
    assert "batch 16" not in said and "by the trial kept in" in said
    assert json.loads((decided / "config.json").read_text())["config"] == content["config"]


@pytest.mark.parametrize(
    ("changes", "factor"),
    [({}, 4 ** 0.5), ({"optimizer": "sgd", "weight_decay": 0.0}, 4.0),
     ({"learning_rate_scaling": "linear"}, 4.0), ({"learning_rate_scaling": "none"}, 1.0)],
)  # fmt: skip
def test_learning_rates_that_nobody_gave_follow_the_batch(changes, factor):
    recipes = config.make("strong", "resnet101", SETTINGS | changes)
    rates = ("learning_rate", "fine_tune_learning_rate")
    for given in ((), rates[:1], rates):
        decided = ("global_batch_size", *(rate for rate in rates if rate not in given))
        before, after = (
            one.fixed() for one in (recipes, config.with_batch_size(recipes, 128, decided))
        )
        assert (before.pop("global_batch_size"), after.pop("global_batch_size")) == (32, 128)
        for rate in rates:
            expected = before.pop(rate) * (1 if rate in given else factor)
            assert after.pop(rate) == pytest.approx(expected)
        assert before == after


class TwoWorkers:
    """What the second of two workers sees of its chief, which has found a batch of 32."""

    def __init__(self, monkeypatch, chief):
        monkeypatch.setattr(decisions, "gather", self.gather)
        self.chief, self.own = chief, []

    def gather(self, strategy, own):
        self.own.append(list(own))
        return np.array([self.chief, own])


@pytest.mark.parametrize("xla", [0, 1])
def test_a_worker_takes_the_answer_of_the_chief_without_a_trial(xla, monkeypatch):
    workers = TwoWorkers(monkeypatch, [32, xla])
    second = trials(refuse, ("global_batch_size",))
    second = dataclasses.replace(
        second, devices=dataclasses.replace(second.devices, workers=2, worker=1)
    )
    assert second.decide() == decisions.Decided(32, bool(xla), {})
    workers.chief = [0, 0]
    with pytest.raises(UserError, match="the first worker could take no training step"):
        second.decide()


def test_the_chief_tells_its_answer_and_that_it_has_none(monkeypatch):
    workers = TwoWorkers(monkeypatch, [16, 1])
    chief = trials(lambda config, xla: FAST if xla else SLOW)
    chief = dataclasses.replace(chief, devices=dataclasses.replace(chief.devices, workers=2))
    assert chief.decide().xla
    with pytest.raises(UserError, match="no training step works here"):
        dataclasses.replace(chief, try_steps=lambda config, xla: TOO_LARGE, decided=(),
                            image_shape=(9, 9, 1)).decide()  # fmt: skip
    assert workers.own == [[16, True], [0, 0]]

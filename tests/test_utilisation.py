"""How an epoch used devices and time, beside times and operations worked out by hand."""

import types

import numpy as np
import pytest

from tests.conftest import one_device, two_replicas
from tests.support.settings import SETTINGS
from tests.support.toy import BATCH, SIZE, make_examples, train
from trainer.data.input import distribute_batches
from trainer.hardware import Hardware
from trainer.training import config, step_clock
from trainer.training.gathering import gather
from trainer.training.metrics import measure
from trainer.training.step_result import StepResult
from trainer.training.utilisation.gpu_memory import GpuMemory
from trainer.training.utilisation.meter import Meter, find_slowest
from trainer.training.utilisation.peak_flops import find_peak, peak_of_gpu
from trainer.training.utilisation.time_shares import TimeShares
from trainer.training.utilisation.utilisation import NAMES, Utilisation

REPLICAS, ROWS = 2, 8


def make_meter(clock=lambda: 0.0, peak_flops=None, **settings):
    values = {"global_batch_size": REPLICAS * ROWS} | settings
    return Meter(
        config.make("seed", "lenet", SETTINGS | values), two_replicas(), peak_flops,
        time_shares=TimeShares(clock),
    )  # fmt: skip


def steps_of(seconds):
    return StepResult(len(seconds), stopped=False, diverged=None, seconds=np.array(seconds))


ENGINE = types.SimpleNamespace(flops=3 * 10**9)


def test_percentiles_are_those_of_the_steps_times():
    seconds = np.random.default_rng(0).gamma(2.0, 0.1, 40)
    # What the graph gives: when the call began and when each step ended, by a clock of 2026.
    clocks = (1.8e15 + 1e6 * np.cumsum([0.0, *seconds])).astype(np.int64)
    found, _ = step_clock.step_seconds(clocks, clocks[:-1])
    np.testing.assert_allclose(found, seconds, atol=2e-6)
    meter = make_meter()
    for part in np.split(found, [7, 30]):
        meter.finish_steps(steps_of(part), 0.0)
    measured = meter.finish_epoch(ENGINE, None)
    ordered = sorted(seconds)
    assert measured.step_seconds_p50 == pytest.approx((ordered[19] + ordered[20]) / 2, abs=2e-6)
    # Of 40 times the 99th percentile lies at 38.61: between the last but one and the last.
    expected = ordered[38] + 0.61 * (ordered[39] - ordered[38])
    assert measured.step_seconds_p99 == pytest.approx(expected, abs=2e-6)
    assert meter.finish_epoch(ENGINE, None).step_seconds_p50 is None  # A new epoch.


def test_steps_that_are_not_timed_have_no_times():
    found, own = step_clock.step_seconds(np.zeros(4, np.int64), np.zeros(3, np.int64))
    assert len(found) == len(own) == 0


def test_the_shares_of_the_time_add_up_to_one():
    now = [100.0]
    meter = make_meter(lambda: now[0])
    # Ten seconds in steps, in which both replicas together waited for four.
    assert meter.finish_steps(steps_of([4.0, 6.0]), 4.0) == meter.waited == 2.0
    now[0] += 11.0
    with meter.spending("checkpoint"):
        now[0] += 3.0
    with meter.spending("validation"):
        now[0] += 5.0
    now[0] += 1.0
    shares = {
        name.removeprefix("time_share_"): value
        for name, value in meter.finish_epoch(ENGINE, None).measured().items()
        if name.startswith("time_share_")
    }
    assert shares == pytest.approx(
        {"training": 0.4, "input": 0.1, "checkpoint": 0.15, "validation": 0.25, "other": 0.1}
    )
    assert meter.waited == 0.0
    now[0] += 2.0
    assert meter.finish_epoch(ENGINE, None).time_share_other == 1.0


def test_a_wait_of_the_first_step_takes_nothing_from_the_others():
    now = [0.0]
    meter = make_meter(lambda: now[0])
    # Two steps of five seconds; both replicas waited a second in them, and nine in the first step.
    meter.finish_steps(steps_of([5.0, 5.0])._replace(untimed_wait=18.0), 20.0)
    now[0] += 20.0
    measured = meter.finish_epoch(ENGINE, None)
    assert measured.time_share_input == pytest.approx(10 / 20)
    assert measured.time_share_training == pytest.approx(9 / 20)


def test_a_clock_that_runs_faster_leaves_the_shares_at_one():
    now = [0.0]
    shares = TimeShares(lambda: now[0])
    shares.add("training", 3.0)
    shares.add("input", 1.0)
    now[0] = 2.0
    found = shares.take()
    assert found["training"] == 0.75 and found["input"] == 0.25 and found["other"] == 0.0


def test_mfu_is_operations_over_time_and_peak():
    # 16 images a step on two replicas, each 3e9 operations a step; 32 images/s are 2 steps/s.
    assert make_meter(peak_flops=48e9).finish_epoch(ENGINE, 32.0).mfu == pytest.approx(
        2 * 2 * 3e9 / 48e9
    )
    assert make_meter(peak_flops=48e9).finish_epoch(ENGINE, None).mfu is None
    assert make_meter().finish_epoch(ENGINE, 32.0).mfu is None


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_the_operations_of_a_step_are_those_of_the_formula(accumulation_steps):
    engine, _, _ = train(one_device(), make_examples(16), 1, accumulation_steps=accumulation_steps)
    first = SIZE - 2
    pooled = first // 2
    second = pooled - 2
    forward = 2 * first**2 * 32 * 27 + 2 * second**2 * 64 * (9 * 32)
    # Gradients of both kernels, and of what goes into the second; TensorFlow counts them at every
    # position of what goes in, of which there are a border more.
    backward = 2 * SIZE**2 * 32 * 27 + 2 * 2 * pooled**2 * 64 * (9 * 32)
    dense = 2 * ((second // 2) ** 2 * 64 * 128 + 128 * 4)
    expected = 16 * (forward + backward + 3 * dense)
    # Biases, activations, pooling and the sums of gradients are counted too.
    assert 1 <= engine.flops / expected < 1.02


@pytest.mark.parametrize("timed", [True, False])
def test_every_step_but_the_first_of_an_engine_is_timed(timed):
    examples = make_examples(16)
    engine, _, _ = train(one_device(), examples, 0)
    batches = iter(distribute_batches(examples, one_device(), BATCH, augment_seed=3, timed=timed))
    results = [engine.train(batches, 3) for _ in range(2)]
    assert [len(result.seconds) for result in results] == ([2, 3] if timed else [0, 0])
    assert all((result.seconds > 0).all() and len(result.own_seconds) == 0 for result in results)
    waited = measure(engine.train_totals.read()).waited
    assert results[1].untimed_wait == 0.0 <= results[0].untimed_wait <= waited


@pytest.mark.parametrize(
    ("times", "worker", "lag"),
    [([10, 10, 15, 11], 2, 15 / (31 / 3) - 1), ([300, 200], 0, 0.5), ([0, 0], None, None)],
)
def test_the_slowest_worker_is_compared_with_the_mean_of_the_others(times, worker, lag):
    assert find_slowest(times) == (worker, lag if lag is None else pytest.approx(lag))


def test_of_several_workers_the_slowest_and_the_highest_peak_are_reported(monkeypatch):
    told = []

    def gather_three(strategy, own):
        told.append(own)
        return np.array([own, [400_000, 5], [350_000, 7]])

    monkeypatch.setattr("trainer.training.utilisation.meter.gather", gather_three)
    meter = make_meter()
    meter._has_peers = True
    meter.finish_steps(steps_of([0.5, 0.5])._replace(own_seconds=np.array([0.2, 0.3])), 0.0)
    measured = meter.finish_epoch(ENGINE, None)
    assert told == [[250_000, 0]]  # Microseconds a step, and no GPU.
    assert measured.slowest_worker == 1
    assert measured.slowest_worker_lag == pytest.approx(0.4 / 0.3 - 1)
    assert measured.gpu_memory_peak_bytes == 7


def test_replicas_of_a_worker_tell_its_numbers_once():
    assert gather(two_replicas(), [7, 2**40]).tolist() == [[7, 2**40]]


def test_memory_is_the_highest_peak_of_all_gpus_since_the_last_look():
    peaks = {"GPU:0": 5, "GPU:1": 9}
    devices = [f"/job:worker/replica:0/task:1/device:GPU:{index}" for index in (0, 1)]
    memory = GpuMemory(
        ["/device:CPU:0", *devices], lambda gpu: {"current": 1, "peak": peaks[gpu]},
        lambda gpu: peaks.update({gpu: 1}),
    )  # fmt: skip
    assert [memory.take_peak(), memory.take_peak()] == [9, 1]

    def no_statistics(gpu):
        raise ValueError("Allocator stats not available")

    assert GpuMemory(devices, no_statistics, no_statistics).take_peak() == 0
    assert make_meter().finish_epoch(ENGINE, None).gpu_memory_peak_bytes is None


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", "mixed_bfloat16", 989.5),
        ("NVIDIA H100 PCIe", "mixed_bfloat16", 756.5),
        ("NVIDIA H200", "float32", 494.7),
        ("NVIDIA A100-SXM4-80GB", "mixed_float16", 312.0),
        ("NVIDIA A100 80GB PCIe", "float32", 156.0),
        ("NVIDIA A10", "mixed_bfloat16", 125.0),
        ("NVIDIA L4", "mixed_bfloat16", 121.0),
        ("NVIDIA L40S", "mixed_bfloat16", 362.05),
        ("Tesla T4", "mixed_float16", 65.0),
        ("Tesla V100-SXM2-16GB", "mixed_float16", 125.0),
        # Without tensor cores for it.
        ("Tesla V100-PCIE-32GB", "mixed_bfloat16", 14.0),
        ("Tesla T4", "float32", 8.1),
        ("NVIDIA GeForce RTX 3090", "mixed_bfloat16", 71.0),
        ("NVIDIA GeForce RTX 4090", "mixed_bfloat16", 165.2),
        ("NVIDIA RTX A6000", "mixed_bfloat16", 154.8),
        # Others, and a part of one.
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "mixed_bfloat16", None),
        ("NVIDIA GeForce RTX 3090 Ti", "mixed_bfloat16", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "mixed_bfloat16", None),
        ("NVIDIA A10G", "mixed_bfloat16", None),
    ],
)
def test_the_peak_is_that_of_the_data_sheet(name, precision, tflops):
    found = peak_of_gpu(name, precision)
    assert found == (None if tflops is None else pytest.approx(tflops * 1e12))


def test_without_tensorfloat32_the_peak_is_that_of_float32():
    assert peak_of_gpu("NVIDIA A100-PCIE-40GB", "float32", tensorfloat32=False) == 19.5e12


def test_a_cpu_has_no_peak_and_the_log_says_so(caplog):
    caplog.set_level("INFO", "absl")
    cpu = Hardware(two_replicas(), ("/cpu:0", "/cpu:1"), "float32", False, True, "ring")
    assert find_peak(cpu) is None
    assert caplog.messages == ["MFU is not reported: CPUs have no published peak"]


def test_a_deterministic_run_measures_nothing():
    meter = make_meter(peak_flops=1e9, deterministic=True)
    assert meter.finish_epoch(ENGINE, 32.0) == Utilisation()
    assert set(NAMES) > {"mfu"} and Utilisation().measured() == {}

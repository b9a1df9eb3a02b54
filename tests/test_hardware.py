import json

import pytest
import tensorflow as tf

from trainer import hardware
from trainer.errors import UserError

CLUSTER = {"worker": ["a:1", "b:1", "c:1"]}


def tf_config(monkeypatch, content):
    text = content if isinstance(content, str) else json.dumps(content)
    monkeypatch.setenv("TF_CONFIG", text)
    workers, worker = hardware.read_tf_config()
    return list(workers.values()), worker


@pytest.mark.parametrize("index", [0, 2])
def test_the_workers_are_listed_and_this_one_found(monkeypatch, index):
    task = {"type": "worker", "index": index}
    assert tf_config(monkeypatch, {"cluster": CLUSTER, "task": task}) == (CLUSTER["worker"], index)


def test_a_chief_comes_before_the_workers(monkeypatch):
    cluster = CLUSTER | {"chief": ["x:1"]}
    for task, place in (("chief", 0), 0), (("worker", 1), 2):
        task = dict(zip(("type", "index"), task, strict=True))
        assert tf_config(monkeypatch, {"cluster": cluster, "task": task}) == (
            ["x:1", "a:1", "b:1", "c:1"],
            place,
        )


@pytest.mark.parametrize(
    "content",
    [
        "not json", [], {"cluster": CLUSTER}, {"cluster": CLUSTER, "task": {"type": "worker"}},
        {"cluster": CLUSTER, "task": {"type": "worker", "index": 3}},
        {"cluster": [], "task": {"type": "worker", "index": 0}},
    ],
)  # fmt: skip
def test_an_invalid_config_is_shown_beside_what_is_expected(monkeypatch, content):
    with pytest.raises(UserError, match="is not valid; expected TF_CONFIG="):
        tf_config(monkeypatch, content)


def test_no_config_at_all_is_said(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="TF_CONFIG is not set"):
        hardware.resolve(hardware.Placement("multi_worker", "auto", "auto", 0))


def test_virtual_devices_are_one_process_affair():
    with pytest.raises(UserError, match="--virtual_devices"):
        hardware.resolve(hardware.Placement("multi_worker", "auto", "auto", 2))


def test_cpus_get_float32_and_no_xla_unless_asked():
    resolved = hardware.resolve(hardware.Placement("one_device", "auto", "auto", 2))
    assert resolved.summary() == {
        "devices": ["/cpu:0"], "replicas": 1, "precision": "float32", "xla": False,
        "xla_update": True, "reduce_precision": "float32",
        "collective": "none", "workers": 1,
    }  # fmt: skip
    assert not hardware.resolve(hardware.Placement("one_device", "auto", "off", 2)).xla_update
    assert resolved.is_chief
    asked = hardware.resolve(hardware.Placement("one_device", "mixed_bfloat16", "on", 2))
    assert (asked.precision, asked.xla) == ("mixed_bfloat16", True)


@pytest.fixture
def a_gpu(monkeypatch):
    """What `resolve` sees on a machine with one GPU of compute capability 9.0."""
    gpu = tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [gpu])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, grows: None)
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": (9, 0)}
    )


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_the_trainings_of_a_process_share_a_strategy(strategy):
    # The collectives of two would have the same keys.
    asked = hardware.Placement(strategy, "auto", "auto", 2)
    assert hardware.resolve(asked).strategy is hardware.resolve(asked).strategy


def test_a_gpu_gets_bfloat16_and_xla(a_gpu):
    resolved = hardware.resolve(hardware.Placement("one_device", "auto", "auto", 0))
    assert (resolved.devices, resolved.precision, resolved.xla) == (
        ("/gpu:0",),
        "mixed_bfloat16",
        True,
    )
    assert resolved.has_gpus


def test_deterministic_training_on_a_gpu_goes_without_xla(a_gpu):
    assert not hardware.resolve(
        hardware.Placement("one_device", "auto", "auto", 0), deterministic=True
    ).xla
    with pytest.raises(UserError, match="--xla=on: XLA has no deterministic gradient of MaxPool"):
        hardware.resolve(hardware.Placement("one_device", "auto", "on", 0), deterministic=True)


def test_deterministic_training_on_a_cpu_may_be_compiled():
    assert hardware.resolve(
        hardware.Placement("one_device", "auto", "on", 2), deterministic=True
    ).xla

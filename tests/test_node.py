import contextlib
import json
from types import SimpleNamespace

import pytest

from benchmarks import node
from tests.support.last_line import last_line


@pytest.mark.parametrize(
    ("devices", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_devices_are_doubled_up_to_all(devices, counts):
    assert node.device_counts(devices) == counts


def test_a_step_is_split_into_what_it_waits_for():
    shares = node.split_step(seconds=2.0, input_share=0.25, reduction_seconds=1.0)
    assert shares == {"input": 0.25, "reduction": 0.5, "compute": 0.25}
    assert node.split_step(1.0, 0.5, 3.0) == {"input": 0.5, "reduction": 0.5, "compute": 0.0}


CEILING = {
    "hardware": {"devices": ["/gpu:0"], "precision": "float32", "xla": True, "collective": "none"},
    "matrix_product_flops": 1e12, "memory_bytes_per_second": 1e9,
    "all_reduce_bytes_per_second": None,
}  # fmt: skip
POINT = {
    "images_per_second": 8.0, "input": 0.25, "flops_per_image": 1e9, "reduced_bytes": 1,
    "xla": True,
}  # fmt: skip


def measured_by_node(monkeypatch, capsys, answers, ends=None):
    """What node says on one GPU that answers so; an answer may be an error."""
    options = SimpleNamespace(
        serve=None, models=node._FAST_TO_COMPILE_FIRST, xla=["off", "auto"], minutes=5.0,
        virtual_devices=0, batch_size=4,
    )  # fmt: skip
    asked = []

    def measure(what, count, clock):
        asked.append(what)
        answer = next(answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(node, "flags", SimpleNamespace(FLAGS=options))
    monkeypatch.setattr(node, "_measure", measure)
    monkeypatch.setattr(node, "_gpus", lambda: ["0"])
    with pytest.raises(ends) if ends else contextlib.nullcontext():
        node._main()
    *told, last = capsys.readouterr().out.splitlines()
    return asked, told, json.loads(last)


def test_a_node_whose_minutes_are_over_says_what_was_not_measured(monkeypatch, capsys):
    answers = iter([CEILING, POINT, POINT, ValueError("no memory"), node.OutOfTime()])
    asked, told, found = measured_by_node(monkeypatch, capsys, answers)
    # What compiles fast, and does not compile, comes first.
    assert asked == [
        "ceilings", "lenet:full:off", "lenet:full:auto", "vgg19:frozen:off", "vgg19:full:off",
    ]  # fmt: skip
    assert [(row["model"], row["efficiency"]) for row in found["rows"]] == [("lenet", 1.0)] * 2
    assert "vgg19 frozen without XLA on 1: no memory" in told
    assert told[-1].startswith("The 5 minutes are over, and not measured are vgg19 frozen without")
    assert told[-1].endswith(
        "densenet169 full on 1; raise --minutes, or choose by --models and --xla."
    )
    assert found["missing"]["vgg19 frozen without XLA on 1"] == "no memory"
    assert len(found["missing"]) == 12


def test_a_node_that_is_interrupted_keeps_what_it_has(monkeypatch, capsys):
    answers = iter([CEILING, POINT, KeyboardInterrupt()])
    _, _, found = measured_by_node(monkeypatch, capsys, answers, ends=KeyboardInterrupt)
    assert [row["images_per_second"] for row in found["rows"]] == [8.0]


@pytest.mark.slow
def test_a_node_of_virtual_devices_is_measured():
    found = last_line(
        "benchmarks.node", "--virtual_devices=2", "--models=lenet", "--batch_size=2", "--steps=2",
        "--quick",
    )  # fmt: skip
    assert [row["devices"] for row in found["rows"]] == [1, 2]
    for row in found["rows"]:
        assert sum(row["shares"].values()) == pytest.approx(1)
        assert row["limit"] == max(row["shares"], key=row["shares"].get)
    assert found["rows"][0]["shares"]["reduction"] == 0
    assert found["rows"][0]["efficiency"] == 1
    assert found["ceilings"]["2"]["hardware"]["replicas"] == 2

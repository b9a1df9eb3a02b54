"""What a worker says of the others; real ones are lost in test_lost_workers."""

import socket
import threading

import pytest
import tensorflow as tf

from cxr_command.stop_signals import Terminated
from tests.conftest import one_device, run_command
from trainer import peers
from trainer.errors import Preempted, WorkerLost

WORKERS = {f"/job:worker/replica:0/task:{index}": f"host{index}:5" for index in range(3)}


@pytest.fixture(autouse=True)
def no_patience(monkeypatch):
    monkeypatch.setattr(peers.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(peers, "_GRACE", 0.0)
    monkeypatch.setattr(peers, "_SECONDS_BETWEEN_ROUNDS", 0.01)


def of_worker_one(monkeypatch, silent=()):
    """The peers of worker 1, some of whom do not answer."""
    made = peers.Peers(WORKERS, 1, timeout=0.05)
    monkeypatch.setattr(made, "_answers", lambda task: WORKERS[task] not in silent)
    # Only the tests of it need the watching thread.
    monkeypatch.setattr(made, "_watch", lambda: None)
    return made


def test_a_broken_reduction_names_the_worker_that_does_not_answer(monkeypatch):
    made = of_worker_one(monkeypatch, silent=["host2:5"])
    with pytest.raises(WorkerLost, match=r"^lost worker 2 \(host2:5\): ") as error:
        with made.watched(one_device()):
            raise tf.errors.UnavailableError(None, None, "connection reset")
    assert error.value.exit_code == 76


def test_a_worker_that_left_because_of_another_is_not_named(monkeypatch):
    made = of_worker_one(monkeypatch, silent=["host0:5", "host2:5"])
    with pytest.raises(WorkerLost, match=r"^lost worker 2 \(host2:5\): "):
        with made.watched(one_device()):
            made._answered["/job:worker/replica:0/task:0"] += peers._LINGER
            raise tf.errors.UnavailableError(None, None, "connection reset")


def end():
    raise Terminated("by SIGTERM")


@pytest.mark.parametrize("while_looking", [True, False])
def test_a_launcher_that_then_ends_all_does_not_hide_the_loss(monkeypatch, while_looking):
    made = of_worker_one(monkeypatch)
    monkeypatch.setattr(made, "_find_lost", end)
    with pytest.raises(WorkerLost, match="^lost another worker, .* ended by SIGTERM"):
        with made.watched(one_device()):
            try:
                raise tf.errors.UnavailableError(None, None, "connection reset")
            finally:
                if not while_looking:
                    end()


def test_a_signal_alone_is_no_loss(monkeypatch):
    made = of_worker_one(monkeypatch)
    with pytest.raises(Terminated), made.watched(one_device()):
        try:
            raise KeyError("handled")
        except KeyError:
            end()


def test_an_error_that_is_no_loss_stays_what_it_is(monkeypatch):
    made = of_worker_one(monkeypatch)
    for error in (tf.errors.InternalError(None, None, "cuDNN"), ValueError("other")):
        with pytest.raises(type(error)), made.watched(one_device()):
            raise error


@pytest.mark.parametrize("stop", [None, Preempted("asked")])
def test_a_worker_that_is_done_waits_for_the_others(monkeypatch, stop):
    waited = []
    monkeypatch.setattr(peers, "_wait_for_all", waited.append)
    made, strategy = of_worker_one(monkeypatch), one_device()
    try:
        with made.watched(strategy):
            if stop:
                raise stop
    except Preempted:
        pass
    assert waited == [strategy]


def test_a_process_that_hangs_is_ended_once_a_worker_is_silent(monkeypatch, capsys):
    made, ended = of_worker_one(monkeypatch, silent=["host0:5"]), threading.Event()
    monkeypatch.setattr(made, "_watch", type(made)._watch.__get__(made))
    codes = []

    def end(code):
        codes.append(code)
        ended.set()

    monkeypatch.setattr(peers.os, "_exit", end)
    with made.watched(one_device()):
        assert ended.wait(30)
    assert codes == [76]
    assert "error: lost worker 0 (host0:5): " in capsys.readouterr().err


def test_workers_that_do_not_join_are_named():
    with socket.socket() as present, socket.socket() as absent:
        present.bind(("127.0.0.1", 0))
        present.listen()
        absent.bind(("127.0.0.1", 0))
        names = [f"127.0.0.1:{one.getsockname()[1]}" for one in (present, absent)]
        made = peers.Peers(dict(zip(WORKERS, [*names, "own:1"], strict=True)), 2, timeout=1)
        made._configure_heartbeats = lambda: None
        with pytest.raises(
            WorkerLost, match=f"^worker 1 \\({names[1]}\\) did not join \\(too late"
        ):
            with made.joining():
                raise tf.errors.DeadlineExceededError(None, None, "too late")


@pytest.mark.parametrize("workers", [WORKERS, dict(list(WORKERS.items())[:1])])
def test_a_port_that_is_taken_is_named_and_the_job_can_be_tried_again(workers):
    made = peers.Peers(workers, 0, timeout=1)
    made._configure_heartbeats = lambda: None
    with pytest.raises(WorkerLost, match=r"^worker 0 \(host0:5\) cannot listen at its port") as e:
        with made.joining():
            raise tf.errors.UnknownError(None, None, "Could not start gRPC server")
    assert e.value.exit_code == 76
    with pytest.raises(tf.errors.UnknownError, match="other"), made.joining():
        raise tf.errors.UnknownError(None, None, "other")


TAKEN = """
import json, os, socket
with socket.socket() as taken:
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    addresses = [f"127.0.0.1:{taken.getsockname()[1]}", "127.0.0.1:1"]
    task = {"type": "worker", "index": 0}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    from trainer import hardware
    from trainer.errors import WorkerLost
    try:
        hardware.resolve(hardware.Placement("multi_worker", "auto", "auto", 0))
    except WorkerLost as loss:
        print(addresses[0], loss, flush=True)
        os._exit(loss.exit_code)
"""


def test_tensorflow_says_so_of_a_real_port():
    address, _, said = run_command("-c", TAKEN, code=76).partition(" ")
    assert said.startswith(f"worker 0 ({address}) cannot listen at its port")


def test_a_process_that_is_alone_watches_nobody():
    alone = peers.Peers({}, 0, timeout=1)
    with alone.joining(), alone.watched(one_device()):
        pass
    with pytest.raises(tf.errors.UnavailableError), alone.watched(one_device()):
        raise tf.errors.UnavailableError(None, None, "a data host")

"""Batches from data hosts are those of loading on the spot."""

import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from launch import data_service
from launch.local import free_ports
from tests.conftest import ROOT, one_device, run_command
from tests.support.trainings import assert_same_run
from trainer.data.data_service import parse_addresses
from trainer.data.example_stream import read_examples
from trainer.data.input import distribute_batches
from trainer.errors import UserError, WorkerLost

BATCH = 8


@pytest.fixture(scope="module")
def addresses():
    """Two data hosts, in this process."""
    service = tf.data.experimental.service
    dispatchers = [service.DispatchServer() for _ in range(2)]
    names = tuple(dispatcher.target.removeprefix("grpc://") for dispatcher in dispatchers)
    workers = [service.WorkerServer(service.WorkerConfig(dispatcher_address=n)) for n in names]
    yield names
    del workers, dispatchers


def take(examples, addresses, steps, **options):
    batches = iter(
        distribute_batches(
            examples, one_device(), BATCH, augment_seed=3, data_hosts=addresses, **options
        )
    )
    return [{key: value.numpy() for key, value in next(batches).items()} for _ in range(steps)]


@pytest.mark.parametrize("start", [(0, 0), (1, 3)])
def test_batches_and_their_order_are_the_same(dataset, addresses, start):
    examples = read_examples(dataset, "train", cache="off", shuffle_seed=5)
    # Over the end of an epoch, whose last batch is filled; also from the middle of one on.
    steps = 2 * examples.steps_per_epoch(BATCH)
    options = {"start": start}
    here, there = (take(examples, hosts, steps, **options) for hosts in ((), addresses))
    for ours, theirs in zip(here, there, strict=True):
        assert ours.keys() == theirs.keys()
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key])


@pytest.mark.parametrize("text", ["host", "host:", ":5", "a:1,,b:2", "grpc://a:b"])
def test_what_is_no_list_of_addresses_is_refused(text):
    with pytest.raises(UserError, match="expected HOST:PORT of each data host"):
        parse_addresses(text)
    assert parse_addresses("a:1,b.c:22") == ("a:1", "b.c:22")
    assert parse_addresses(None) == ()


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_a_port_that_is_in_use_is_named_and_worth_another_try(host):
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(WorkerLost, match=f"^--port={port} .*another process") as refusal:
            data_service._require_port(port)
        assert refusal.value.exit_code == 76
    data_service._require_port(port)


def test_a_port_that_was_just_served_is_free():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as client:
        served, _ = listener.accept()
        served.close()  # First, so that the port's own end waits for stragglers.
        client.recv(1)
    listener.close()
    data_service._require_port(port)


@pytest.mark.slow
def test_a_data_host_says_its_address_and_ends_on_sigterm():
    (port,) = free_ports(1)
    host = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "launch.data_service", "--host=127.0.0.1", f"--port={port}"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    line = next(line for line in host.stderr if "--data_service=" in line)
    assert line.endswith(f"--data_service=127.0.0.1:{port}\n")
    host.send_signal(signal.SIGTERM)
    assert host.wait(timeout=60) == 0
    host.stderr.close()


@pytest.mark.slow
def test_two_workers_with_two_data_hosts_train_as_without(data_dir, tmp_path):
    train = [
        "--", sys.executable, "-m", "trainer.main", "--model=lenet", "--recipe=seed",
        "--strategy=multi_worker", "--deterministic", "--cache=off", "--epochs=2",
        f"--data_dir={data_dir}",
    ]  # fmt: skip
    for name, hosts in (("here", 0), ("there", 2)):
        run_command(
            "launch.local", "--num_workers=2", f"--data_service_workers={hosts}", *train,
            f"--workdir={tmp_path / name}",
        )  # fmt: skip
    assert_same_run(tmp_path / "there", tmp_path / "here")

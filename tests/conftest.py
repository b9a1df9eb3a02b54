import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import functools
import gc
import pathlib
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.support import devices
from tests.support.forked_commands import Forks, bare_machine

ROOT = pathlib.Path(__file__).parents[1]

# nohup ignores SIGHUP, and a shell's background jobs ignore Ctrl-C, in this process and in those
# that tests start: restore the defaults.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Two logical devices serve as replicas in all tests of this process.
devices.split()


def pytest_collection_finish():
    gc.freeze()  # What was imported stays.
    gc.set_threshold(10_000)  # Tracing makes many objects and little garbage.


def pytest_runtest_setup(item):
    devices.skip_without_gpu(item)


def pytest_sessionfinish():
    if bare_machine.cache_info().currsize:
        bare_machine().end()


@pytest.fixture(scope="session")
def forks() -> Forks:
    return bare_machine()


@pytest.fixture(scope="session")
def phantom_database(tmp_path_factory) -> pathlib.Path:
    """A manual directory with 12 phantom radiographs of each class."""
    from cxr_tfds import phantom

    directory = tmp_path_factory.mktemp("kaggle")
    phantom.write_database(directory, images_per_class=12, seed=0)
    return directory


@pytest.fixture(scope="session")
def data_dir(phantom_database, tmp_path_factory) -> pathlib.Path:
    """A data directory with the phantoms built as covid19_radiography/224x224."""
    import tensorflow_datasets as tfds

    import cxr_tfds  # noqa: F401 - registers the builder

    directory = tmp_path_factory.mktemp("data")
    builder = tfds.builder("covid19_radiography/224x224", data_dir=directory)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=str(phantom_database))
    )
    return directory


@pytest.fixture(scope="session")
def dataset(data_dir):
    """The built phantoms, opened."""
    from trainer.data.opening import open_dataset
    from trainer.data.source import DEFAULT_DATASET

    return open_dataset(DEFAULT_DATASET, str(data_dir))


@pytest.fixture(scope="session")
def small_phantoms(tmp_path_factory) -> pathlib.Path:
    """A data directory with small phantoms built as `small_phantoms`."""
    from tests.support.small_phantoms import SmallPhantoms

    directory = tmp_path_factory.mktemp("small")
    SmallPhantoms(data_dir=directory).download_and_prepare()
    return directory


@pytest.fixture(scope="session")
def finished_run(data_dir, tmp_path_factory) -> pathlib.Path:
    """The directory of a small LeNet trained for two epochs under two virtual replicas."""
    workdir = tmp_path_factory.mktemp("runs") / "lenet"
    run_command(
        "trainer.main", "--model=lenet", "--recipe=seed", "--input_pooling=4",
        "--strategy=mirrored", "--virtual_devices=2",
        "--epochs=2", f"--data_dir={data_dir}", f"--workdir={workdir}",
    )  # fmt: skip
    return workdir


@pytest.fixture(scope="session")
def used_port():
    """A TCP port in use, in the form of a command-line argument."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield str(listener.getsockname()[1])


def run_command(module: str, *flags: str, code: int = 0) -> str:
    """Runs a command in its own process; returns its output."""
    ended = bare_machine().run(module, flags, ROOT)
    assert ended.code == code, f"exit code {ended.code}\n{ended.said}"
    return ended.said


def run_on(kind: str, module: str, *flags: str, code: int = 0) -> str:
    """Does the same on devices of a kind; not in a fork, which would share its parent's GPUs."""
    if kind == "cpu":
        return run_command(module, *flags, code=code)
    environment = os.environ | bare_machine().environment
    del environment["CUDA_VISIBLE_DEVICES"]
    ended = subprocess.run(  # noqa: S603
        [sys.executable, "-m", module, *flags],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    said = ended.stdout + ended.stderr
    assert ended.returncode == code, f"exit code {ended.returncode}\n{said}"
    return said


def two_replicas(kind: str = "cpu") -> tf.distribute.Strategy:
    return _two_replicas(kind)


# One strategy per process: the collectives of a second one would use the same keys.
@functools.cache
def _two_replicas(kind: str) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy([f"/{kind}:0", f"/{kind}:1"])


def one_device(kind: str = "cpu") -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy(f"/{kind}:0")


def global_batch(strategy, batch):
    """Returns the rows of all replicas as NumPy arrays."""
    return {
        key: np.concatenate([np.asarray(v) for v in strategy.experimental_local_results(value)])
        for key, value in batch.items()
    }


def relative_difference(ours, theirs) -> float:
    """Returns the norm of the difference of two lists of arrays, relative to the second's norm."""
    ours, theirs = (np.concatenate([np.ravel(a) for a in arrays]) for arrays in (ours, theirs))
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))

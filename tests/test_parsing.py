import pytest
import tensorflow as tf

from trainer.errors import Damaged, Unreadable, UserError
from trainer.parsing import parsing

FULL_GPU = "cudaSetDevice() on GPU:0 failed. Status: out of memory"


def read(error):
    with parsing("run/model.keras", "train the run again"):
        raise error


@pytest.mark.parametrize(
    "error", [MemoryError("9 GiB"), tf.errors.InternalError(None, None, FULL_GPU)]
)
def test_a_lack_of_memory_says_nothing_of_a_file(error):
    with pytest.raises(type(error)) as raised:
        read(error)
    assert raised.value is error


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.InternalError(None, None, "CUDA_ERROR_ECC_UNCORRECTABLE"),
        tf.errors.UnknownError(None, None, "state; Input/output error"),
        OSError(24, "Too many open files"),
    ],
)
def test_what_the_machine_could_not_do_is_no_damage(error):
    with pytest.raises(Unreadable, match="run/model.keras cannot be read .* may be whole"):
        read(error)


@pytest.mark.parametrize(
    "error",
    [KeyError("x"), ValueError("x"), tf.errors.DataLossError(None, None, "x"), OSError("x")],
)
def test_what_a_parser_cannot_read_is_damage(error):
    with pytest.raises(Damaged, match="run/model.keras is damaged .*; train the run again"):
        read(error)


def test_an_error_for_the_user_stays_what_it_is():
    with pytest.raises(UserError, match="as it is"):
        read(UserError("as it is"))

import pytest
import tensorflow as tf

from trainer.errors import UserError
from trainer.memory import memory_told

OF_A_GRAPH = (
    "Graph execution error:\n\nDetected at node lenet/conv1 defined at (most recent call last):\n"
    "OOM when allocating tensor with shape[64,32,222,222] by allocator GPU_0_bfc\n\t [[{{node}}]]\n"
)


@pytest.mark.parametrize(
    "error, said",
    [
        (MemoryError(), r"\(MemoryError\)"),
        (MemoryError("Unable to allocate 9 GiB"), r"\(Unable to allocate 9 GiB\)"),
        (
            tf.errors.ResourceExhaustedError(None, None, OF_A_GRAPH),
            r"\(OOM when allocating tensor with shape\[64,32,222,222\] by allocator GPU_0_bfc\)",
        ),
        (
            tf.errors.InternalError(None, None, "RESULT: Out of memory while trying to allocate 5"),
            r"\(RESULT: Out of memory while trying to allocate 5\)",
        ),
    ],
)
def test_a_lack_of_memory_is_a_sentence(error, said):
    with pytest.raises(UserError, match=rf"not enough memory to train vgg19 .*{said}; lower") as e:
        with memory_told("train vgg19", "lower --global_batch_size"):
            raise error
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    "error",
    [
        # TensorFlow's error for it is the same.
        tf.errors.ResourceExhaustedError(None, None, "events.out; No space left on device"),
        tf.errors.InternalError(None, None, "cuDNN"),
        ValueError("OOM"),
    ],
)
def test_another_error_stays_what_it_is(error):
    with pytest.raises(type(error)) as raised, memory_told("train vgg19"):
        raise error
    assert raised.value is error


def test_a_function_is_told_of_too():
    @memory_told("evaluate the runs")
    def main():
        raise MemoryError

    for _ in range(2):
        with pytest.raises(UserError, match="memory to evaluate the runs .*CUDA_VISIBLE_DEVICES"):
            main()

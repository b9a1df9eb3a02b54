"""ONNX models, from uint8 radiographs to probabilities."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import UserError

_OPSET = 17


def require_onnx() -> None:
    """Raises `UserError` unless the converter and the runtime for checking are installed."""
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format=onnx needs {error.name}; install it with pip install 'cxr-trainer[onnx]'"
        ) from error


def write_onnx(model: keras.Model, path: pathlib.Path) -> None:
    """Converts a model to ONNX in float32.

    Args:
        model: a model that takes `[batch, H, W, 1] uint8`.
        path: the file to write.
    """
    import tf2onnx

    signature = [tf.TensorSpec(model.input_shape, tf.uint8, name="radiograph")]
    forward = tf.function(lambda images: model(images, training=False), input_signature=signature)
    tf2onnx.convert.from_function(forward, signature, opset=_OPSET, output_path=str(path))


def predict_onnx(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Runs the written model on `[batch, H, W, 1] uint8`; returns `[batch, classes] float32`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]

"""LiteRT models, from uint8 radiographs to probabilities, for phones and small boards."""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from trainer.errors import UserError


def require_lite() -> None:
    """Raises `UserError` unless the runtime for checking the written file is installed."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format=tflite needs ai-edge-litert ({error}); install it with "
            "pip install 'cxr-trainer[litert]'"
        ) from error


def write_lite(model: keras.Model, path: pathlib.Path) -> None:
    """Converts a model to LiteRT in float32.

    Args:
        model: a model that takes `[batch, H, W, 1] uint8`.
        path: the file to write.
    """
    signature = tf.TensorSpec([1, *model.input_shape[1:]], tf.uint8, name="radiograph")
    forward = tf.function(lambda images: model(images, training=False), input_signature=[signature])
    # ai-edge-litert runs models but cannot convert them; litert-torch only converts PyTorch models.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([forward.get_concrete_function()])
    path.write_bytes(converter.convert())


def predict_lite(path: pathlib.Path, images: np.ndarray) -> np.ndarray:
    """Runs the written model on `[batch, H, W, 1] uint8`; returns `[batch, classes] float32`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=path.read_bytes())
    interpreter.allocate_tensors()
    taken, given = (interpreter.get_input_details()[0], interpreter.get_output_details()[0])
    probabilities = []
    for image in images:
        interpreter.set_tensor(taken["index"], image[None])
        interpreter.invoke()
        probabilities.append(interpreter.get_tensor(given["index"])[0])
    return np.stack(probabilities)

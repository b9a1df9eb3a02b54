"""Benchmarks of the project against the usual alternatives."""

import trainer  # noqa: F401 - switches oneDNN on before TensorFlow is imported, for all alike

# The same as `trainer.models.NAMES`, whose import would load TensorFlow in every parent process.
MODELS = ("lenet", "resnet101", "vgg19", "densenet169")

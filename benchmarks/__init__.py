"""Measures the project beside what a user would use instead."""

import trainer  # noqa: F401 - switches oneDNN on before TensorFlow is imported, for all alike

# As `trainer.models.NAMES`, which would bring TensorFlow into every parent process.
MODELS = ("lenet", "resnet101", "vgg19", "densenet169")

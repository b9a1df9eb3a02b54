"""Measures the project beside what a user would use instead."""

# As `trainer.models.NAMES`, which would bring TensorFlow into every parent process.
MODELS = ("lenet", "resnet101", "vgg19", "densenet169")

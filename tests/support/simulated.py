"""Predictions of a simulated model, for tests of computations on predictions."""

import numpy as np

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def simulate(counts=(60, 90, 120, 30), seed=0, skill=1.5):
    """Returns labels with the given class counts, and probabilities that favour them."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
    logits = generator.normal(size=(len(labels), len(counts)))
    logits[np.arange(len(labels)), labels] += skill
    shares = np.exp(logits)
    return labels, shares / shares.sum(axis=1, keepdims=True)


def one_hot(predicted, num_classes=4):
    return np.eye(num_classes)[np.asarray(predicted)]

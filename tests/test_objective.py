import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils import compute_class_weight

from trainer.training.objective import Objective, balanced_class_weights

LABELS = np.array([0, 1, 2, 3, 3])
LOGITS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def cross_entropy(targets):
    shifted = LOGITS - LOGITS.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -(targets * log_probabilities).sum(axis=1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing_spreads_its_share_over_all_classes(smoothing):
    objective = Objective(4, label_smoothing=smoothing)
    targets = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    losses = objective.train_losses(tf.constant(LABELS), LOGITS)
    np.testing.assert_allclose(losses, cross_entropy(targets), rtol=1e-6)
    plain = objective.eval_losses(LABELS, LOGITS)
    np.testing.assert_allclose(plain, cross_entropy(np.eye(4)[LABELS]), rtol=1e-6)


def test_class_weights_multiply_the_training_loss_alone():
    weights = np.array([0.5, 2.0, 1.0, 3.0])
    objective = Objective(4, class_weights=weights, label_smoothing=0.2)
    targets = np.eye(4)[LABELS] * 0.8 + 0.05
    losses = objective.train_losses(tf.constant(LABELS), LOGITS)
    np.testing.assert_allclose(losses, weights[LABELS] * cross_entropy(targets), rtol=1e-6)
    plain = objective.eval_losses(LABELS, LOGITS)
    np.testing.assert_allclose(plain, cross_entropy(np.eye(4)[LABELS]), rtol=1e-6)


def test_a_mixed_label_is_the_mixture_of_its_classes():
    weights = np.array([0.5, 2.0, 1.0, 3.0])
    shares = np.random.default_rng(1).dirichlet(np.ones(4), 5).astype(np.float32)
    plain = Objective(4).train_losses(tf.constant(shares), LOGITS)
    np.testing.assert_allclose(plain, cross_entropy(shares), rtol=1e-5)
    losses = Objective(4, class_weights=weights, label_smoothing=0.2).train_losses(
        tf.constant(shares), LOGITS
    )
    expected = (shares @ weights) * cross_entropy(0.8 * shares + 0.05)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_balanced_weights_are_those_of_scikit_learn():
    labels = np.repeat(range(4), [3, 10, 1, 6])
    theirs = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    np.testing.assert_allclose(balanced_class_weights(np.bincount(labels)), theirs)

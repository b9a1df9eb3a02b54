"""Checkpoints with a random state."""

import numpy as np
import tensorflow as tf

from trainer.training.progress import Progress


def make_state(seed):
    rng = np.random.default_rng(seed)
    vectors = {
        f"vector_{index}": tf.constant(rng.normal(size=1000).astype(np.float32))
        for index in range(9)
    }
    return vectors | {"iterations": tf.constant(seed, tf.int64)}


def save_epochs(checkpoints, losses, state=None):
    """Saves a checkpoint after each of the epochs; returns the progress after the last."""
    state, progress = state or make_state(seed=0), Progress()
    for loss in losses:
        progress.finish_epoch(loss)
        checkpoints.save(lambda: state, progress)
    checkpoints.wait()
    return progress

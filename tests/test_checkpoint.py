import math

import keras
import numpy as np

from trainer.training.checkpoint import Checkpoint, Progress


def test_progress_remembers_the_first_of_the_lowest_losses():
    progress = Progress()
    losses = [0.9, 0.7, 0.8, 0.7, math.inf]
    improved = [progress.finish_epoch(loss) for loss in losses]
    assert improved == [True, True, False, False, False]
    assert (progress.epochs, progress.best_epoch, progress.best_loss) == (5, 2, 0.7)
    assert progress.epochs_since_best == 3


def make_state(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_restoring_brings_back_model_optimizer_and_progress(tmp_path):
    model, optimizer = make_state(seed=0)
    optimizer.apply([np.ones((3, 2), "float32"), np.ones(2, "float32")])
    progress = Progress()
    progress.finish_epoch(0.5)
    Checkpoint(tmp_path, model=model, optimizer=optimizer, progress=progress, loss_scale=None).save(
        1
    )

    other_model, other_optimizer = make_state(seed=1)
    other_progress = Progress()
    restored = Checkpoint(
        tmp_path, model=other_model, optimizer=other_optimizer, progress=other_progress,
        loss_scale=None,
    ).restore()  # fmt: skip
    assert restored
    assert (other_progress.epochs, other_progress.best_loss) == (1, 0.5)
    for ours, theirs in ((other_model, model), (other_optimizer, optimizer)):
        for mine, saved in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(mine.numpy(), saved.numpy())


def test_nothing_to_restore_is_said(tmp_path):
    model, optimizer = make_state(seed=0)
    checkpoint = Checkpoint(
        tmp_path, model=model, optimizer=optimizer, progress=Progress(), loss_scale=None
    )
    assert not checkpoint.restore()

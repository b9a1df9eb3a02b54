import numpy as np

from trainer.training.progress import Progress


def test_the_first_of_the_lowest_losses_is_the_best():
    progress = Progress()
    losses = [0.9, 0.7, 0.8, 0.7, 0.71]
    assert [progress.finish_epoch(loss) for loss in losses] == [True, True, False, False, False]
    assert (progress.epochs, progress.best_epoch, progress.best_loss) == (5, 2, 0.7)
    assert progress.epochs_since_best == 3


def test_a_phase_begins_with_full_patience_and_keeps_the_best():
    progress = Progress()
    for loss in (0.5, 0.6):
        progress.finish_epoch(loss)
    progress.begin_phase(1)
    assert (progress.phase, progress.phase_epochs, progress.epochs_since_best) == (1, 0, 0)
    progress.finish_epoch(0.55)
    assert (progress.epochs, progress.phase_epochs, progress.best_epoch) == (3, 1, 1)
    assert progress.epochs_since_best == 1


def test_writing_and_reading_loses_nothing(tmp_path):
    progress = Progress()
    progress.finish_epoch(1 / 3)
    progress.finish_steps(7, np.array([2**53 + 1, 0, 5], np.int64))
    progress.write(tmp_path / "progress.json")
    assert Progress.read(tmp_path / "progress.json") == progress

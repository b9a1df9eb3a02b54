import keras
import numpy as np
import pytest

from tests.conftest import two_replicas
from tests.support.toy import BATCH, SIZE, examples_of
from trainer.data.input import distribute_batches
from trainer.data.keras_cv_augment import batch_augmenter
from trainer.errors import UserError

LABELS = np.arange(2 * BATCH) % 4


def first_batch(names, seed=0):
    """The first batch of images of one gray for each class, and what was made of it."""
    images = np.full((2 * BATCH, SIZE, SIZE, 1), 60, np.uint8) * LABELS[:, None, None, None]
    examples = examples_of(images.astype(np.uint8), LABELS)
    keras.utils.set_random_seed(seed)
    batches = distribute_batches(
        examples, two_replicas(), 2 * BATCH, change_batch=batch_augmenter(names, 4, seed)
    )
    batch = next(iter(batches))
    return {name: batch[name].values[0].numpy() for name in ("image", "label", "soft_label")}


def test_mixup_mixes_labels_as_it_mixes_images():
    batch = first_batch("mixup")
    assert batch["image"].dtype == np.uint8
    np.testing.assert_allclose(batch["soft_label"].sum(axis=1), 1, atol=1e-6)
    grays = 60 * batch["soft_label"] @ np.arange(4)
    np.testing.assert_allclose(batch["image"].mean(axis=(1, 2, 3)), grays, atol=1)
    assert (batch["soft_label"].max(axis=1) < 1).any()


def test_cutmix_mixes_labels_by_area():
    batch = first_batch("cutmix")
    grays = 60 * batch["soft_label"] @ np.arange(4)
    assert set(np.unique(batch["image"])) <= {0, 60, 120, 180}
    np.testing.assert_allclose(batch["image"].mean(axis=(1, 2, 3)), grays, atol=2)
    assert any(np.unique(image).size > 1 for image in batch["image"])


@pytest.mark.slow  # RandAugment takes ten seconds to trace.
def test_layers_that_do_not_mix_leave_the_labels():
    batch = first_batch("randaugment,cutout")
    np.testing.assert_array_equal(batch["soft_label"], np.eye(4)[batch["label"]])
    assert any(np.unique(image).size > 1 for image in batch["image"])


def test_the_seed_decides():
    first, again, other = (first_batch("mixup", seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first["image"], again["image"])
    np.testing.assert_array_equal(first["soft_label"], again["soft_label"])
    assert (first["soft_label"] != other["soft_label"]).any()


def test_an_unknown_layer_is_named_and_none_is_none():
    assert batch_augmenter("", 4, 0) is None
    with pytest.raises(UserError, match="no 'blur'.*mixup, cutmix, randaugment, cutout"):
        batch_augmenter("cutout,blur", 4, 0)

import keras
import pytest

from trainer import models
from trainer.errors import UserError
from trainer.models.feature_maps import most_images, require_indexable


def test_the_largest_feature_map_decides_how_many_images_are_indexed():
    inputs = keras.Input((16, 16, 1))
    wide = keras.layers.Conv2D(8, 3, padding="same")(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(wide))
    assert most_images(model) == (2**31 - 1) // (16 * 16 * 8)


def test_a_batch_beyond_32_bits_is_refused_with_what_to_lower():
    # VGG-19's first convolutions keep 224x224 pixels and have 64 filters: an H200 ended the process
    # on 2,240 images of them.
    model = models.build("vgg19", num_classes=4, image_shape=(224, 224, 1))
    most = (2**31 - 1) // (224 * 224 * 64)
    require_indexable(model, most)
    with pytest.raises(
        UserError, match=rf"--global_batch_size: .* 2240 images .* of {most}; lower it"
    ):
        require_indexable(model, 2240)

import numpy as np
from etils import epath

from cxr_tfds.covid19_radiography import spool


def test_pixels_come_back_in_any_order_and_leave_no_file(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 224, 224, 1), np.uint8)
    masks = rng.integers(0, 2, (5, 224, 224, 1), np.uint8)
    with spool.Spool(epath.Path(tmp_path)) as kept:
        for number in range(5):
            kept.add(f"COVID-{number}", images[number], masks[number])
        for number in (3, 0, 4, 3, 1, 2):
            image, mask = kept.read(f"COVID-{number}")
            np.testing.assert_array_equal(image, images[number])
            np.testing.assert_array_equal(mask, masks[number])
        assert list(tmp_path.iterdir()) == []

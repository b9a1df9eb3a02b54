"""Radiographs as TFDS datasets, published ones and your own; importing registers them."""

import cxr_command  # noqa: F401 - prepares standard streams and TensorFlow's import

# TFDS imports TensorFlow lazily, so this registers the builders without TensorFlow being loaded.
from cxr_tfds.covid19_radiography import covid19_radiography_dataset_builder  # noqa: F401
from cxr_tfds.own_radiographs import own_radiographs_dataset_builder  # noqa: F401

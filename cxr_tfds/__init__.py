"""The COVID-19 Radiography Database as a TFDS dataset: importing this package registers it."""

import cxr_command  # noqa: F401 - prepares standard streams and TensorFlow's import

# TFDS imports TensorFlow lazily, so this registers the builder without TensorFlow being loaded.
from cxr_tfds.covid19_radiography import covid19_radiography_dataset_builder  # noqa: F401

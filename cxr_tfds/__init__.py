"""The COVID-19 Radiography Database as a TFDS dataset: importing this package registers it."""

from cxr_command import quiet_import

quiet_import.install()

# TFDS imports TensorFlow lazily, so this registers the builder without TensorFlow being loaded.
from cxr_tfds.covid19_radiography import covid19_radiography_dataset_builder  # noqa: E402, F401

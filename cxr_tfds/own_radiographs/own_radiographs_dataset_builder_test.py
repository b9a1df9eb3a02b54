"""TFDS's own checks of the builder, on the phantoms of the database's `dummy_data`."""

import pathlib

from tensorflow_datasets import testing

from cxr_tfds.covid19_radiography import source
from cxr_tfds.own_radiographs import own_radiographs_dataset_builder


class OwnRadiographsTest(testing.DatasetBuilderTestCase):
    """Builds and reads both configurations of three phantoms a class, in class folders."""

    DATASET_CLASS = own_radiographs_dataset_builder.Builder
    EXAMPLE_DIR = pathlib.Path(source.__file__).parent / "dummy_data" / source.DATABASE
    SPLITS = {"train": 4, "validation": 4, "test": 4}


if __name__ == "__main__":
    testing.test_main()

"""TFDS's own checks of the builder, on the drawn phantoms of `dummy_data`."""

from tensorflow_datasets import testing

from cxr_tfds.covid19_radiography import covid19_radiography_dataset_builder


class Covid19RadiographyTest(testing.DatasetBuilderTestCase):
    """Builds and reads both configurations of three phantoms a class."""

    DATASET_CLASS = covid19_radiography_dataset_builder.Builder
    SPLITS = {"train": 9, "validation": 1, "test": 2}


if __name__ == "__main__":
    testing.test_main()

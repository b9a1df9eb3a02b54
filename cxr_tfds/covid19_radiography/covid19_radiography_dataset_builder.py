"""The COVID-19 Radiography Database."""

import tensorflow_datasets.public_api as tfds
from etils import epath

# Relative, because `tfds build` imports this folder as a top-level package.
from . import archive, published, radiograph_builder, source, survey


class Builder(radiograph_builder.RadiographBuilder):
    """The COVID-19 Radiography Database."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Initial release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = source.DOWNLOAD_INSTRUCTIONS
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="full", description="The published PNG files, byte for byte."),
        tfds.core.BuilderConfig(
            name="224x224",
            description="Grayscale, resized to 224x224 and stored decoded, for training.",
        ),
    ]
    CLASSES = source.CLASSES
    SOURCES = source.SOURCES
    HOMEPAGE = "https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database"
    TOLD = published.ANSWERS
    LICENSE = (
        "The radiographs come from several collections, each with its own terms (see the "
        "description). For research use only."
    )

    def _find(self, manual_dir: epath.Path, extract_dir: epath.Path) -> survey.Collection:
        database = archive.open_database(manual_dir, extract_dir)
        return survey.Collection(database, *source.find_radiographs(database))

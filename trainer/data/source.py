"""The source of the training examples."""

import dataclasses

from trainer.settings import section, setting

DEFAULT_DATASET = "covid19_radiography/224x224"


@section("Data")
@dataclasses.dataclass(frozen=True)
class Source:
    """A built dataset, and the caches for its examples.

    Attributes:
        dataset: TFDS name of the dataset.
        data_dir: directory that holds it; None: the default of `tfds build`.
        train_split: split to train on.
        validation_split: split to validate on after every epoch.
        fold: `K/N`: fold K of N is held out, and both splits are made of the other folds; empty:
            none.
        source_share: `CLASS:SOURCE=SHARE`, as of `source_mix`; empty: all examples.
        cache: whether images stored encoded are decoded once to the local disk.
        feature_cache: whether a frozen backbone runs once and its features are cached.
        data_service: `HOST:PORT[,HOST:PORT...]` of the hosts that load the batches; None: load
            locally.
    """

    dataset: str = setting(DEFAULT_DATASET, "TFDS name of the dataset, name/config[:version].")
    data_dir: str | None = setting(
        None, "Where the dataset was built; default: TFDS_DATA_DIR, ~/tensorflow_datasets."
    )
    train_split: str = setting(
        "train", "Training split in TFDS notation: train, 'train[:80%]'; groups stay together."
    )
    validation_split: str = setting("validation", "Validation split, in the same notation.")
    fold: str = setting(
        "",
        "K/N: hold fold K of N out, validate on the next, train on the others.",
    )
    source_share: str = setting(
        "",
        "CLASS:SOURCE=SHARE, as Normal:kermany=0.5: draw the class's examples for training and "
        "validation anew, so that this share of them is from the source.",
    )
    cache: str = setting(
        "auto",
        "Decode encoded images once, to the local disk.",
        choices=("auto", "disk", "off"),
        retired={
            "memory": "the files are mapped and the system's page cache holds them in memory, for "
            "all processes: leave --cache out"
        },
    )
    feature_cache: str = setting(
        "auto", "Run a frozen backbone once and cache its features.", choices=("auto", "on", "off")
    )
    data_service: str | None = setting(
        None, "HOST:PORT[,HOST:PORT...] of launch.data_service: they load the batches.",
        is_fixed=False,
    )  # fmt: skip

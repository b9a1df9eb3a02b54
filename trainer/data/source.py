"""Where the examples of a training come from."""

import dataclasses

from trainer.settings import section, setting

DEFAULT_DATASET = "covid19_radiography/224x224"


@section("Data")
@dataclasses.dataclass(frozen=True)
class Source:
    """A built dataset, and where what is read of it is kept.

    Attributes:
        dataset: TFDS name of the dataset.
        data_dir: directory that holds it; None: where `tfds build` puts datasets.
        cache: where the decoded images are held between epochs.
        feature_cache: whether a frozen backbone runs once and its features are kept.
        data_service: `HOST:PORT[,HOST:PORT...]` of the hosts that load the batches; None: they are
            loaded here.
    """

    dataset: str = setting(DEFAULT_DATASET, "TFDS name of the dataset, name/config[:version].")
    data_dir: str | None = setting(
        None, "Where the dataset was built; default: TFDS_DATA_DIR, ~/tensorflow_datasets."
    )
    cache: str = setting(
        "auto",
        "Where decoded images are held between epochs.",
        choices=("auto", "memory", "disk", "off"),
    )
    feature_cache: str = setting(
        "auto", "Run a frozen backbone once and keep its features.", choices=("auto", "on", "off")
    )
    data_service: str | None = setting(
        None, "HOST:PORT[,HOST:PORT...] of launch.data_service: they load the batches.",
        is_fixed=False,
    )  # fmt: skip

"""The patient population of published datasets, which their files do not state."""

_OF_DATASET = {
    "covid19_radiography": (
        "COVID-19 Radiography Database (Chowdhury et al., 2020; Rahman et al., 2021): public "
        "collections of several countries. Viral Pneumonia is children of Guangzhou (Kermany et "
        "al., 2018), as is a part of Normal; no other age, no sex and no patient is told."
    )
}


def population(dataset: str) -> str | None:
    """Describes the patient population of a dataset.

    Args:
        dataset: name of the dataset, `name/config:version`.

    Returns:
        One or two sentences; None if unknown.
    """
    return _OF_DATASET.get(dataset.split("/")[0].split(":")[0])

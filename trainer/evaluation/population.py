"""Whose radiographs a published dataset holds, where none of its files says so."""

_OF_DATASET = {
    "covid19_radiography": (
        "COVID-19 Radiography Database (Chowdhury et al., 2020; Rahman et al., 2021): public "
        "collections of several countries. Viral Pneumonia is children of Guangzhou (Kermany et "
        "al., 2018), as is a part of Normal; no other age, no sex and no patient is told."
    )
}


def population(dataset: str) -> str | None:
    """Whose radiographs a dataset holds.

    Args:
        dataset: its name, `name/config:version`.

    Returns:
        A sentence or two; None where it is not known.
    """
    return _OF_DATASET.get(dataset.split("/")[0].split(":")[0])

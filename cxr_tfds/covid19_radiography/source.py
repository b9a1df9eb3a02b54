"""The published database on disk: its folders, lung masks and metadata workbooks."""

import dataclasses

from etils import epath

DATABASE = "COVID-19_Radiography_Dataset"
CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")

# What the URL column of a workbook holds when a radiograph comes from a source.
_URL_PARTS = {
    "bimcv": "bimcv",
    "covid_cxnet": "covid-cxnet",
    "eurorad": "eurorad",
    "hannover": "ml-workgroup",
    "ieee8023": "ieee8023",
    "kermany": "paultimothymooney",
    "rsna": "rsna-pneumonia",
    "sirm": "sirm.org",
}
SOURCES = (*_URL_PARTS, "unknown")

DOWNLOAD_INSTRUCTIONS = f"""\
Download the "COVID-19 Radiography Database" from Kaggle
(https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database, an account is needed)
and extract it, so that the manual directory (`--manual_dir`) holds:

    {DATABASE}/
        COVID.metadata.xlsx
        COVID/images/COVID-1.png ...
        COVID/masks/COVID-1.png ...
        Lung_Opacity.metadata.xlsx
        Lung_Opacity/images/Lung_Opacity-1.png ...
        Lung_Opacity/masks/Lung_Opacity-1.png ...
        Normal.metadata.xlsx
        Normal/images/Normal-1.png ...
        Normal/masks/Normal-1.png ...
        Viral Pneumonia.metadata.xlsx
        Viral Pneumonia/images/Viral Pneumonia-1.png ...
        Viral Pneumonia/masks/Viral Pneumonia-1.png ...

A part of the images will do, and masks may be missing. All four workbooks are needed.
"""


@dataclasses.dataclass(frozen=True)
class Radiograph:
    """One radiograph of the database.

    Attributes:
      id: The name of its file without extension, such as "COVID-137".
      label: Its class, one of `CLASSES`.
      source: The collection it was taken from, one of `SOURCES`.
      image: The PNG file.
      mask: The PNG file of its lung mask, or None.
    """

    id: str
    label: str
    source: str
    image: epath.Path
    mask: epath.Path | None


def find_radiographs(manual_dir: epath.Path) -> list[Radiograph]:
    """Lists the radiographs of a copy of the database, or of a part of it.

    Args:
      manual_dir: The folder that holds `COVID-19_Radiography_Dataset`.

    Returns:
      The radiographs, by class and then by id.

    Raises:
      FileNotFoundError: A folder or workbook is missing, or a class has no image.
      ValueError: A workbook lacks a column.
    """
    database = manual_dir / DATABASE
    if not database.is_dir():
        raise FileNotFoundError(
            f"There is no folder {DATABASE} in {manual_dir}.\n{DOWNLOAD_INSTRUCTIONS}"
        )
    return [radiograph for label in CLASSES for radiograph in _find_class(database, label)]


def read_sources(workbook: epath.Path) -> dict[str, str]:
    """Reads from a metadata workbook where each radiograph was taken from.

    Args:
      workbook: The xlsx file of a class.

    Returns:
      The source of each id. Ids are in lower case, as the workbook of Normal says `NORMAL-1` where
      the file is named `Normal-1.png`.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: The workbook lacks a column.
    """
    if not workbook.exists():
        raise FileNotFoundError(
            f"The metadata workbook {workbook} is missing. It names the source of each radiograph: "
            f"copy it from the Kaggle download, where it lies in {DATABASE}."
        )
    import openpyxl  # Slow to import, and only a build needs it.

    with workbook.open("rb") as file:
        rows = (
            openpyxl.load_workbook(file, read_only=True).worksheets[0].iter_rows(values_only=True)
        )
        header = next(rows, ())
        if not {"FILE NAME", "URL"} <= set(header):
            raise ValueError(
                f"{workbook} has the columns {list(header)}; expected FILE NAME and URL among them."
            )
        name, url = header.index("FILE NAME"), header.index("URL")
        return {str(row[name]).lower(): source_of_url(str(row[url])) for row in rows}


def source_of_url(url: str) -> str:
    """Names the source that a URL of a workbook points to.

    Args:
      url: The value of the URL column.

    Returns:
      One of `SOURCES`; "unknown" if the URL is none of the published ones.
    """
    found = (source for source, part in _URL_PARTS.items() if part in url.lower())
    return next(found, "unknown")


def _find_class(database: epath.Path, label: str) -> list[Radiograph]:
    folder = database / label / "images"
    images = _png_files(folder)
    if not images:
        raise FileNotFoundError(
            f"Found no PNG images of the class {label}: expected {folder}/{label}-1.png and so on."
        )
    masks = _png_files(database / label / "masks")
    sources = read_sources(database / f"{label}.metadata.xlsx")
    return [
        Radiograph(stem, label, sources.get(stem.lower(), "unknown"), image, masks.get(stem))
        for stem, image in sorted(images.items())
    ]


def _png_files(folder: epath.Path) -> dict[str, epath.Path]:
    if not folder.is_dir():
        return {}
    # macOS leaves hidden `._COVID-1.png` files, which are not images.
    return {path.stem: path for path in folder.glob("*.png") if not path.name.startswith(".")}

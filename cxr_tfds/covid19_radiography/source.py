"""The published database on disk: folders, lung masks and metadata workbooks."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator

from etils import epath

from cxr_command.radiograph import dicom, image_file

from . import paths, workbook
from .faults import Fault, Kind

DATABASE = "COVID-19_Radiography_Dataset"
CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
ARCHIVES = ("archive.zip", "covid19-radiography-database.zip")

# The subfolders of a class that are read; phantoms also have `findings`.
_READ = ("images", "masks")

# Parts of the URL in a workbook that identify each source.
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
and put the file, {ARCHIVES[0]} or {ARCHIVES[1]}, into the manual directory
(`--manual_dir`), or extract it there, so that the manual directory holds:

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
    """One radiograph of the database or of a user's own collection.

    Attributes:
      id: The name of its file without extension, such as "COVID-137".
      label: Its class, one of `CLASSES`.
      source: The collection it was taken from, one of `SOURCES`.
      image: The PNG file.
      mask: The PNG file of its lung mask, or None.
      depth: For a 16-bit file, the number of bits in use in the database; None: those in use in the
        file.
      is_published: Whether it belongs to the database, whose PNG files are stored unchanged. Other
        radiographs may have any readable format, and their gray pixels are stored.
      links: Keys shared with radiographs that must be in the same split, such as "patient 12".
    """

    id: str
    label: str
    source: str
    image: epath.Path
    mask: epath.Path | None
    depth: int | None = None
    is_published: bool = True
    links: tuple[str, ...] = ()


def find_radiographs(database: epath.Path) -> tuple[list[Radiograph], list[Fault]]:
    """Lists the radiographs of a full or partial copy of the database without opening images.

    Args:
      database: The folder `COVID-19_Radiography_Dataset`.

    Returns:
      The radiographs sorted by class and number, and the faults of folders, file names and
      workbooks.
    """
    radiographs, faults = [], _wrong_folders(database)
    for label in CLASSES:
        found, wrong = _find_class(database, label)
        radiographs += found
        faults += wrong
    if not radiographs:
        faults.append(Fault(DATABASE, Kind.NO_IMAGE, "expected COVID/images/COVID-1.png and so on"))
    return radiographs, faults


def read_sources(path: epath.Path, label: str) -> tuple[dict[str, str], list[Fault]]:
    """Reads the source of each radiograph from a metadata workbook.

    Args:
      path: The xlsx file of a class.
      label: The class.

    Returns:
      The source of each id, and the workbook's faults. Ids are in lower case, as the workbook of
      Normal uses `NORMAL-1` for the file `Normal-1.png`.
    """
    if leaves(path, path.parent):
        return {}, [Fault(path.name, Kind.LEAVES_FOLDER)]
    try:
        header, *rows = workbook.read_rows(path) or [()]
        name, url = header.index("FILE NAME"), header.index("URL")
    except FileNotFoundError:
        return {}, [Fault(path.name, Kind.NO_WORKBOOK)]
    except OSError as error:
        return {}, [Fault(path.name, Kind.UNREADABLE, error.strerror or str(error))]
    except workbook.WorkbookError as error:
        return {}, [Fault(path.name, Kind.WRONG_WORKBOOK, str(error))]
    except ValueError:
        return {}, [Fault(path.name, Kind.WRONG_WORKBOOK, f"found the columns {_filled(header)}")]
    sources, faults = {}, []
    for number, row in enumerate(rows, start=2):
        radiograph_id = str(row[name]).lower()
        if _is_id(radiograph_id, label.lower()) and radiograph_id not in sources:
            sources[radiograph_id] = source_of_url(str(row[url]))
        else:
            faults.append(Fault(path.name, Kind.WRONG_ID, f"row {number} says {row[name]}"))
    return sources, faults


def source_of_url(url: str) -> str:
    """Returns the source that a workbook's URL points to.

    Args:
      url: The value of the URL column.

    Returns:
      One of `SOURCES`; "unknown" if the URL is not one of the published ones.
    """
    found = (source for source, part in _URL_PARTS.items() if part in url.lower())
    return next(found, "unknown")


def number_of(radiograph_id: str) -> tuple[str, int]:
    """Splits an id into class and number, for natural sorting: COVID-9 before COVID-10.

    Args:
      radiograph_id: An id such as "COVID-137".

    Returns:
      The class and the number.
    """
    label, number = radiograph_id.rsplit("-", 1)
    return label, int(number)


def leaves(path: epath.Path, folder: epath.Path) -> bool:
    """Whether a path leads out of a folder through a link.

    Args:
      path: A path below the folder.
      folder: The folder, which may itself be reached by a link.

    Returns:
      Whether the target is outside the folder. Object stores have no links.
    """
    inside = os.path.realpath(folder)
    return os.path.commonpath([inside, os.path.realpath(path)]) != inside


def _is_id(text: str, label: str) -> bool:
    return re.fullmatch(re.escape(label) + r"-[1-9][0-9]{0,8}", text) is not None


def _filled(row: tuple) -> tuple:
    """Returns a row up to its last non-empty cell."""
    return row[: max((n for n, value in enumerate(row, start=1) if value is not None), default=0)]


def _find_class(database: epath.Path, label: str) -> tuple[list[Radiograph], list[Fault]]:
    images, faults = _png_files(database / label / "images", label)
    masks, wrong_masks = _png_files(database / label / "masks", label)
    sources, wrong_rows = read_sources(database / f"{label}.metadata.xlsx", label)
    radiographs = [
        Radiograph(stem, label, sources.get(stem.lower(), "unknown"), images[stem], masks.get(stem))
        for stem in sorted(images, key=number_of)
    ]
    faults += wrong_masks + wrong_rows + _incomplete(label, images, masks, sources)
    faults += _misplaced(database / label)
    return radiographs, faults


def _png_files(folder: epath.Path, label: str) -> tuple[dict[str, epath.Path], list[Fault]]:
    """Finds the PNG files of a class by id."""
    name = f"{label}/{folder.name}"
    if leaves(folder, folder.parents[1]):
        return {}, [Fault(name, Kind.LEAVES_FOLDER)]
    try:
        listed = [path for path in paths.listed(folder) if _is_image(path)]
    except OSError as error:
        return {}, [Fault(name, Kind.UNREADABLE, error.strerror or str(error))]
    found: dict[str, epath.Path] = {}
    faults = []
    for path in listed:
        if path.suffix.lower() != ".png":
            faults.append(Fault(f"{name}/{path.name}", Kind.NOT_NAMED_PNG))
        elif not _is_id(path.stem, label):
            faults.append(Fault(f"{name}/{path.name}", Kind.WRONG_NAME))
        elif path.stem in found:
            faults.append(Fault(f"{name}/{path.name}", Kind.TWICE))
        else:
            found[path.stem] = path
    return found, faults


def _is_image(path: epath.Path) -> bool:
    """Whether a name is an image's; the hidden `._COVID-1.png` files of macOS are not images."""
    suffixes = (*image_file.SUFFIXES, *dicom.SUFFIXES)
    return path.name.lower().endswith(suffixes) and not path.name.startswith(".")


def _incomplete(label: str, images: dict, masks: dict, sources: dict) -> list[Fault]:
    """Returns missing and superfluous files of a partial copy."""
    present = {stem.lower() for stem in images}
    faults = [
        Fault(f"{label}/masks/{stem}.png", Kind.MASK_ALONE) for stem in masks if stem not in images
    ]
    if sources:
        faults += [
            Fault(f"{label}/images/{stem}.png", Kind.NO_ROW)
            for stem in images
            if stem.lower() not in sources
        ]
    if missing := len(sources.keys() - present):
        found = f"{missing:,} of {len(sources):,}"
        faults.append(Fault(f"{label}/images", Kind.IMAGES_MISSING, found))
    if without := len(images.keys() - masks.keys()):
        found = f"{without:,} of {len(images):,}"
        faults.append(Fault(f"{label}/masks", Kind.MASKS_MISSING, found))
    return faults


def _misplaced(folder: epath.Path) -> Iterator[Fault]:
    """Yields a class' images beside `images` and `masks`, or nested deeper in them."""
    entries = _entries(folder)
    read = [path for path in entries if path.name in _READ]
    deeper = [path for place in read for path in _entries(place) if not _is_image(path)]
    for path in [path for path in entries if path.name not in (*_READ, "findings")] + deeper:
        images = [path] if _is_image(path) else list(filter(_is_image, _below(path, depth=2)))
        if images:
            found = "" if images == [path] else f"{len(images):,}, such as {images[0].name}"
            yield Fault(str(path.relative_to(folder.parent)), Kind.WRONG_PLACE, found)


def _entries(folder: epath.Path) -> list[epath.Path]:
    """Lists a folder; a failure is reported elsewhere."""
    with contextlib.suppress(OSError):
        return paths.listed(folder) if folder.is_dir() else []
    return []


def _wrong_folders(database: epath.Path) -> list[Fault]:
    faults = []
    for path in database.iterdir():
        if path.name in CLASSES or path.name.startswith((".", "__")):
            continue
        if _is_image(path):
            faults.append(Fault(path.name, Kind.WRONG_PLACE))
        elif any(map(_is_image, _below(path, depth=2))):
            expected = f"expected one of {', '.join(CLASSES)}"
            faults.append(Fault(path.name, Kind.WRONG_FOLDER, expected))
    return faults


def _below(folder: epath.Path, depth: int) -> Iterator[epath.Path]:
    """Yields the contents of a folder and its subfolders; unreadable ones are not class folders."""
    for path in _entries(folder) if depth else ():
        yield path
        yield from _below(path, depth - 1)

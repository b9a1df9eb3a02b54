"""Reads the first sheet of an untrusted xlsx workbook in bounded memory and time.

A workbook is a zip file of XML parts. A small file can unpack to gigabytes, declare entities that
expand a thousandfold, or claim a million columns; openpyxl only receives the parts that were found
to be harmless.
"""

import collections
import io
import warnings
import zipfile
from xml.parsers import expat

from etils import epath

from . import paths, refusal

# The largest published workbook unpacks to 2.3 MB: 10,193 rows of 4 columns, with 110,000 XML
# elements.
_MOST_BYTES = 16 << 20
_MOST_ELEMENTS = 500_000
_MOST_SHEETS = 20
_MOST_ROWS = 100_000
_MOST_COLUMNS = 50
_LONGEST_TEXT = 32_767  # Limit of a cell, as in Excel.


class WorkbookError(ValueError):
    """A file is not a readable workbook; the message gives the cause's own text."""


def read_rows(path: epath.Path) -> list[tuple]:
    """Reads the non-empty rows of the first sheet.

    Args:
      path: The xlsx file.

    Returns:
      The values of each row; columns beyond the fiftieth are ignored.

    Raises:
      OSError: The system cannot read the file.
      WorkbookError: It is not a workbook, or not safe to open.
    """
    content = _read(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # About styles that do not affect values.
            return _rows(_harmless(content))
    except (MemoryError, WorkbookError):
        raise
    except Exception as error:  # openpyxl, zipfile and zlib raise a dozen types.
        raise WorkbookError(refusal.first_line(error.__cause__ or error)) from error


def _read(path: epath.Path) -> bytes:
    if not paths.exists(path):  # Object stores have their own errors.
        raise FileNotFoundError(path)
    size = paths.size(path)
    if not 0 < size <= _MOST_BYTES:
        raise WorkbookError(f"it has {size:,} bytes, expected 1 to {_MOST_BYTES:,}")
    return path.read_bytes()


def _harmless(content: bytes) -> io.BytesIO:
    """Returns a copy of a workbook with only the XML parts, all of which were checked."""
    copied, elements = io.BytesIO(), collections.Counter()
    with zipfile.ZipFile(io.BytesIO(content)) as packed, zipfile.ZipFile(copied, "w") as copy:
        unpacked = sum(member.file_size for member in packed.infolist())
        if unpacked > _MOST_BYTES:
            raise WorkbookError(f"it unpacks to {unpacked:,} bytes, at most {_MOST_BYTES:,}")
        for member in packed.infolist():
            if member.filename.endswith((".xml", ".rels")):
                part = packed.read(member)
                _look_through(member.filename, part, elements)
                copy.writestr(member.filename, part)
    return copied


def _look_through(name: str, part: bytes, elements: collections.Counter) -> None:
    """Rejects a part that would expand when it is read, and counts its elements by name."""

    def refuse_declarations(*_: object) -> None:
        raise WorkbookError(f"{name} declares a document type, which no workbook needs")

    def count(element: str, _: object) -> None:
        elements[element.rpartition(":")[2]] += 1

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse_declarations
    parser.StartElementHandler = count
    try:
        parser.Parse(part, True)
    except expat.ExpatError as error:
        raise WorkbookError(f"{name} is not XML: {error}") from error
    if elements.total() > _MOST_ELEMENTS or elements["sheet"] > _MOST_SHEETS:
        raise WorkbookError(
            f"it has more than {_MOST_ELEMENTS:,} elements or {_MOST_SHEETS} sheets by {name}"
        )


def _rows(file: io.BytesIO) -> list[tuple]:
    import openpyxl  # Slow to import, and only needed by a build.

    book = openpyxl.load_workbook(file, read_only=True, keep_links=False)
    if not book.worksheets:
        raise WorkbookError("it has no sheet")
    # With a given maximum, openpyxl does not create as many columns as the sheet claims to have.
    limits = {"max_row": _MOST_ROWS + 1, "max_col": _MOST_COLUMNS}
    every = book.worksheets[0].iter_rows(**limits, values_only=True)
    rows = []
    for number, row in enumerate(every, start=1):
        if number > _MOST_ROWS:
            raise WorkbookError(f"its first sheet has more than {_MOST_ROWS:,} rows")
        _refuse_long_text(row, number)
        if any(row):
            rows.append(row)
    return rows


def _refuse_long_text(row: tuple, number: int) -> None:
    longest = max((len(value) for value in row if isinstance(value, str)), default=0)
    if longest > _LONGEST_TEXT:
        raise WorkbookError(f"row {number} has a cell of {longest:,} letters")

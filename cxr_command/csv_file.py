"""CSV files, the same of all commands: no text of others becomes a formula in a spreadsheet.

A text that a spreadsheet would compute (`=HYPERLINK(...)`) gets an apostrophe in front, by which
spreadsheets tell text. `decode` takes it away again, so that a file is read as it was given.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

# What a spreadsheet takes for the beginning of a formula, the wide forms of East Asian keyboards
# among it. Apostrophes in front of it are text: one more of them can be taken away.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def encode(rows: Iterable[Sequence[object]]) -> bytes:
    """Writes a table.

    Args:
        rows: the header and the rows; numbers stay numbers.

    Returns:
        The file: UTF-8, lines that end in a line feed.
    """
    lines = _Lines()
    csv.writer(lines).writerows([_guarded(cell) for cell in row] for row in rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines).encode(
        "utf-8", "backslashreplace"
    )


def decode(content: bytes) -> list[list[str]]:
    """Reads a table.

    Args:
        content: what `encode` gave, or any CSV file.

    Returns:
        Its rows, the header among them.

    Raises:
        ValueError: it is no table, or no UTF-8.
    """
    return list(rows_of(io.StringIO(content.decode("utf-8"), newline="")))


def rows_of(lines: Iterable[str], delimiter: str = ",") -> Iterator[list[str]]:
    """As `decode`, row by row.

    Args:
        lines: of a file that was opened with `newline=""`.
        delimiter: what stands between two cells.

    Yields:
        Each row.

    Raises:
        ValueError: it is no table.
    """
    try:
        for row in csv.reader(lines, strict=True, delimiter=delimiter):
            yield [_unguarded(cell) for cell in row]
    except csv.Error as error:
        raise ValueError(f"it is not a CSV file: {error}") from error


def spreadsheet_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    """As `rows_of`, of a table that a person saved.

    Where a comma is the decimal mark, spreadsheets write semicolons between the cells of a CSV
    file. So cells are separated by the first of comma, semicolon and tab that the header has.

    Args:
        lines: as those of `rows_of`.

    Yields:
        Each row.

    Raises:
        ValueError: it is no table.
    """
    lines = iter(lines)
    header = next(lines, "")
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    yield from rows_of(itertools.chain([header] if header else [], lines), delimiter)


class _Lines(list[str]):
    """The lines that a csv.writer gives, each with its end.

    Of its default end, a carriage return and a line feed, the writer quotes either in a cell; of a
    line feed alone it would leave a carriage return bare, which ends a line for a reader.
    """

    write = list.append


def _guarded(cell: object) -> object:
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell

"""CSV files that never contain formulas for spreadsheets.

Text that a spreadsheet would evaluate (`=HYPERLINK(...)`) is prefixed with an apostrophe, which
marks text in spreadsheets. `decode` removes it again, so the original text is restored.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

# Characters that start a formula in spreadsheets, including their full-width forms. Text that
# starts with apostrophes before one of them gets another, so that exactly one can be removed.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


def encode(rows: Iterable[Sequence[object]]) -> bytes:
    """Encodes a table.

    Args:
        rows: the header and the rows; numbers are written as numbers.

    Returns:
        The file content: UTF-8, lines terminated by a line feed.
    """
    lines = _Lines()
    csv.writer(lines).writerows([_guarded(cell) for cell in row] for row in rows)
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines).encode(
        "utf-8", "backslashreplace"
    )


def decode(content: bytes) -> list[list[str]]:
    """Decodes a table.

    Args:
        content: the result of `encode`, or any CSV file.

    Returns:
        The rows, including the header.

    Raises:
        ValueError: the content is not a table, or not UTF-8.
    """
    return list(rows_of(io.StringIO(content.decode("utf-8"), newline="")))


def rows_of(lines: Iterable[str], delimiter: str = ",") -> Iterator[list[str]]:
    """Like `decode`, row by row.

    Args:
        lines: lines of a file opened with `newline=""`.
        delimiter: separator of cells.

    Yields:
        Each row.

    Raises:
        ValueError: the lines are not a table.
    """
    try:
        for row in csv.reader(lines, strict=True, delimiter=delimiter):
            yield [_unguarded(cell) for cell in row]
    except csv.Error as error:
        raise ValueError(f"it is not a CSV file: {error}") from error


def spreadsheet_rows(lines: Iterable[str]) -> Iterator[list[str]]:
    """Like `rows_of`, for a table saved by a person.

    In locales with a decimal comma, spreadsheets separate the cells of a CSV file by semicolons.
    The separator is therefore the first of comma, semicolon and tab that occurs in the header.

    Args:
        lines: as for `rows_of`.

    Yields:
        Each row.

    Raises:
        ValueError: the lines are not a table.
    """
    lines = iter(lines)
    header = next(lines, "")
    delimiter = next((mark for mark in ",;\t" if mark in header), ",")
    yield from rows_of(itertools.chain([header] if header else [], lines), delimiter)


class _Lines(list[str]):
    """Collects the lines written by a csv.writer, each with its terminator.

    With its default terminator of carriage return and line feed, the writer quotes cells that
    contain either. With a line feed alone it would not quote a carriage return, which ends a line
    for a reader.
    """

    write = list.append


def _guarded(cell: object) -> object:
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell

import io
import os
import tracemalloc
import zipfile

import openpyxl
import pytest
from etils import epath

from cxr_tfds.covid19_radiography import workbook

SHEET = "xl/worksheets/sheet1.xml"
HEADER = ("FILE NAME", "FORMAT", "SIZE", "URL")
ROWS = [(f"COVID-{n}", "PNG", "256*256", f"https://a.b/{n}") for n in range(1, 6)]


def written(rows=ROWS, change=None):
    """The bytes of a workbook; `change` takes the parts by name and gives them back changed."""
    book, saved, changed = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    for row in (HEADER, *rows):
        book.active.append(row)
    book.save(saved)
    with zipfile.ZipFile(saved) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, part in (change(parts) if change else parts).items():
            file.writestr(name, part)
    return changed.getvalue()


def replace(name, old, new):
    def change(parts):
        assert old in parts[name]
        return parts | {name: parts[name].replace(old, new)}

    return change


def read(tmp_path, content):
    path = epath.Path(tmp_path) / "COVID.metadata.xlsx"
    path.write_bytes(content)
    return workbook.read_rows(path)


def cells(rows):
    """Without the empty cells that fill the rows up."""
    return [tuple(value for value in row if value is not None) for row in rows]


def test_the_rows_are_those_that_were_written_but_the_empty_ones(tmp_path):
    read_back = read(tmp_path, written([ROWS[0], (None,) * 4, *ROWS[1:]]))
    assert cells(read_back) == [HEADER, *ROWS]
    assert len({len(row) for row in read_back}) == 1


def test_a_sheet_may_claim_a_million_columns_and_rows(tmp_path):
    claim = replace(SHEET, b'ref="A1:D6"', b'ref="A1:XFD1048576"')
    tracemalloc.start()
    rows = read(tmp_path, written(change=claim))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cells(rows) == [HEADER, *ROWS]
    assert peak < 50_000_000


DOCTYPE = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


def declare(name, encoding="utf-8"):
    def change(parts):
        body = parts[name].decode().rpartition("?>")[2]
        text = f'<?xml version="1.0" encoding="{encoding}"?>{DOCTYPE}{body}'
        return parts | {name: text.encode(encoding)}

    return change


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", [SHEET, "xl/workbook.xml", "xl/styles.xml", "_rels/.rels"])
def test_entities_are_refused_in_every_part_and_encoding(tmp_path, name, encoding):
    with pytest.raises(workbook.WorkbookError, match=f"{name} declares a document type"):
        read(tmp_path, written(change=declare(name, encoding)))


def test_a_part_of_another_name_is_not_read_for_one_that_was_looked_through(tmp_path):
    def hide(parts):
        parts = declare(SHEET)(parts)
        parts["xl/worksheets/sheet1.bin"] = parts.pop(SHEET)
        for name in ("[Content_Types].xml", "xl/_rels/workbook.xml.rels"):
            parts[name] = parts[name].replace(b"sheet1.xml", b"sheet1.bin")
        return parts

    with pytest.raises(workbook.WorkbookError, match="no sheet"):
        read(tmp_path, written(change=hide))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (replace(SHEET, b"</sheetData>", b""), "sheet1.xml is not XML: mismatched tag: line 1"),
        (
            replace("xl/workbook.xml", b"<sheets>", b"<sheets"),
            "workbook.xml is not XML: not well-f",
        ),
        (replace("xl/styles.xml", b"<fonts", b"\xff<fonts"), "styles.xml is not XML"),
        (replace(SHEET, b'<row r="3"', b'<row r="9999999999"'), "more than 100,000 rows"),
        (replace(SHEET, b'r="A3"', b'r="ABCDE3"'), "ABCDE"),
        (replace(SHEET, b'<row r="3"', b'<row r="x"'), "could not convert string to float: 'x'"),
        (replace("[Content_Types].xml", b"sheet.main", b"sheet.other"), "no valid workbook part"),
        (lambda parts: parts | {SHEET: b" " * (17 << 20)}, "it unpacks to 17,8.* at most 16,777,2"),
        (lambda parts: parts | {"x.bin": b" " * (17 << 20)}, "it unpacks to 17,8"),
        (lambda parts: parts | {"x.xml": b"<a>" + b"<b/>" * 500_001 + b"</a>"}, "500,000 elem"),
        (lambda parts: parts | {"x.xml": b"<a>" + b"<q:sheet/>" * 21 + b"</a>"}, "or 20 sheets"),
        (
            lambda parts: {name: part for name, part in parts.items() if "workbook" not in name},
            "no item named 'xl/workbook.xml'",
        ),
        (lambda parts: {}, "no item named"),
    ],
)
def test_what_is_wrong_is_said_in_the_causes_words(tmp_path, change, words):
    with pytest.raises(workbook.WorkbookError, match=words):
        read(tmp_path, written(change=change))


def test_a_book_without_a_sheet_is_refused(tmp_path):
    def drop(parts):
        start, rest = parts["xl/workbook.xml"].split(b"<sheets>")
        return parts | {"xl/workbook.xml": start + b"<sheets/>" + rest.split(b"</sheets>")[1]}

    with pytest.raises(workbook.WorkbookError, match="no sheet"):
        read(tmp_path, written(change=drop))


def test_a_sheet_without_rows_has_none(tmp_path):
    def empty(parts):
        start, rest = parts[SHEET].split(b"<sheetData>")
        return parts | {SHEET: start + b"<sheetData/>" + rest.split(b"</sheetData>")[1]}

    assert read(tmp_path, written(change=empty)) == []


def test_a_text_that_every_row_repeats_is_bounded(tmp_path):
    with pytest.raises(workbook.WorkbookError, match="row 2 has a cell of 40,000 letters"):
        read(
            tmp_path,
            written(change=replace(SHEET, b"COVID-1<", b"x" * 40_000 + b"<")),
        )


@pytest.mark.parametrize("size", [0, 17 << 20])
def test_a_file_of_an_odd_size_is_not_opened(tmp_path, size):
    path = epath.Path(tmp_path) / "book.xlsx"
    path.touch()
    os.truncate(path, size)
    with pytest.raises(workbook.WorkbookError, match=f"it has {size:,} bytes, expected 1 to 16"):
        workbook.read_rows(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "book.xlsx")
    with pytest.raises(workbook.WorkbookError, match="it has 0 bytes"):
        workbook.read_rows(epath.Path(tmp_path) / "book.xlsx")


def test_the_system_may_refuse(tmp_path):
    with pytest.raises(FileNotFoundError):
        workbook.read_rows(epath.Path(tmp_path) / "book.xlsx")
    with pytest.raises(IsADirectoryError):
        workbook.read_rows(epath.Path(tmp_path))


@pytest.mark.parametrize("seed", range(4))
def test_a_workbook_of_changed_bytes_is_read_or_refused(tmp_path, seed):
    import random

    rng, whole = random.Random(seed), written()  # noqa: S311
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        try:
            read(tmp_path, bytes(content[: rng.choice([None, rng.randrange(len(content))])]))
        except workbook.WorkbookError as error:
            assert str(error) and "\n" not in str(error)

import csv
import io
import itertools

import pytest

from cxr_command import csv_file

# What OWASP lists as the beginnings of a formula, and the wide forms of East Asian keyboards.
BEGINNINGS = "=+-@\t\r\n＝＋－＠"


def cells(content):
    """What a reader of CSV that knows nothing of the project finds."""
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


@pytest.mark.parametrize("beginning", BEGINNINGS)
@pytest.mark.parametrize("rest", ["cmd|' /C calc'!A0", "1+1", ""])
def test_no_text_begins_as_a_formula(beginning, rest):
    ((cell, other),) = cells(csv_file.encode([[beginning + rest, "x"]]))
    assert (cell[0], other) == ("'", "x")
    assert cell[1:] == beginning + rest


def test_numbers_stay_numbers():
    numbers = [-1, -0.5, 2, 1e-300, -1e30, "-1", "+1.5", "-1e-5", True, ""]
    assert cells(csv_file.encode([numbers])) == [[str(number) for number in numbers]]


def test_what_only_begins_with_a_number_is_no_number():
    assert cells(csv_file.encode([["-1+cmd", "-1;=2"]])) == [["'-1+cmd", "'-1;=2"]]


def test_every_text_is_read_as_it_was_written():
    letters = "'=-1\t\r\n,\" a＠"
    texts = ["".join(t) for size in range(4) for t in itertools.product(letters, repeat=size)]
    rows = [[text, "x", text] for text in texts]
    assert csv_file.decode(csv_file.encode(rows)) == rows


def test_lines_end_in_a_line_feed_and_the_file_is_unicode():
    content = csv_file.encode([["id", "n"], ["é", 1], ["\udcff", 2]])
    assert content == "id,n\né,1\n\\udcff,2\n".encode()


def test_a_table_of_another_program_is_read():
    assert csv_file.decode(b'"a",b\r\n1,\'x\r\n') == [["a", "b"], ["1", "'x"]]
    assert csv_file.decode(b"") == []


@pytest.mark.parametrize(
    ("header", "first"),
    [("a;b", "1,5"), ("a\tb", "1,5;2"), ("a,b;c", "1"), ("a", "1"), ("a;b,c", "1;5")],
)
def test_the_header_tells_what_separates_the_cells(header, first):
    row = {"a;b": "1,5;2", "a\tb": "1,5;2\t3", "a": "1"}.get(header, f"{first},2")
    assert [cells[0] for cells in csv_file.spreadsheet_rows([f"{header}\n", f"{row}\n"])][
        1
    ] == first


def test_a_spreadsheet_without_a_line_has_no_rows():
    assert list(csv_file.spreadsheet_rows([])) == []


@pytest.mark.parametrize("content", [b'a,"b', b"\xff,b", b'"a"b,c', b"x" * 200_000])
def test_what_is_no_table_is_refused(content):
    with pytest.raises(ValueError):
        csv_file.decode(content)

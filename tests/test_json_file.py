import errno
import json
import os
import pathlib

import pytest

from trainer.errors import Damaged, Unreadable, UserError
from trainer.json_file import (
    integer,
    list_of,
    mapping,
    moment,
    number,
    read_lines,
    read_object,
    record,
    text,
)

FIELDS = {
    "step": integer(0),
    "loss": number(0, 10).or_none(),
    "state": text("running", "done"),
    "sums": list_of(integer(-5)).if_given(),
    "thresholds": mapping(number()).if_given(),
    "then": moment().if_given(),
    "data": record({"name": text(), "size": integer(1).if_given()}).if_given(),
}
GOOD = {"step": 3, "loss": None, "state": "done"}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    "more",
    [
        {"step": 0},
        {"loss": 10},
        {"loss": 0.5, "unknown": [1]},
        {"sums": [-5, 0, 2**70], "thresholds": {"a": -1.5, "b": 2}, "data": {"name": ""}},
        {"data": {"name": "a", "size": 1, "more": None}},
        {"then": "2026-01-31T12:00:00+00:00"},
    ],
)
def test_what_fits_is_read_as_it_stands(tmp_path, more):
    path = write(tmp_path / "a.json", GOOD | more)
    assert read_object(path, FIELDS, "retry") == GOOD | more


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"step": -1}, "'step' is -1, expected an integer of 0 or more"),
        ({"step": 1.0}, "'step' is 1.0"),
        ({"step": True}, "'step' is true"),
        ({"then": "2026-01-31T12:00:00"}, "'then' is \"2026-01-31T12:00:00\", expected a time"),
        ({"then": "noon"}, "'then' is \"noon\""),
        ({"then": 12}, "'then' is 12"),
        ({"step": "3"}, "'step' is \"3\""),
        ({"step": None}, "'step' is null"),
        ({"loss": 10.5}, "'loss' is 10.5, expected a finite number from 0 to 10 or null"),
        ({"loss": float("nan")}, "'loss' is NaN"),
        ({"loss": float("inf")}, "'loss' is Infinity"),
        ({"state": "walking"}, "expected one of running, done"),
        ({"sums": [1, "2"]}, "'sums'"),
        ({"sums": [-6]}, "'sums'"),
        ({"sums": {}}, "'sums'"),
        ({"thresholds": {"a": None}}, "'thresholds'"),
        ({"data": {"size": 1}}, "'data'"),
        ({"data": {"name": "a", "size": 0}}, "'data'"),
    ],
)
def test_the_field_that_is_wrong_is_named(tmp_path, more, named):
    path = write(tmp_path / "a.json", GOOD | more)
    with pytest.raises(Damaged) as raised:
        read_object(path, FIELDS, "retry")
    assert named in str(raised.value)
    assert str(raised.value).startswith(f"{path} is damaged (")
    assert str(raised.value).endswith("; retry")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "3", '{"step": 1}', "{" * 100_000, "[" * 100_000, '{"step": 1e999}'],
)
def test_what_is_no_such_object_is_damaged(tmp_path, content):
    with pytest.raises(Damaged, match="a.json is damaged"):
        read_object(write(tmp_path / "a.json", content), FIELDS, "retry")


def test_bytes_that_are_no_text_are_damaged(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b'{"step": "\xff"}')
    with pytest.raises(Damaged, match="a.json is damaged"):
        read_object(path, FIELDS, "retry")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(Damaged, match="there is no .*a.json; retry"):
        read_object(tmp_path / "a.json", FIELDS, "retry")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES])
def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch, number):
    path = write(tmp_path / "a.json", GOOD)

    def fail(self, *args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pathlib.Path, "read_text", fail)
    with pytest.raises(Unreadable, match=f"{os.strerror(number)}.*may be whole"):
        read_object(path, FIELDS, "retry")


def test_a_name_that_no_file_can_have_is_not_called_whole(tmp_path):
    with pytest.raises(UserError, match="x cannot be used .File name too long.; give another") as e:
        read_object(tmp_path / ("x" * 300), FIELDS, "retry")
    assert type(e.value) is UserError


def test_a_lack_of_memory_stays_what_it_is(tmp_path, monkeypatch):
    def fail(self, *args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(pathlib.Path, "read_text", fail)
    with pytest.raises(MemoryError):
        read_object(tmp_path / "a.json", FIELDS, "retry")


def test_the_line_that_is_wrong_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"step": 1}\n{"step": 2}\n{"step": "x"}\n')
    with pytest.raises(Damaged, match="line 3: field 'step'"):
        read_lines(path, {"step": integer(0)}, "retry")
    write(path, '{"step": 1}\n{"step": 2}\n')
    assert read_lines(path, {"step": integer(0)}, "retry") == [{"step": 1}, {"step": 2}]

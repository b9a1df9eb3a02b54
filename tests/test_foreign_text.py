import os

import pytest

from cxr_command.foreign_text import as_unicode, one_line, spelling


@pytest.mark.parametrize(
    "text", ["COVID-1", "Größe 肺", "𝔸", "a\N{NO-BREAK SPACE}b", "$ <b> & \" ' \\", ""]
)
def test_what_can_be_shown_stays(text):
    assert one_line(text) == as_unicode(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31m\x00\x85", r"\x1b[31m\x00\x85"),
        ("a\N{RIGHT-TO-LEFT OVERRIDE}b", r"a\u202eb"),
        ("a\N{LINE SEPARATOR}b", r"a\u2028b"),
        (os.fsdecode(b"a\xff\xfe"), r"a\xff\xfe"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_moves_the_cursor_or_ends_the_line_is_escaped(text, shown):
    assert one_line(text) == shown


def test_the_name_of_a_file_becomes_unicode_and_nothing_else_changes():
    name = os.fsdecode("ä\n".encode() + b"\xe4.png")
    assert as_unicode(name) == "ä\n\\xe4.png"
    as_unicode(name).encode()


@pytest.mark.parametrize(
    "other", ["KÖLN süd", "Köln  Süd ", "Ko\u0308ln Su\u0308d", "Köln\N{NO-BREAK SPACE}Süd"]
)
def test_a_name_is_known_in_another_spelling(other):
    assert spelling(other) == spelling("Köln Süd") != spelling("Köln")

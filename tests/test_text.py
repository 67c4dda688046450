"""Escaping of hostile text (RULES 57): what is printed obeys nobody."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._text import LIMIT, escape, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Ünïcode ☃", "plain Ünïcode ☃"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x00\x1b[2J\x7f\x9b", "\\x00\\x1b[2J\\x7f\\x9b"),
        ("\u202e\u200b\u2066", "\\u202e\\u200b\\u2066"),
        ("\u2028\u2029\u00a0", "\\u2028\\u2029\\xa0"),
        ("\ud800", "\\ud800"),
        ("\ue000\U000e0001", "\\ue000\\U000e0001"),
        ("", ""),
    ],
)
def test_what_a_terminal_could_obey_is_escaped(text: str, shown: str) -> None:
    """Control, format, separator, surrogate, private-use and unassigned characters are written as escapes."""
    assert escape(text) == shown


def test_long_text_is_cut_and_said_to_be_cut() -> None:
    """What is beyond the limit is dropped, and its length is stated."""
    assert escape("x" * LIMIT) == "x" * LIMIT
    assert escape("x" * (LIMIT + 1)) == "x" * LIMIT + f"... ({LIMIT + 1} characters)"
    assert escape("\n" * 5, 2) == "\\n\\n... (5 characters)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("it's", "'it\\'s'"),
        ("a\nb", "'a\\nb'"),
        ("a\\nb", "'a\\\\nb'"),
        ("'\n\\", "'\\'\\n\\\\'"),
    ],
)
def test_quotes_show_where_a_text_ends(text: str, shown: str) -> None:
    """A quote or backslash inside cannot end the quotation or pass for an escape."""
    assert quoted(text) == shown


@given(st.text())
def test_nothing_printed_is_a_command(text: str) -> None:
    """Whatever goes in, printable characters come out, none of them of a category that a name may not have."""
    for shown in (escape(text), quoted(text)):
        assert shown.isprintable()
        assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text(), st.text())
def test_different_texts_look_different_in_quotes(one: str, other: str) -> None:
    """Quoting loses nothing, so that two names are never shown alike."""
    assert (quoted(one, 10_000) == quoted(other, 10_000)) is (one == other)

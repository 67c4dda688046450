"""Patterns for names: the regular part of Python's, without Unicode classes, flags, or time beyond that of the text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mtlspolicy._patterns import SUBJECT_LIMIT, SafePattern
from mtlspolicy.errors import ConfigurationError


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"[0-9A-F]{16}", "0123456789ABCDEF", True),
        (r"[0-9A-F]{16}", "0123456789ABCDE", False),
        (r"[0-9A-F]{16}", "0123456789ABCDEF0", False),
        (r"^\d{2}$", "42", True),
        (r"\A\d{2}\Z", "42", True),
        (r"\d{2}$", "42\n", False),
        (r"a|bc", "bc", True),
        (r"a|bc", "abc", False),
        (r"(?:ab)+c?", "ababc", True),
        (r"(?P<x>ab){2,3}", "ababab", True),
        (r"(ab){2,3}", "abababab", False),
        (r"(ab){,2}c", "c", True),
        (r"(ab){2,}", "ab", False),
        (r"(ab){1}c", "abc", True),
        (r"a*?b+?", "aabb", True),
        (r"device-[\w.-]+\.a\.test", "device-7_x.y.a.test", True),
        (r"device-[\w.-]+\.a\.test", "device-7/x.a.test", False),
        (r"[^a-c]x", "dx", True),
        (r"[^a-c]x", "bx", False),
        (r"[]x]+y", "]xy", True),
        (r"[a\-z]x", "-x", True),
        (r"[+-]x", "-x", True),
        (r"\x41\u0042\U00000043", "ABC", True),
        (r"[\x41-\x43]+\W\D\S\s", "ABC-.. ", True),
        (r"\(a\)\+\$\^", "(a)+$^", True),
        (r"fr\u00f6do", "fr\u00f6do", True),
        (r"(a|b|)c", None, None),
    ],
)
def test_the_language(pattern: str, text: str | None, *, expected: bool | None) -> None:
    """Literals, classes, groups, alternatives and counts mean what they mean in Python, for the whole text."""
    if text is None:
        with pytest.raises(ConfigurationError, match="nothing stands here"):
            SafePattern(pattern)
        return
    assert SafePattern(pattern).matches(text) is expected
    assert (re.fullmatch(pattern, text, re.ASCII) is not None) is expected


@pytest.mark.parametrize("digits", ["\u0661" * 16, "\uff11" * 16, "\u00b2" * 16])
def test_digits_are_ascii(digits: str) -> None:
    """RULES 27: Arabic-Indic, full-width and superscript digits are no digits, although int() reads some of them."""
    assert SafePattern(r"\d{16}").matches("1" * 16)
    assert not SafePattern(r"\d{16}").matches(digits)


@pytest.mark.parametrize(
    ("text", "expected"), [("k", True), ("K", True), ("\u212a", False), ("\u017f", False), ("1", False)]
)
def test_casefold_kelvin_and_long_s(text: str, *, expected: bool) -> None:
    """ASCII folding never takes the Kelvin sign for K or the long s for s."""
    assert SafePattern("[ks]", ascii_casefold=True).matches(text) is expected


def test_casefold_applies_to_literals_classes_and_negations() -> None:
    """Letters match in either case wherever they stand; without folding they do not."""
    assert SafePattern("abc[x-z]", ascii_casefold=True).matches("AbCY")
    assert not SafePattern("abc[x-z]").matches("AbCY")
    assert not SafePattern("[^a]b", ascii_casefold=True).matches("Ab")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "nothing stands here"),
        ("a||b", "nothing stands here"),
        ("()", "nothing stands here"),
        ("a*", "matches the empty text"),
        ("(a?b?)*", "matches the empty text"),
        ("a{0,3}", "matches the empty text"),
        (".*", "matches the empty text"),
        (".+", "matches every name"),
        (r"\S+", "matches every name"),
        (r"[\s\S]+", "matches every name"),
        ("[^,]{1,64}", "matches every name"),
        ("[ -~]+", "matches every name"),
        (".{4,}", "matches every name"),
        ("(a|.)+", "matches every name"),
        ("(?i)frodo", "inline flags"),
        ("(?u)frodo", "inline flags"),
        ("(?L)frodo", "inline flags"),
        ("(?i:frodo)", "inline flags"),
        ("(?-i:frodo)", "inline flags"),
        ("(?=a)a", "no lookaround"),
        ("(?<!a)b", "no lookaround"),
        ("(?>a)b", "only plain groups"),
        ("(?P=x)", "only plain groups"),
        ("(?P<1>a)", "only plain groups"),
        (r"(a)\1", "back-reference"),
        (r"\bfrodo", "boundary"),
        (r"frodo\n", "not known"),
        ("frodo\\", "not known"),
        (r"\x4", "2 hex digits"),
        (r"\u00g0", "4 hex digits"),
        (r"\U00110000", "8 hex digits"),
        ("a++", "possessive"),
        ("a**", "count of a count"),
        ("a??b??c{2}{3}", "count of a count"),
        ("*a", "nothing before it"),
        ("a{", "begins no count"),
        ("a{x}", "begins no count"),
        ("a{,}", "begins no count"),
        ("a{12345}", "begins no count"),
        ("a{3,2}", "end is before its start"),
        ("a{0}b", "count of none"),
        ("a^b", "whole text is matched anyway"),
        ("(a$)b", "whole text is matched anyway"),
        ("a]", "closes nothing"),
        ("a}", "closes nothing"),
        ("a)", "closes nothing"),
        ("(a", "not closed"),
        ("[a", "not closed"),
        ("[", "not closed"),
        ("[[:alpha:]]x", "write \\["),
        ("[z-a]", "wrong order"),
        (r"[\d-z]", "no start or end"),
        (r"[a-\d]", "no start or end"),
        (r"[a-\w]", "no start or end"),
        ("a" * 1001, "at most 1000"),
        ("a{513}", "counts written out"),
        ("((a{100}){100}){100}", "counts written out"),
        ("(" * 31 + "a" + ")" * 31, "more than 30 groups"),
    ],
)
def test_what_is_not_regular_or_tells_nobody_apart_is_refused(pattern: str, why: str) -> None:
    """What cannot run in linear time, folds beyond ASCII, matches nothing or everything is refused with the reason."""
    with pytest.raises(ConfigurationError) as caught:
        SafePattern(pattern)
    assert why in str(caught.value)


def test_a_compiled_pattern_is_no_text() -> None:
    """A compiled pattern brings its own flags and engine, so the text is asked for."""
    with pytest.raises(ConfigurationError, match="not a compiled one"):
        SafePattern(re.compile("a"))  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize(
    "pattern",
    [
        r"([0-9A-F]+)*X",
        r"(A|A)+X",
        r"(A|AA)+X",
        r"(A*)*X",
        r"A*A*A*A*A*A*A*A*A*A*X",
        r"(A?){200}A{200}X",
        r"((A+)+)+X",
        r"(.*A){20}X",
        r"(A|[A-Z]|\w)+X",
        r"(?:A{1,20}){1,20}X",
    ],
)
def test_catastrophic_patterns_are_linear(pattern: str) -> None:
    """The catalogue of patterns that make backtracking engines run for ages answers at once on the longest text."""
    compiled = SafePattern(pattern)
    start = time.process_time()
    assert not compiled.matches("A" * SUBJECT_LIMIT)
    assert time.process_time() - start < 0.5  # seconds; a backtracking engine needs longer than the universe is old


def test_equality_is_that_of_text_and_folding() -> None:
    """Patterns are values: equal by text and folding, hashable, and they show both."""
    assert SafePattern("ab") == SafePattern("ab")
    assert hash(SafePattern("ab")) == hash(SafePattern("ab"))
    assert SafePattern("ab") != SafePattern("ab", ascii_casefold=True)
    assert SafePattern("ab") != "ab"
    assert repr(SafePattern("ab")) == "SafePattern('ab', ascii_casefold=False)"


atoms = st.sampled_from(["a", "b", "B", "k", r"\d", r"\w", ".", "[ab]", "[^a]", "[a-cX]", r"\.", "[^\\w]", "\u017f"])
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "{,2}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=8,
)
texts = st.text(st.sampled_from(list("abBkK1.-_ \n\u017f\u212a\u0661X")), max_size=8)


@settings(max_examples=400)
@given(patterns, texts, st.booleans())
def test_the_answer_is_that_of_python(pattern: str, text: str, fold: bool) -> None:
    """For every pattern of the language and every text the answer is that of Python's own engine with re.ASCII."""
    try:
        compiled = SafePattern(pattern, ascii_casefold=fold)
    except ConfigurationError:
        assume(False)  # noqa: FBT003 - empty or universal patterns are refused
        return
    flags = re.ASCII | re.IGNORECASE if fold else re.ASCII
    assert compiled.matches(text) == (re.fullmatch(pattern, text, flags) is not None)


@given(st.text(max_size=30) | st.text(st.sampled_from(list("ab\\()[]{}|*+?^$-,.0123dwsx")), max_size=15))
def test_any_text_gives_a_pattern_or_our_error(pattern: str) -> None:
    """Any text gives a value or one of our errors; what is accepted is also valid for Python."""
    try:
        compiled = SafePattern(pattern)
    except ConfigurationError:
        return
    assert not compiled.matches("")
    assert re.compile(pattern, re.ASCII).fullmatch("") is None

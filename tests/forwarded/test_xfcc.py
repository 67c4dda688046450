"""The grammar of XFCC: quoted strings first, then delimiters; what can be read in two ways is malformed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.forwarded._xfcc import Element, Pair, read_elements

KEYS = st.sampled_from(["By", "hash", "CERT", "Chain", "Subject", "URI", "dns", "x-new_1"])
BARE = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='",;'), max_size=20)
INSIDE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(
    lambda text: text.replace("\\", "\\\\").replace('"', '\\"')
)
PAIRS = st.builds(Pair, KEYS.map(str.lower), BARE, st.just(value=True)) | st.builds(
    Pair, KEYS.map(str.lower), INSIDE, st.just(value=False)
)


def one(text: str) -> Element:
    """Return the only element of *text*."""
    (element,) = read_elements(text)
    return element


def written(elements: list[list[Pair]]) -> str:
    """Return elements in the grammar of the header."""
    return ",".join(
        ";".join(f"{pair.key}={pair.value}" if pair.bare else f'{pair.key}="{pair.value}"' for pair in pairs)
        for pairs in elements
    )


def test_delimiters_within_quotes_are_text() -> None:
    """A comma, a semicolon and an equals sign between quotes belong to the value."""
    element = one('Subject="CN=a,O=b;c=d";URI=spiffe://a/b')
    assert element.pairs == (Pair("subject", "CN=a,O=b;c=d", bare=False), Pair("uri", "spiffe://a/b", bare=True))


def test_an_escaped_quote_does_not_end_a_value() -> None:
    r"""``\"`` belongs to the value, and the key that seems to follow it is none."""
    element = one(r'Subject="CN=\";Cert=x,\"";URI=u')
    assert [pair.key for pair in element.pairs] == ["subject", "uri"]
    assert element.single["subject"] == r"CN=\";Cert=x,\""


def test_attack_a_backslash_at_the_end_of_a_name_does_not_swallow_the_quote() -> None:
    r"""Envoy writes CN=``x\`` as ``CN=x\\``: the second backslash is escaped, and the quote ends the value."""
    element = one(r'Subject="CN=x\\";URI=u')
    assert element.pairs == (Pair("subject", r"CN=x\\", bare=False), Pair("uri", "u", bare=True))


def test_keys_in_any_case_and_values_as_written() -> None:
    """Keys are case-insensitive, values are not changed."""
    element = one("hAsH=AbC;dns=A.test;DNS=b.test;URI=")
    assert element.single["hash"] == "AbC"
    assert element.every("dns") == ("A.test", "b.test")
    assert element.every("uri") == ()
    assert "cert" not in element.single


def test_escaped_quotes_of_names_are_shown_without_the_backslash() -> None:
    """A quoted name reads as the name."""
    assert one(r'URI="a\"b"').every("uri") == ('a"b',)


def test_unknown_keys_are_kept() -> None:
    """A key of a later version neither breaks the header nor gets lost."""
    assert one("New-Key_2=v;Hash=h").pairs[0] == Pair("new-key_2", "v", bare=True)


def test_an_unquoted_value_may_contain_an_equals_sign() -> None:
    """Envoy does not quote the URI names of a certificate."""
    assert one("URI=https://a/?b=c").every("uri") == ("https://a/?b=c",)


@pytest.mark.parametrize("comma", [",", ", ", ",\t "])
def test_elements_in_order(comma: str) -> None:
    """Elements stand in the order of the proxies; white space may follow a comma, as where lines were joined."""
    first, second = read_elements(f'Hash=1;Subject="a, b"{comma}Hash=2')
    assert (first.single["hash"], second.single["hash"]) == ("1", "2")


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", ";", "Hash=1,", "Hash=1;", ",Hash=1", ";Hash=1", "Hash=1,,Hash=2", "Hash=1;;By=2", "Hash=1;,By=2"),
        *("Hash", "=1", "Hash =1", "1a=b", "a.b=c", " Hash=1", "Hash=1,By", "\x00=1"),
        *('Subject="CN=a', 'Subject="', 'Subject="a\\"', 'Subject="a\\', 'By=1;Subject="a;Hash=1,By=2'),
        *('Subject="a"b', 'Subject="a" ;Hash=1', 'Subject=a"b"', 'URI=a"', 'Subject=""""', 'Subject="a"="b"'),
    ],
)
def test_what_is_not_the_grammar_is_malformed(text: str) -> None:
    """Empty elements and pairs, keys without a value, quotes that do not end or stand within a bare value."""
    with pytest.raises(MalformedEvidence) as caught:
        read_elements(text)
    assert caught.value.code == "forwarded.malformed"


@pytest.mark.parametrize("key", ["Hash", "Cert", "Chain", "Subject"])
def test_attack_a_second_key_from_an_unquoted_name(key: str) -> None:
    """A URI name ``x;Hash=...`` makes a key that occurs once stand there twice: malformed, in whichever case."""
    with pytest.raises(MalformedEvidence, match=f"the key '{key}' twice"):
        read_elements(f"{key}=1;URI=x;{key.lower()}=2")


def test_keys_once_in_each_element() -> None:
    """Each proxy has its own ``Hash``."""
    assert len(read_elements("Hash=1,Hash=2")) == 2


def test_more_pairs_than_any_certificate_has_names() -> None:
    """The number of pairs is bounded, and the bound itself is within."""
    assert len(one(";".join(["DNS=a"] * 512)).pairs) == 512
    with pytest.raises(MalformedEvidence) as caught:
        read_elements(";".join(["DNS=a"] * 513))
    assert caught.value.code == "forwarded.too-large"


def test_hostile_text_is_escaped_in_the_message() -> None:
    """What somebody wrote into the header stands in the message as text."""
    with pytest.raises(MalformedEvidence, match=r"at character 6: '\\x1b"):
        read_elements("By=me;\x1b[2J")


@given(st.lists(st.lists(PAIRS, min_size=1, max_size=5), min_size=1, max_size=4))
def test_what_is_written_is_read(elements: list[list[Pair]]) -> None:
    """Elements written in the grammar are read as they were, or refused for a key that stands there twice."""
    single = {"hash", "cert", "chain", "subject"}
    twice = any(sum(pair.key == key for pair in pairs) > 1 for pairs in elements for key in single)
    if twice:
        with pytest.raises(MalformedEvidence, match="twice"):
            read_elements(written(elements))
    else:
        assert [list(element.pairs) for element in read_elements(written(elements))] == elements


@given(st.text(st.characters(codec="latin-1"), max_size=60) | st.text('aH=",;\\ ', max_size=30))
def test_any_text_gives_elements_or_our_error(text: str) -> None:
    """Any text is read or malformed; what is read, written again, is read as the same."""
    try:
        elements = read_elements(text)
    except MalformedEvidence:
        return
    assert read_elements(written([list(element.pairs) for element in elements])) == elements

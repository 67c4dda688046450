"""Header fields: one spelling of a name, one line of a field, no character that two readers take differently."""

from __future__ import annotations

from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.errors import ConfigurationError, MalformedEvidence, MTLSPolicyError
from mtlspolicy.forwarded import JoinedHeaders
from mtlspolicy.forwarded._headers import canonical, collect, header_name, is_ours, names_one_of

NAMES = frozenset({"x-cert", "x-verify", "x-chain"})
LISTS = frozenset({"x-chain"})


def read(*headers: tuple[str | bytes, str | bytes], most: int = 1000) -> dict[str, str]:
    """Return what is collected of *headers*."""
    return collect(headers, NAMES, LISTS, most)


def refused(*headers: tuple[str | bytes, str | bytes], most: int = 1000) -> str:
    """Return the code with which *headers* are refused."""
    with pytest.raises(MalformedEvidence) as caught:
        read(*headers, most=most)
    assert caught.value.http_status in {400, 431}
    return caught.value.code


@pytest.mark.parametrize("name", ["x-cert", "X-Cert", b"x-cert", b"X-CERT"])
def test_case_of_a_name_does_not_matter(name: str | bytes) -> None:
    """RFC 9110, 5.1: names are compared without regard to case; text and bytes are one."""
    assert read((name, "v"), ("host", "a")) == {"x-cert": "v"}


def test_other_fields_are_not_looked_at() -> None:
    """What belongs to the application may be there twice, under any name and with any bytes."""
    assert read((b"x-other", b"\xff\x00"), ("X_Other", "\r\n"), ("x-other", "é" * 5000)) == {}


@pytest.mark.parametrize(
    "name",
    [
        "X_Cert",
        "x-cert_",
        "x.cert",
        "x cert",
        "X-Cert ",
        " x-cert",
        "x-cert\t",
        "x-cert\xa0",
        "_x-cert",
        "x\x00cert",
        "x-cert:",
    ],
)
def test_underscore_alias_dot_space_and_the_like(name: str) -> None:
    """A name that some gateway takes for one of ours is refused, alone as well as beside it (Django CVE-2015-0219)."""
    assert refused((name, "EVIL")) == "forwarded.alias"
    assert refused(("x-cert", "REAL"), (name, "EVIL")) == "forwarded.alias"
    assert refused((name, "EVIL"), ("x-cert", "REAL")) == "forwarded.alias"
    assert is_ours(name, NAMES)
    assert names_one_of([(name, "")], NAMES)


@pytest.mark.parametrize("name", ["-x-cert", "x\u2010cert", "x-cert\u200b", "x\uff0dcert"])
def test_alias_with_a_hyphen_of_another_script(name: str) -> None:
    """Whatever is no letter and no digit counts as a hyphen, wherever a gateway might drop or translate it."""
    assert refused((name, "EVIL")) == "forwarded.alias"


def test_kelvin_sign_is_no_k() -> None:
    """A letter whose lower case is ASCII and that is not ASCII itself does not become the exact name."""
    names = frozenset({"x-key"})
    assert "X-\u212aey".lower() == "x-key"
    assert collect([("X-\u212aey", "EVIL")], names, frozenset(), 100) == {}


@pytest.mark.parametrize("values", [("EVIL", "REAL"), ("", "REAL"), ("REAL", ""), ("REAL", "REAL")])
def test_duplicate_copies(values: tuple[str, str]) -> None:
    """Two copies are refused, one empty or both equal as well: the next reader may take the other."""
    assert refused(("x-cert", values[0]), ("host", "a"), ("X-Cert", values[1])) == "forwarded.duplicate"


def test_lists_may_stand_on_several_lines() -> None:
    """RFC 9110, 5.3: the lines of a list are joined in their order."""
    assert read(("x-chain", "a"), ("X-Chain", " b\t"), ("x-chain", "c")) == {"x-chain": "a, b, c"}
    assert read(("x-chain", "a")) == {"x-chain": "a"}


@pytest.mark.parametrize("options", ["close, X-Verify", "x-verify", "keep-alive,\tX_Cert ,te", "x-chain"])
@pytest.mark.parametrize("name", ["connection", "Connection", "CONNECTION "])
def test_connection_naming_the_companion(options: str, name: str) -> None:
    """A next hop must remove what Connection names, so a client could delete the proxy's verdict (CVE-2022-31813)."""
    assert refused((name, options), ("x-cert", "v")) == "forwarded.connection"
    assert refused(("x-cert", "v"), (name, options)) == "forwarded.connection"
    assert refused((name, options)) == "forwarded.connection"


def test_connection_with_other_options() -> None:
    """Connection is everyday: only names of ours in it are refused, on whichever of its lines."""
    assert read(("connection", "close, upgrade"), ("connection", ""), ("x-cert", "v")) == {"x-cert": "v"}
    assert refused(("connection", "close"), (b"connection", b"x-cert")) == "forwarded.connection"


def test_trailer_that_announces_a_certificate() -> None:
    """Proxies rewrite headers and pass trailers on: one of ours there comes from the client."""
    assert refused(("trailer", "Expires, X-Cert")) == "forwarded.trailer"


@pytest.mark.parametrize(
    "value", ["a\r\n b", "a\nb", "a\rb", "a\x00b", "a\x7f", "é", b"\xc3\xa9", "a\x0bb", "\x1f", "a\u2028"]
)
def test_obs_fold_control_and_non_ascii(value: str | bytes) -> None:
    """A folded line, a bare CR or LF, NUL, any control character and anything that is not ASCII are refused."""
    assert refused(("x-cert", value)) == "forwarded.malformed"


def test_tab_inside_and_white_space_around() -> None:
    """RFC 9110, 5.5: white space around a value is none of it; a tab inside is white space."""
    assert read(("x-cert", " \ta\tb \t")) == {"x-cert": "a\tb"}


def test_size_is_held_over_all_values_together() -> None:
    """Values count together, and lines of a list with what joins them; the limit itself is allowed."""
    assert read(("x-cert", "a" * 100), most=100) == {"x-cert": "a" * 100}
    assert refused(("x-cert", "a" * 101), most=100) == "forwarded.too-large"
    assert refused(("x-cert", "a" * 60), ("x-verify", "b" * 60), most=100) == "forwarded.too-large"
    assert refused(*[("x-chain", "")] * 60, most=100) == "forwarded.too-large"


def test_size_comes_before_the_characters() -> None:
    """A long value is refused for its length: nothing reads it."""
    assert refused(("x-cert", "\x00" * 101), most=100) == "forwarded.too-large"


@pytest.mark.parametrize("headers", [{"x-cert": "v"}, Message()])
def test_mappings_that_hide_copies(headers: object) -> None:
    """A mapping has lost copies and spellings; iterating over one would give names alone."""
    if isinstance(headers, Message):
        headers["x-cert"] = "v"
    with pytest.raises(ConfigurationError, match="pairs"):
        collect(headers, NAMES, LISTS, 100)  # type: ignore[arg-type]


class EnvironHeaders:
    """Shaped as Werkzeug's: pairs, made of an environ, in which an alias reads as the name itself."""

    environ: dict[str, str] = {}  # noqa: RUF012 - never changed

    def __iter__(self) -> object:
        return iter([("X-Cert", "EVIL")])


def test_headers_made_of_an_environ() -> None:
    """They give pairs, and aliases and copies are lost in them all the same."""
    with pytest.raises(ConfigurationError, match="environ_headers"):
        collect(EnvironHeaders(), NAMES, LISTS, 100)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pair", [5, ("x-cert",), ("x-cert", "a", "b"), (5, "a"), (None, "a"), ("x-cert", 5), (bytearray(b"x-cert"), "a")]
)
def test_what_is_no_pair_of_texts(pair: object) -> None:
    """Anything else than pairs of text is the caller's mistake and is told so."""
    with pytest.raises(ConfigurationError):
        collect([pair], NAMES, LISTS, 100)  # type: ignore[list-item]


def test_joined_headers_are_read_as_pairs() -> None:
    """What a gateway has joined is a mapping of its own kind."""
    assert collect(JoinedHeaders({"x-cert": "v", "host": "a"}), NAMES, LISTS, 100) == {"x-cert": "v"}


@pytest.mark.parametrize("name", ["X-Cert", "client-cert", "x9"])
def test_usable_names(name: str) -> None:
    """Letters, digits and hyphens make a name with one spelling."""
    assert header_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    ["", "x_cert", "x.cert", "-x", "x-", "x cert", "é", "\u212ax", "Connection", "host", "content-length", 5, None],
)
def test_names_with_two_spellings_or_of_http_itself(name: str) -> None:
    """A name that gateways spell in two ways, or that HTTP frames messages by, is refused when the source is built."""
    with pytest.raises(ConfigurationError, match="which=|letters"):
        header_name(name, "which")


@given(st.one_of(st.text(), st.binary()))
def test_canonical_of_anything(name: str | bytes) -> None:
    """Any name has a canonical form, which is its own canonical form."""
    plain = canonical(name)
    assert canonical(plain) == plain


fields = st.tuples(
    st.sampled_from(["x-cert", "X_Cert", "x-chain", "connection", "host", b"x-verify", "trailer"])
    | st.text()
    | st.binary(),
    st.text(max_size=40) | st.binary(max_size=40) | st.sampled_from(["close, x-cert", "a, b"]),
)


@given(st.lists(fields, max_size=8))
def test_any_headers_give_values_or_our_error(headers: list[tuple[str | bytes, str | bytes]]) -> None:
    """Any headers give clean values of exactly the names asked for, or one of our errors."""
    try:
        found = collect(headers, NAMES, LISTS, 100)
    except MTLSPolicyError:
        return
    assert found.keys() <= NAMES
    assert all(value.isascii() and value.replace("\t", " ").isprintable() for value in found.values())
    assert sum(map(len, found.values())) <= 102

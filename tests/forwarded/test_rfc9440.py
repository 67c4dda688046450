"""RFC 9440: one certificate in ``Client-Cert``, the others in ``Client-Cert-Chain``, read by the letter."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import Possession, forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from mtlspolicy.forwarded import JoinedHeaders
from mtlspolicy.forwarded._structured_fields import byte_sequence, byte_sequences
from tests.forwarded.writing import FRODO, ISSUING, OTHER, PROXY, ROOT, SAM, TRUSTED, VERIFIER, escaped, item

SOURCE = forwarded.rfc9440(trusted=TRUSTED)
LEAF, OTHERS = item(FRODO.der), item(ISSUING.der)


def code_of(*headers: tuple[str, str], source: forwarded.ForwardedSource = SOURCE) -> str:
    """Return the code with which the source refuses *headers*."""
    with pytest.raises(MalformedEvidence) as caught:
        source.read(headers, peer=PROXY)
    return caught.value.code


def test_certificate_and_chain() -> None:
    """The end entity is that of Client-Cert, the proxy saw the proof, and our own verifier admits the chain."""
    chain = SOURCE.read([("Client-Cert", LEAF), ("Client-Cert-Chain", OTHERS)], peer=PROXY)
    assert chain is not None
    assert (chain.ders, chain.possession) == ((FRODO.der, ISSUING.der), Possession.PROXY)
    assert VERIFIER.verify(chain).common_name == "frodo"


def test_no_header_is_no_certificate() -> None:
    """Absence is neither malformed nor untrusted, also where the proxy marks each request: it states nothing more."""
    assert SOURCE.read([("host", "a.test")], peer=PROXY) is None
    marked = forwarded.rfc9440(trusted=TRUSTED, marker=("x-edge", "1"))
    assert marked.read([("x-edge", "1")], peer=PROXY) is None


@pytest.mark.parametrize("chain", ["", " \t"])
def test_an_empty_chain_is_an_empty_list(chain: str) -> None:
    """RFC 8941, 3.1: the empty list has no members; a root that issues directly leaves nothing to send."""
    read = SOURCE.read([("client-cert", LEAF), ("client-cert-chain", chain)], peer=PROXY)
    assert read is not None
    assert read.ders == (FRODO.der,)


@pytest.mark.parametrize("comma", [",", ", ", " \t,\t "])
def test_several_members_and_the_root_among_them(comma: str) -> None:
    """Spaces and tabs may stand around a comma, and the chain may include the root."""
    chain = comma.join((OTHERS, item(ROOT.der)))
    read = SOURCE.read([("client-cert", LEAF), ("client-cert-chain", chain)], peer=PROXY)
    assert read is not None
    assert read.ders == (FRODO.der, ISSUING.der, ROOT.der)


def test_a_list_on_several_lines() -> None:
    """RFC 9440, 2.3: the chain may be divided among several lines."""
    headers = [("client-cert-chain", OTHERS), ("client-cert", LEAF), ("Client-Cert-Chain", item(ROOT.der))]
    read = SOURCE.read(headers, peer=PROXY)
    assert read is not None
    assert read.ders == (FRODO.der, ISSUING.der, ROOT.der)


def test_the_end_entity_once_more_in_the_chain_changes_nothing() -> None:
    """The RFC leaves it out; a proxy that sends it says nothing else by it."""
    read = SOURCE.read([("client-cert", LEAF), ("client-cert-chain", f"{LEAF}, {OTHERS}")], peer=PROXY)
    assert read is not None
    assert read.ders == (FRODO.der, ISSUING.der)


def test_attack_another_certificate_first_in_the_chain_is_not_the_client() -> None:
    """The identity is that of Client-Cert alone, whatever else there is."""
    read = SOURCE.read([("client-cert", LEAF), ("client-cert-chain", f"{item(SAM.der)}, {OTHERS}")], peer=PROXY)
    assert read is not None
    assert VERIFIER.verify(read).common_name == "frodo"


def test_attack_a_direct_connection_with_a_forged_header() -> None:
    """A header from somebody who is not the proxy is refused, not passed over."""
    with pytest.raises(VerificationError) as caught:
        SOURCE.read([("client-cert", LEAF)], peer=OTHER)
    assert (caught.value.code, caught.value.http_status) == ("forwarded.untrusted-proxy", 403)


def test_attack_repeated_client_cert() -> None:
    """Client-Cert is a singleton: neither a second copy nor a list."""
    assert code_of(("client-cert", LEAF), ("client-cert", item(SAM.der))) == "forwarded.duplicate"
    assert code_of(("client-cert", f"{LEAF}, {item(SAM.der)}")) == "forwarded.malformed"


def test_attack_a_chain_without_client_cert() -> None:
    """A chain that belongs to no certificate is malformed: its first certificate is nobody's identity."""
    assert code_of(("client-cert-chain", f"{LEAF}, {OTHERS}")) == "forwarded.malformed"


@pytest.mark.parametrize(
    "value",
    [
        *("", ":", "::", ":?:", f"{LEAF[:-1]}", f"{LEAF[1:]}", f"{LEAF};a=1", f"{LEAF};", f"{LEAF},", f",{LEAF}"),
        *(f"?1{LEAF}", f'"{LEAF}"', f":{LEAF}:", LEAF.replace(":M", ": M", 1), f"({LEAF})", "?1", '"a"', "1"),
        *(LEAF.replace("M", "-", 1), escaped(FRODO.der), base64.b64encode(FRODO.der).decode(), ":(null):", "(null)"),
    ],
)
def test_attack_wrong_encoding_is_not_guessed_at(value: str) -> None:
    """What is not one byte sequence is malformed, in other dialects' encodings as well, with parameters too."""
    assert code_of(("client-cert", value)) == "forwarded.malformed"


@pytest.mark.parametrize("chain", ["{0},", ",{0}", "{0},,{0}", "{0};a=1", "{0} {0}", "({0})", "{0};q, {0}", "::", "x"])
def test_a_chain_that_is_no_list_of_byte_sequences(chain: str) -> None:
    """A comma at an end, members that are empty, inner lists and parameters are malformed."""
    assert code_of(("client-cert", LEAF), ("client-cert-chain", chain.format(OTHERS))) == "forwarded.malformed"


def test_attack_padding_left_out_or_stray_bits() -> None:
    """A certificate has one spelling: base64 with its padding, and nothing in the bits that it does not need."""
    assert byte_sequence(":AQ==:") == b"\x01"
    for text in (":AQ=:", ":AQ:", ":AR==:", ":AQ===:", ":AQ==AQ==:", ":AQ== :", ":A_==:"):
        with pytest.raises(MalformedEvidence) as caught:
            byte_sequence(text)
        assert caught.value.code == "forwarded.malformed"


def test_attack_a_damaged_certificate_promotes_nobody() -> None:
    """A member that is no certificate makes the whole request malformed, wherever it stands."""
    damaged = item(FRODO.der[:-1])
    assert code_of(("client-cert", damaged), ("client-cert-chain", OTHERS)) == "forwarded.malformed"
    assert code_of(("client-cert", LEAF), ("client-cert-chain", f"{damaged}, {OTHERS}")) == "forwarded.malformed"
    assert code_of(("client-cert", item(b"x"))) == "forwarded.malformed"


def test_more_certificates_than_the_limit() -> None:
    """Certificates are counted before one of them is parsed."""
    chain = ", ".join(item(bytes([number])) for number in range(6))
    assert code_of(("client-cert", LEAF), ("client-cert-chain", chain)) == "forwarded.too-large"


def test_attack_two_copies_joined_under_wsgi() -> None:
    """Where two copies look like a list, a chain of several is refused, and one of one is read."""
    one = JoinedHeaders({"client-cert": LEAF, "client-cert-chain": OTHERS})
    read = SOURCE.read(one, peer=PROXY)
    assert read is not None
    assert read.ders == (FRODO.der, ISSUING.der)
    with pytest.raises(MalformedEvidence, match="WSGI") as caught:
        SOURCE.read(JoinedHeaders({"client-cert": LEAF, "client-cert-chain": f"{OTHERS},{OTHERS}"}), peer=PROXY)
    assert caught.value.code == "forwarded.duplicate"
    with pytest.raises(MalformedEvidence):
        SOURCE.read(JoinedHeaders({"client-cert": f"{LEAF},{LEAF}"}), peer=PROXY)


def test_names_by_choice() -> None:
    """The operator names the headers; the conventional names are then not read."""
    source = forwarded.rfc9440(leaf_header="X-Leaf", chain_header="X-Chain", trusted=TRUSTED)
    read = source.read([("x-leaf", LEAF), ("x-chain", OTHERS), ("client-cert", "?")], peer=PROXY)
    assert read is not None
    assert read.ders == (FRODO.der, ISSUING.der)
    assert source.without_ours([("X_Leaf", "1"), ("X-Chain", "2"), ("host", "a")]) == [("host", "a")]


@pytest.mark.parametrize(
    "options",
    [
        {"leaf_header": "a", "chain_header": "A"},
        {"leaf_header": "client_cert"},
        {"chain_header": "host"},
        {"trustd": TRUSTED},
        {"trusted": []},
    ],
)
def test_construction_fails_closed(options: dict[str, object]) -> None:
    """Two headers of one name, a name that has two spellings, a misspelt option, nobody trusted."""
    with pytest.raises(ConfigurationError):
        forwarded.rfc9440(**{"trusted": TRUSTED, **options})  # type: ignore[arg-type]  # on purpose


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5))
def test_lists_of_bytes_are_read_as_written(members: list[bytes]) -> None:
    """A list of byte sequences reads as what was written."""
    assert byte_sequences(", ".join(map(item, members))) == tuple(members)


@given(st.text(st.characters(codec="latin-1"), max_size=40) | st.text(":AQ=, \t;", max_size=20))
def test_any_text_gives_one_value_or_our_error(text: str) -> None:
    """Any text is malformed, or the one spelling of what is read."""
    try:
        value = byte_sequence(text)
    except MalformedEvidence:
        return
    assert item(value) == text

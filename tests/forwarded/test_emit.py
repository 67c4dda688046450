"""The other direction: what a program that terminates TLS writes, and what a client can smuggle past it."""

from __future__ import annotations

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import PresentedChain, TrustStore, VerifiedPeer, Verifier, forwarded, policies
from mtlspolicy._chain import Possession
from mtlspolicy._names import DistinguishedName
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded import cache_headers, emit_rfc9440, emit_xfcc
from mtlspolicy.forwarded._headers import HeaderPairs
from mtlspolicy.forwarded._xfcc import read_elements
from tests.forwarded.writing import FRODO, ISSUING, PROXY, ROOT, SAM, TRUSTED, VERIFIER, digest, escaped, item

SHOWN = PresentedChain((FRODO.der, ISSUING.der), Possession.TLS)
RFC9440 = forwarded.rfc9440(trusted=TRUSTED)
ENVOY = forwarded.envoy(trusted=TRUSTED)
NAMES = [
    "client-cert",
    "Client_Cert",
    "client-cert-chain",
    "CLIENT.CERT.CHAIN",
    "x-forwarded-client-cert",
    "X_Forwarded_Client_Cert",
    *("x-forwarded-client-cert ", "host", "cookie", "connection", "trailer", "vary"),
]


def admitted(possession: Possession) -> VerifiedPeer:
    """Return the peer of a chain whose possession was seen as told."""
    return VERIFIER.verify(PresentedChain(SHOWN.ders, possession))


def test_rfc_9440() -> None:
    """The end entity as one byte sequence, the others on request as a list, the end entity not among them."""
    assert emit_rfc9440(SHOWN, [("host", "a")]) == [("host", "a"), ("Client-Cert", item(FRODO.der))]
    chain = PresentedChain((FRODO.der, ISSUING.der, ROOT.der), Possession.TLS)
    assert emit_rfc9440(admitted(Possession.TLS), [])[0] == ("Client-Cert", item(FRODO.der))
    assert emit_rfc9440(chain, [], chain=True)[1] == ("Client-Cert-Chain", f"{item(ISSUING.der)}, {item(ROOT.der)}")
    assert len(emit_rfc9440(PresentedChain((FRODO.der,), Possession.TLS), [], chain=True)) == 1


def test_xfcc() -> None:
    """One element as Envoy writes it: By, Hash, Cert, and on request Chain, which begins with the end entity."""
    ((name, value),) = emit_xfcc(SHOWN, [], by="spiffe://a/proxy", chain=True)
    assert name == "X-Forwarded-Client-Cert"
    assert value == (
        f'By=spiffe://a/proxy;Hash={digest(FRODO.der)};Cert="{escaped(FRODO.der)}";'
        f'Chain="{escaped(FRODO.der, ISSUING.der)}"'
    )
    assert emit_xfcc(SHOWN, [])[0][1].startswith("Hash=")


@pytest.mark.parametrize("emit", [emit_rfc9440, emit_xfcc])
@pytest.mark.parametrize("possession", [Possession.NONE, Possession.PROXY])
def test_certificate_that_nobody_proved_here(emit: object, possession: Possession) -> None:
    """A certificate out of a file or a header would become one that the next hop believes."""
    for peer in (admitted(possession), PresentedChain(SHOWN.ders, possession), PresentedChain((), Possession.TLS)):
        with pytest.raises(ConfigurationError, match="possession"):
            emit(peer, [])  # type: ignore[operator]


@pytest.mark.parametrize("peer", [SHOWN, None])
def test_header_smuggled_by_the_client(peer: PresentedChain | None) -> None:
    """What the client wrote is removed in every spelling, with a certificate and, above all, without one."""
    inbound: HeaderPairs = [
        ("Client-Cert", "EVIL"), (b"client_cert", b"EVIL"), ("client.cert-chain", "EVIL"),
        ("Client-Cert-Chain ", "EVIL"), ("Host", "a.test"), ("X-Forwarded-Client-Cert", "kept"),
        ("Connection", "close, Client-Cert"),
        ("connection", "keep-alive"), ("trailer", "Client_Cert"), (b"X-Bytes", b"\xff"),
    ]  # fmt: skip
    kept = [
        ("Host", "a.test"), ("X-Forwarded-Client-Cert", "kept"), ("connection", "keep-alive"),
        ("X-Bytes", "\xff"),
    ]  # fmt: skip
    emitted = emit_rfc9440(peer, inbound)
    assert emitted == (kept if peer is None else [*kept, ("Client-Cert", item(FRODO.der))])
    xfcc = [("X-Forwarded-Client-Cert", "Hash=EVIL"), ("x_forwarded_client_cert", "Hash=EVIL"), ("host", "a")]
    values = [value for _, value in emit_xfcc(peer, xfcc)]
    assert not any("EVIL" in value for value in values)
    assert len(values) == (1 if peer is None else 2)


@pytest.mark.parametrize("by", ["", "a,b", "a;b", 'a"b', "a b", "é", "a\r\nX: y", "a\\b"])
def test_own_uri_that_would_be_a_delimiter(by: str) -> None:
    """Envoy leaves By unquoted; here it must not need quotes."""
    with pytest.raises(ConfigurationError, match="by="):
        emit_xfcc(SHOWN, [], by=by)


ODD = [
    "frodo", 'a"b', "a\\b", 'a\\"b', "a,b;c=d", "CN=x,O=y", " a ", "#a", "Frodo é 指輪", "a+b", "\\", '"', '";Hash=1',
]  # fmt: skip


@pytest.mark.parametrize("common_name", ODD)
def test_delimiters_in_a_subject(common_name: str) -> None:
    """A name with quotes, commas and semicolons stays one value, and the certificate is what is read."""
    made = ROOT.issue_client(common_name, uris=["spiffe://x;Hash=1,By=y"], dns=["a.test", "b.test"])
    emitted = emit_xfcc(PresentedChain((made.der,), Possession.TLS), [], names=True)
    assert emitted[0][1].isascii()
    chain = ENVOY.read(emitted, peer=PROXY)
    assert chain is not None
    assert chain.ders == (made.der,)
    assert emitted[0][1].endswith(';URI="spiffe://x;Hash=1,By=y";DNS="a.test";DNS="b.test"')
    subject = read_elements(emitted[0][1])[0].one("subject")
    assert subject is not None
    assert DistinguishedName.parse(subject) == chain.end_entity.subject


@pytest.mark.parametrize("uri", ['spiffe://x";Hash=1', "spiffe://x\\", "a\r\nX: y", "a\x00b"])
def test_name_that_ends_its_own_quotes(uri: str) -> None:
    """A name that cannot stand between quotes is not written; the certificate without names is."""
    chain = PresentedChain((ROOT.issue_client("frodo", uris=[uri]).der,), Possession.TLS)
    with pytest.raises(MalformedEvidence, match="names=True"):
        emit_xfcc(chain, [], names=True)
    assert ENVOY.read(emit_xfcc(chain, []), peer=PROXY) == PresentedChain(chain.ders, Possession.PROXY)


def test_name_that_cannot_be_read() -> None:
    """One name that cannot be read is not left out of the names without a word."""
    san = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), b"\x30\x03\x82\x01\xff")
    made = ROOT.issue_client("frodo", extensions=[san])
    with pytest.raises(MalformedEvidence, match="cannot be read"):
        emit_xfcc(PresentedChain((made.der,), Possession.TLS), [], names=True)


chains = st.lists(st.sampled_from([FRODO.der, SAM.der, ISSUING.der, ROOT.der]), min_size=1, max_size=4, unique=True)
SENT = ["EVIL", "", "close", "client-cert", "x-forwarded-client-cert"]
inbound = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(SENT)))


@given(chains, inbound)
def test_emit_and_parse_are_inverse(ders: list[bytes], headers: list[tuple[str, str]]) -> None:
    """Whatever the client sent besides, what is read is the chain that was written, by both formats."""
    shown = PresentedChain(tuple(ders), Possession.TLS)
    for source, emitted in (
        (RFC9440, emit_rfc9440(shown, headers, chain=True)),
        (ENVOY, emit_xfcc(shown, headers, chain=True, names=True, by="spiffe://a/b")),
    ):
        assert source.read(emitted, peer=PROXY) == PresentedChain(shown.ders, Possession.PROXY)
    for source, emitted in ((RFC9440, emit_rfc9440(None, headers)), (ENVOY, emit_xfcc(None, headers))):
        assert source.read(emitted, peer=PROXY) is None


def test_emitted_chain_is_admitted_behind() -> None:
    """From the handshake through the header to the verifier behind: the same peer, with possession PROXY."""
    chain = RFC9440.read(emit_rfc9440(admitted(Possession.TLS), [], chain=True), peer=PROXY)
    assert chain is not None
    behind = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.certificate]), policy=policies.CommonName("frodo"))
    assert behind.verify(chain).possession is Possession.PROXY


def test_response_in_a_shared_cache() -> None:
    """RFC 9440, 2.4: what depends on a certificate is not stored, or varies by it; it is in no response itself."""
    headers: list[tuple[str | bytes, str | bytes]] = [
        ("Content-Type", "text/plain"),
        ("cache-control", "public, max-age=600"),
        (b"Client-Cert", b":AAAA:"),
    ]
    assert cache_headers(headers) == [("Content-Type", "text/plain"), ("Cache-Control", "no-store")]
    assert cache_headers([*headers, ("Vary", "Accept")], vary=True) == [
        ("Content-Type", "text/plain"),
        ("cache-control", "public, max-age=600"),
        ("Vary", "Accept"),
        ("Vary", "Client-Cert"),
    ]

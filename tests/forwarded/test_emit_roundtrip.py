"""What is emitted is read back as what it was, and of what the client wrote itself nothing is left. Properties."""

from __future__ import annotations

from functools import cache
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import Possession, PresentedChain, forwarded
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.testing import IssuedCertificate
from tests.forwarded.writing import FRODO, ISSUING, PROXY, ROOT, SAM, TRUSTED, VERIFIER, digest, element, item

RFC9440: Final = forwarded.rfc9440(trusted=TRUSTED)
XFCC: Final = forwarded.envoy(trusted=TRUSTED)
WORDS: Final = forwarded.envoy(trusted=TRUSTED, text_claims=True)

HOSTILE: Final = st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from('\\",;=+éß日')
URIS: Final = st.lists(st.text("abc/.-_;,=+%'!", min_size=1, max_size=12).map("spiffe://a/".__add__), max_size=3)


@cache
def named(common_name: str, uris: tuple[str, ...]) -> IssuedCertificate:
    """Return a certificate with such names."""
    return ISSUING.issue_client(common_name, uris=uris, dns=["a.test"])


CHAINS: Final = st.builds(
    lambda first, rest: PresentedChain(tuple(dict.fromkeys([first, *rest])), Possession.TLS),
    st.sampled_from([FRODO.der, SAM.der, ISSUING.der]),
    st.lists(st.sampled_from([FRODO.der, SAM.der, ISSUING.der, ROOT.der]), max_size=5),
)
NAMES: Final = st.sampled_from(
    [
        *("Client-Cert", "client_cert", "CLIENT-CERT-CHAIN", "client.cert.chain", "X-Forwarded-Client-Cert"),
        *("x_forwarded_client_cert", "X-Forwarded_Client-Cert", "Connection", "Trailer", "Host", "accept", "X-Other"),
    ]
)
VALUES: Final = st.sampled_from(
    [
        *("", "close", "client-cert", "X_Forwarded_Client_Cert, close", "Client-Cert-Chain", "keep-alive", "a.test"),
        *(item(SAM.der), element(SAM.der), f"{item(SAM.der)}, {item(ISSUING.der)}", "By=a,"),
    ]
)
INBOUND: Final = st.lists(st.tuples(NAMES, VALUES), max_size=6)


@given(CHAINS, INBOUND, st.booleans())
def test_rfc9440_is_read_as_it_was_emitted(
    chain: PresentedChain, inbound: list[tuple[str, str]], with_chain: bool
) -> None:
    """Whatever the client sent: what is read is what was emitted, with possession PROXY."""
    emitted = forwarded.emit_rfc9440(chain, inbound, chain=with_chain)
    read = RFC9440.read(emitted, peer=PROXY)
    assert read == PresentedChain(chain.ders if with_chain else chain.ders[:1], Possession.PROXY)


@given(CHAINS, INBOUND, st.booleans(), st.sampled_from([None, "spiffe://a/proxy"]))
def test_xfcc_is_read_as_it_was_emitted(
    chain: PresentedChain, inbound: list[tuple[str, str]], with_chain: bool, by: str | None
) -> None:
    """Whatever the client sent, elements of its own among it: one element, the one that is emitted."""
    emitted = forwarded.emit_xfcc(chain, inbound, by=by, chain=with_chain)
    read = XFCC.read(emitted, peer=PROXY)
    assert read == PresentedChain(chain.ders if with_chain else chain.ders[:1], Possession.PROXY)


@given(st.text(HOSTILE, min_size=1, max_size=16).filter(str.strip), URIS)
def test_attack_hostile_names_neither_break_nor_change_what_is_emitted(common_name: str, uris: list[str]) -> None:
    """Quotes, backslashes and delimiters in names stay text: the certificate and each name are read as they are."""
    client = named(common_name, tuple(uris))
    chain = PresentedChain((client.der, ISSUING.der), Possession.TLS)
    emitted = forwarded.emit_xfcc(chain, [], chain=True, names=True)
    read = XFCC.read(emitted, peer=PROXY)
    assert read is not None
    assert read.ders == chain.ders
    ((name, value),) = emitted
    _, rest = value.split(";Subject=", 1)
    words = WORDS.request([(name, f"Hash={digest(client.der)};Subject={rest}")], peer=PROXY).claims
    assert words is not None
    assert words.sha256 == digest(client.der)
    assert (words.uris, words.dns_names) == (tuple(uris), ("a.test",))


@given(INBOUND)
def test_without_a_certificate_nothing_is_left(inbound: list[tuple[str, str]]) -> None:
    """A client without certificate is one to the reader too, whatever it wrote into its request."""
    assert RFC9440.read(forwarded.emit_rfc9440(None, inbound), peer=PROXY) is None
    assert XFCC.read(forwarded.emit_xfcc(None, inbound), peer=PROXY) is None


@given(CHAINS, INBOUND)
def test_what_is_no_business_of_ours_stays(chain: PresentedChain, inbound: list[tuple[str, str]]) -> None:
    """Other fields are forwarded as they came, in their order."""
    others = [field for field in inbound if field[0] in {"Host", "accept", "X-Other"}]
    emitted = forwarded.emit_xfcc(chain, inbound)
    assert [field for field in emitted if field[0] in {"Host", "accept", "X-Other"}] == others


def test_what_was_emitted_is_verified_at_the_other_end() -> None:
    """A peer that is admitted here is admitted behind the next hop, with possession PROXY."""
    chain = PresentedChain((FRODO.der, ISSUING.der), Possession.TLS)
    for emitted, source in (
        (forwarded.emit_rfc9440(VERIFIER.verify(chain), [], chain=True), RFC9440),
        (forwarded.emit_xfcc(VERIFIER.verify(chain), [], chain=True), XFCC),
    ):
        read = source.read(emitted, peer=PROXY)
        assert read is not None
        peer = VERIFIER.verify(read)
        assert (peer.common_name, peer.possession) == ("frodo", Possession.PROXY)


def test_emitted_twice_is_refused_by_the_reader() -> None:
    """Two copies are nobody's word, also where a program of ours has written both."""
    emitted = forwarded.emit_xfcc(PresentedChain((FRODO.der,), Possession.TLS), [])
    with pytest.raises(MalformedEvidence) as caught:
        XFCC.read([*emitted, *emitted], peer=PROXY)
    assert caught.value.code == "forwarded.duplicate"

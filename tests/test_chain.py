"""Presented chains: bytes with a provenance, within limits that are held before anything is verified."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy._chain import DEFAULT_LIMITS, Limits, Possession, PresentedChain
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.testing import CertificateAuthority, broken

ROOT = CertificateAuthority()
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client")
DERS = (LEAF.der, ISSUING.der)


@pytest.mark.parametrize(
    "data",
    [
        LEAF.chain_pem,
        bytearray(LEAF.chain_pem),
        memoryview(LEAF.chain_pem),
        LEAF.chain,
        list(LEAF.chain),
        DERS,
        [LEAF.certificate, ISSUING.der],
        [LEAF.certificate_pem, ISSUING.pem],
        iter(DERS),
        PresentedChain(DERS),
    ],
)
def test_every_form_of_a_chain_is_the_same_chain(data: Any) -> None:
    """PEM or DER bytes, `cryptography` certificates and sequences of them all give the DERs, end entity first."""
    chain = PresentedChain.parse(data)
    assert chain.ders == DERS
    assert chain.end_entity.der == LEAF.der
    assert tuple(one.certificate for one in chain.certificates) == LEAF.chain


@pytest.mark.parametrize("data", [LEAF.der, LEAF.certificate, LEAF.certificate_pem, (LEAF.der,)])
def test_one_certificate_is_a_chain(data: Any) -> None:
    """A client that sends its leaf alone has presented a chain."""
    assert PresentedChain.parse(data).ders == (LEAF.der,)


def test_duplicates_are_left_out() -> None:
    """A certificate that is sent twice counts once, so that repetition makes no other cache key."""
    assert PresentedChain.parse([LEAF.der, ISSUING.der, LEAF.der, ISSUING.der] * 5).ders == DERS


def test_possession_is_none_unless_somebody_saw_it() -> None:
    """Bytes alone prove nothing; a chain that says who saw the proof keeps saying it."""
    assert PresentedChain.parse(LEAF.der).possession is Possession.NONE
    assert PresentedChain.parse(LEAF.der, possession=Possession.PROXY).possession is Possession.PROXY
    seen = PresentedChain(DERS, Possession.TLS)
    assert PresentedChain.parse(seen) is seen
    assert PresentedChain.parse(seen, possession=Possession.NONE).possession is Possession.TLS


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"-----BEGIN X-----", "has no END line"),
        (LEAF.chain_pem + LEAF.key_pem, "'PRIVATE KEY' where only certificates belong"),
        ("text", "text where bytes belong"),
        (["text"], "text where bytes belong"),
        (None, "a NoneType is not a certificate chain"),
        (7, "a int is not a certificate chain"),
        (Path("chain.pem"), r"Path is not a certificate chain: give its content, path.read_bytes\(\)"),
        ([7], "a int is not a certificate chain"),
        ([[LEAF.der]], "a sequence inside the sequence"),
        ([DERS], "a sequence inside the sequence"),
        ([], "no certificate in what was presented"),
        ((), "no certificate in what was presented"),
        (PresentedChain(()), "no certificate in what was presented"),
    ],
)
def test_what_is_no_chain_is_malformed(data: Any, says: str) -> None:
    """Something else than certificates is `MalformedEvidence`, never a chain without them."""
    with pytest.raises(MalformedEvidence, match=says) as caught:
        PresentedChain.parse(data)
    assert caught.value.code == "chain.malformed"


def test_rubbish_is_a_chain_until_it_is_read() -> None:
    """Bytes are counted here and read later: only then do they turn out to be no certificate."""
    chain = PresentedChain.parse(b"rubbish")
    with pytest.raises(MalformedEvidence):
        _ = chain.end_entity.layout


def test_limits_are_held_before_anything_is_parsed() -> None:
    """Seven certificates, one over 16 KiB, or 64 KiB in all are refused although none of it is a certificate."""
    assert PresentedChain.parse([bytes([i]) for i in range(6)]).ders[5] == b"\x05"
    with pytest.raises(MalformedEvidence, match="7 certificates presented; at most 6") as caught:
        PresentedChain.parse([bytes([i]) for i in range(7)])
    assert caught.value.code == "chain.too-large"
    assert len(PresentedChain.parse(bytes(16 * 1024)).ders) == 1
    with pytest.raises(MalformedEvidence, match="a certificate of 16385 bytes; at most 16384"):
        PresentedChain.parse(bytes(16 * 1024 + 1))
    whole = [bytes([i]) * (16 * 1024) for i in range(4)]
    assert len(PresentedChain.parse(whole).ders) == 4
    with pytest.raises(MalformedEvidence, match="certificates of 65537 bytes; at most 65536"):
        PresentedChain.parse([*whole, b"x"])
    with pytest.raises(MalformedEvidence, match="at most 16384"):
        PresentedChain.parse(broken("oversized", ROOT).certificate_pem)


def test_limits_hold_for_a_chain_that_was_built_elsewhere() -> None:
    """A `PresentedChain` from another way in is held to the limits of the verifier that judges it."""
    chain = PresentedChain(DERS)
    assert PresentedChain.parse(chain, limits=Limits(certificates=2)) is chain
    with pytest.raises(MalformedEvidence, match="2 certificates presented; at most 1"):
        PresentedChain.parse(chain, limits=Limits(certificates=1))


def test_the_default_limits_are_those_of_the_documentation() -> None:
    """6 certificates, a path of 4, 16 KiB each and 64 KiB in all, 128 names, 8 paths."""
    assert Limits() == DEFAULT_LIMITS
    assert (DEFAULT_LIMITS.certificates, DEFAULT_LIMITS.path, DEFAULT_LIMITS.names) == (6, 4, 128)
    assert (DEFAULT_LIMITS.certificate_bytes, DEFAULT_LIMITS.chain_bytes) == (16384, 65536)
    assert DEFAULT_LIMITS.paths == 8


@pytest.mark.parametrize("value", [0, -1, 1.5, "6", None, True])
@pytest.mark.parametrize("name", ["certificates", "path", "certificate_bytes", "chain_bytes", "names", "paths"])
def test_a_limit_that_limits_nothing_or_everything_is_refused(name: str, value: Any) -> None:
    """A limit is a whole number of at least one, said at construction."""
    with pytest.raises(ConfigurationError, match=f"Limits\\({name}="):
        Limits(**{name: value})


def test_a_path_has_two_certificates_at_least() -> None:
    """With a limit of one certificate in a path nobody could ever be admitted."""
    assert Limits(path=2).path == 2
    with pytest.raises(ConfigurationError, match="at least 2"):
        Limits(path=1)


def test_a_chain_is_a_value() -> None:
    """A chain is equal by content, hashable, and survives pickling: it proves nothing."""
    chain = PresentedChain(DERS, Possession.TLS)
    assert pickle.loads(pickle.dumps(chain)) == chain  # noqa: S301 - our own bytes
    assert len({chain, PresentedChain(DERS, Possession.TLS), PresentedChain(DERS)}) == 2


@given(st.one_of(st.binary(max_size=200), st.lists(st.binary(max_size=50), max_size=9)))
def test_any_bytes_give_a_chain_or_malformed_evidence(data: Any) -> None:
    """Any bytes give a chain within the limits or one of our errors, nothing else."""
    try:
        chain = PresentedChain.parse(data)
    except MalformedEvidence as error:
        assert error.code in {"chain.malformed", "chain.too-large"}  # noqa: PT017 - some bytes are chains
    else:
        assert 1 <= len(chain.ders) <= 6
        assert len(set(chain.ders)) == len(chain.ders)


def test_a_certificate_of_cryptography_keeps_its_bytes() -> None:
    """DER goes in and comes out without being encoded again, a non-canonical key included."""
    issued = broken("compressed-point", ROOT)
    assert PresentedChain.parse(x509.load_der_x509_certificate(issued.der)).ders == (issued.der,)


def test_a_chain_limit_below_that_of_one_certificate_holds() -> None:
    """Size and number are looked at together first, which passes nothing that is outside one of the limits."""
    for limits in (
        Limits(certificate_bytes=100, chain_bytes=50), Limits(certificate_bytes=50, chain_bytes=100),
        Limits(certificates=1), Limits(),
    ):  # fmt: skip
        for sizes in ((40,), (50,), (51,), (40, 40), (50, 50), (51, 50), (100,), (101,), (20, 20, 10), (1,) * 7):
            chain = PresentedChain(tuple(bytes([number]) * size for number, size in enumerate(sizes)))
            if (
                len(sizes) <= limits.certificates
                and max(sizes) <= limits.certificate_bytes
                and sum(sizes) <= limits.chain_bytes
            ):
                assert PresentedChain.parse(chain, limits=limits) is chain
                continue
            assert not limits.surely_hold(chain.ders)
            with pytest.raises(MalformedEvidence, match="at most"):
                PresentedChain.parse(chain, limits=limits)


@pytest.mark.parametrize(
    "data",
    [
        [LEAF.der, LEAF.der],
        [LEAF.der, ISSUING.pem],
        [LEAF.certificate_pem, ISSUING.der],
        [LEAF.der, ISSUING.certificate],
        [ISSUING.certificate, LEAF.der],
        (LEAF.der, ISSUING.der),
        [LEAF.der],
        [LEAF.der, ISSUING.der, ROOT.der],
    ],
)
def test_two_certificates_are_read_as_any_number_is(data: Any) -> None:
    """The usual pair is taken as it is; a twin, PEM, another sequence or number comes to the same."""
    parsed = [PresentedChain.parse([one]).ders[0] for one in data]
    assert PresentedChain.parse(data).ders == tuple(dict.fromkeys(parsed))

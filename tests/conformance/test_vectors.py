"""Every certificate of the cryptography_vectors package, thrown at every entry point: a value or an error of ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from mtlspolicy import (
    Limits,
    MTLSPolicyError,
    PathProfile,
    PresentedChain,
    TrustStore,
    Verdict,
    Verifier,
    policies,
    tls,
)
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy.testing import CertificateAuthority

cryptography_vectors = pytest.importorskip("cryptography_vectors", reason="cryptography-vectors is not installed")

FOLDER: Final = Path(str(cryptography_vectors.__file__)).parent / "x509"
FILES: Final = sorted([*FOLDER.rglob("*.pem"), *FOLDER.rglob("*.der")])
WIDE: Final = Limits(certificates=1000, certificate_bytes=2**20, chain_bytes=2**24, names=100_000, path=10)
AT: Final = datetime(2015, 1, 1, tzinfo=UTC)
ROOT: Final = CertificateAuthority()
LEAF: Final = ROOT.issue_client("client")
PROPERTIES: Final = sorted(
    name for name, value in vars(ParsedCertificate).items() if not name.startswith("_") and not callable(value)
)
EXTENSIONS: Final = (x509.BasicConstraints, x509.NameConstraints, x509.SubjectAlternativeName, x509.ExtendedKeyUsage)

ENTRIES: Final[dict[str, Callable[[bytes], object]]] = {
    "PresentedChain.parse": PresentedChain.parse,
    "TrustStore.from_pem": TrustStore.from_pem,
    "TrustStore.from_pem, all": lambda data: TrustStore.from_pem(data, anchors="all"),
    "TrustStore, anchor": lambda data: TrustStore(anchors=[data]),
    "TrustStore, intermediate": lambda data: TrustStore(anchors=[ROOT.der], intermediates=[data]),
    "TrustStore, peer": lambda data: TrustStore(peers=[data]),
    "TrustStore, distrusted": lambda data: TrustStore(anchors=[ROOT.der], distrusted=[data]),
    "IssuerPin.of": policies.IssuerPin.of,
    "IssuerDN.of": policies.IssuerDN.of,
    "SPKIPin.of": policies.SPKIPin.of,
    "CertificatePin.of": policies.CertificatePin.of,
    "CommonName.of": policies.CommonName.of,
    "SubjectDN.of": policies.SubjectDN.of,
    "DNSName.of": policies.DNSName.of,
    "IPAddressName.of": policies.IPAddressName.of,
    "EmailName.of": policies.EmailName.of,
    "URIName.of": policies.URIName.of,
    "SerialNumbers": lambda data: policies.SerialNumbers(issuer=data, serials={0x51}),
    "Credential.from_pem, chain": lambda data: tls.Credential.from_pem(data, LEAF.key_pem),
    "Credential.from_pem, key": lambda data: tls.Credential.from_pem(LEAF.chain_pem, data),
}
"""What takes the bytes of certificates."""


def test_the_vectors_are_there() -> None:
    """Some two hundred files; were the folder empty, every other test here would pass."""
    assert len(FILES) > 200


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_point_gives_a_value_or_an_error_of_ours(entry: str) -> None:
    """Each file gives a value or an `MTLSPolicyError`: no exception of another library, and no warning."""
    refused = 0
    for file in FILES:
        try:
            value = ENTRIES[entry](file.read_bytes())
        except MTLSPolicyError as error:
            refused += 1
            assert str(error), file.name  # noqa: PT017 - which of them fail differs
        else:
            assert value is not None, file.name
    assert refused > 0, "some of the files are no certificates"
    assert refused < len(FILES) or entry.startswith("Credential"), "some are, and the key belongs to none of them"


def test_every_part_of_every_certificate_is_a_value_or_malformed_evidence() -> None:
    """Properties and extensions that fail late fail as ours do."""
    read = 0
    for certificate in _certificates():
        for name in PROPERTIES:
            read += _reads(partial(getattr, certificate, name))
        for kind in EXTENSIONS:
            read += _reads(partial(certificate.extension, kind))
        assert str(certificate).isprintable()
    assert read > 2000


def _certificates() -> list[ParsedCertificate]:
    found: list[ParsedCertificate] = []
    for file in FILES:
        try:
            found += PresentedChain.parse(file.read_bytes(), limits=WIDE).certificates
        except MTLSPolicyError:
            continue
    return found


def _reads(read: Callable[[], object]) -> bool:
    try:
        read()
    except MTLSPolicyError:
        return False
    return True


@pytest.mark.parametrize("profile", PathProfile)
def test_every_file_as_a_peer_is_decided(profile: PathProfile) -> None:
    """Judged as a peer, against a store of ours and against one made of the file itself, each file gets its code."""
    ours = TrustStore(anchors=[ROOT.der])
    for file in FILES:
        data = file.read_bytes()
        for trust in (ours, _store(data)):
            for verifier in _verifiers(trust, profile):
                decision = verifier.decide(data, at=AT)
                assert decision.verdict is not Verdict.PERMIT or trust is not ours, file.name
                assert decision.code not in {"path.error", "policy.error"}, f"{file.name}: {decision.detail}"
                assert decision.explain().replace("\n", "").isprintable(), file.name


def _store(data: bytes) -> TrustStore:
    try:
        return TrustStore.from_pem(data, anchors="all")
    except MTLSPolicyError:
        return TrustStore(anchors=[ROOT.der])


def _verifiers(trust: TrustStore, profile: PathProfile) -> list[Verifier]:
    if profile is PathProfile.DIRECT and trust.direct_problem is not None:
        return []
    servers = Verifier.for_servers(trust=trust, expected="cryptography.io", profile=profile, limits=WIDE)
    if trust.is_public:
        return [servers]
    return [servers, Verifier.for_clients(trust=trust, policy=policies.Anyone(), profile=profile, limits=WIDE)]

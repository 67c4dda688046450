"""Attacks through addresses in certificates (SSRF): issuers, CRLs and OCSP responders that a peer names."""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from mtlspolicy import Policy, TrustStore, VerificationError, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

ROOT = CertificateAuthority("Root")
ISSUING = ROOT.intermediate("Issuing")
PATHS = (
    "http://127.0.0.1:{}/",
    "https://127.0.0.1:{}/",
    "ldap://127.0.0.1:{}/cn=x?userCertificate;binary",
    "file:///{}",
)
ASKING = {
    "names only": policies.Anyone(),
    "ocsp": policies.Anyone() & policies.NotRevoked(),
    "crl": policies.Anyone() & policies.NotRevoked("crl"),
    "soft": policies.Anyone() & policies.NotRevoked("either", soft=True),
    "declared": policies.Anyone() & policies.NotRevoked("declared"),
}


def _pointing_to(port: int) -> IssuedCertificate:
    """Return a client's certificate that names one server in every way that a certificate can."""
    names = [x509.UniformResourceIdentifier(path.format(port)) for path in PATHS]
    methods = (AuthorityInformationAccessOID.CA_ISSUERS, AuthorityInformationAccessOID.OCSP)
    return ISSUING.issue_client(
        "frodo",
        extensions=[
            x509.AuthorityInformationAccess(
                [x509.AccessDescription(method, name) for method in methods for name in names]
            ),
            x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)]),
        ],
    )


def _asked(listener: socket.socket) -> bool:
    listener.settimeout(0.0)
    try:
        listener.accept()
    except BlockingIOError:
        return False
    return True


@pytest.mark.parametrize("policy", ASKING.values(), ids=ASKING)
def test_addresses_in_a_certificate_are_not_asked_without_a_resolver(policy: Policy, tmp_path: Path) -> None:
    """No issuer, CRL or response is fetched, offline or in a handshake, where nobody passed a resolver."""
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[ROOT.der]), policy=policy)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = _pointing_to(listener.getsockname()[1])
        verifier.decide(client.chain_pem)
        with pytest.raises(VerificationError) as caught:
            verifier.verify(client.der)  # its issuer is missing, and the certificate says where to get it
        assert caught.value.code == "path.no-issuer"
        issued = ROOT.issue_server("localhost")
        server = tls.server_context(credential=tls.Credential.of(issued.chain, issued.key), verifier=verifier)
        own = ssl.create_default_context(cadata=ROOT.pem.decode())
        own.load_cert_chain(*client.files(tmp_path))
        _meet(server, own)
        assert not _asked(listener)
        with socket.create_connection(listener.getsockname()):
            assert _asked(listener)  # somebody who comes would be seen


def _meet(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Shake hands in memory, as far as the policy lets them."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    with contextlib.suppress(tls.HandshakeRejected):
        for end in ends * 2:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()

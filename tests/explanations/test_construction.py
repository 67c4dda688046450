"""What a broken set-up is told when it is built: the file or value, the rule that it breaks, and the remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mtlspolicy import ConfigurationError, PathProfile, ReferenceIdentifier, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, broken


class Setup:
    """A working set-up on disk, for each case to break."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = CertificateAuthority()
        self.issuing = self.root.intermediate("mtlspolicy TEST CA issuing")
        self.client = self.issuing.issue_client("frodo")
        self.server = self.issuing.issue_server("localhost")
        self.trust = TrustStore(anchors=[self.root.certificate])

    def file(self, name: str, data: bytes) -> Path:
        """Write *data* to a file and return its path."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def lone(self, fault: str) -> IssuedCertificate:
        """Return a certificate with *fault*."""
        return broken(fault, self.root)

    def serve(self, issued: IssuedCertificate) -> object:
        """Build a server's context with *issued*."""
        verifier = Verifier.for_clients(trust=self.trust, policy=policies.CommonName("frodo"))
        return tls.server_context(
            credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem), verifier=verifier
        )

    def dial(self, issued: IssuedCertificate) -> object:
        """Build a client's context with *issued*."""
        verifier = Verifier.for_servers(trust=self.trust, expected="localhost")
        return tls.client_context(
            credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem), verifier=verifier
        )


class Case(NamedTuple):
    """A broken set-up, and texts that the message must hold."""

    name: str
    build: Callable[[Setup], Any]
    told: tuple[str, ...]


CASES = (
    Case("missing CA file", lambda s: TrustStore.from_file(s.folder / "no.pem"), ("no.pem", "cannot be read")),
    Case("CA file is a directory", lambda s: TrustStore.from_file(s.folder), ("is a directory", ".from_directory")),
    Case("empty CA file", lambda s: TrustStore.from_file(s.file("ca.pem", b"\n")), ("ca.pem", "is empty")),
    Case(
        "CA file in DER",
        lambda s: TrustStore.from_file(s.file("ca.der", s.root.der)),
        ("ca.der", "DER", "openssl x509 -inform der"),
    ),
    Case(
        "private key in a CA file",
        lambda s: TrustStore.from_file(s.file("ca.pem", s.root.pem + s.client.key_pem)),
        ("ca.pem", "private key", "move the key away"),
    ),
    Case(
        "trusted certificate in a CA file",
        lambda s: TrustStore.from_pem(s.root.pem.replace(b" CERT", b" TRUSTED CERT")),
        ("TRUSTED CERTIFICATE", "openssl x509 -in"),
    ),
    Case(
        "leaf in a CA file",
        lambda s: TrustStore.from_file(s.file("ca.pem", s.root.pem + s.client.certificate_pem)),
        ("ca.pem", "CN=frodo", "not a CA certificate"),
    ),
    Case(
        "self-signed leaf in a CA file",
        lambda s: TrustStore.from_file(s.file("ca.pem", s.lone("self-signed").certificate_pem)),
        ("CN=client", "self-signed", "TrustStore(peers=[certificate])"),
    ),
    Case(
        "issuing CA without its root",
        lambda s: TrustStore.from_file(s.file("ca.pem", s.issuing.pem)),
        ("ca.pem", "no self-signed CA certificate", "anchors='all'"),
    ),
    Case("cut PEM", lambda s: TrustStore.from_pem(s.root.pem[:-30], source="ca.pem"), ("ca.pem", "not PEM")),
    Case("no PEM", lambda _: TrustStore.from_pem(b"hello", source="ca.pem"), ("ca.pem", "no PEM certificate")),
    Case("empty directory", lambda s: TrustStore.from_directory(s.folder), ("has no file *.pem", ".crt")),
    Case("empty trust", lambda _: TrustStore(anchors=[]), ("trust store is empty", "at least one anchor")),
    Case(
        "anchors and peers",
        lambda s: TrustStore(anchors=[s.root.certificate], peers=[s.client.certificate]),
        ("anchors or peers, not both", "two verifiers"),
    ),
    Case(
        "one certificate instead of a list",
        lambda s: TrustStore(anchors=s.root.certificate),  # type: ignore[arg-type]
        ("takes a list", "anchors=[certificate]"),
    ),
    Case(
        "leaf as anchor",
        lambda s: TrustStore(anchors=[s.client.certificate]),
        ("CN=frodo", "CA:FALSE", "TrustStore(peers=[certificate])"),
    ),
    Case(
        "CA without basicConstraints",
        lambda s: TrustStore(anchors=[s.lone("issuer-without-basic-constraints").chain[1]]),
        ("no basicConstraints", "keyCertSign"),
    ),
    Case("CA as peer", lambda s: TrustStore(peers=[s.root.certificate]), ("CA:TRUE", "openssl req -x509", "CA:FALSE")),
    Case(
        "client policy that does not identify",
        lambda s: Verifier.for_clients(trust=s.trust, policy=policies.KeyStrength()),
        ("KeyStrength", "without saying who", "policies.Anyone()"),
    ),
    Case(
        "anyone of the public CAs",
        lambda _: Verifier.for_clients(trust=TrustStore.public(), policy=policies.Anyone()),
        ("public trust store", "private CA"),
    ),
    Case(
        "a class for a policy",
        lambda s: Verifier.for_clients(trust=s.trust, policy=policies.Anyone),
        ("takes policies", "Anyone(...)"),
    ),
    Case(
        "a string for a policy",
        lambda s: Verifier.for_clients(trust=s.trust, policy="frodo"),  # type: ignore[arg-type]
        ("takes policies, not str", "predicate"),
    ),
    Case(
        "a path for a trust store",
        lambda _: Verifier.for_clients(trust="ca.pem", policy=policies.CommonName("x")),  # type: ignore[arg-type]
        ("trust is str", "TrustStore.from_file"),
    ),
    Case(
        "nothing expected of a server",
        lambda s: Verifier.for_servers(trust=s.trust, expected=()),
        ("expected= is empty", "DIALED"),
    ),
    Case(
        "wildcard expected of a server",
        lambda s: Verifier.for_servers(trust=s.trust, expected="*.a.test"),
        ("'*.a.test'", "no wildcard"),
    ),
    Case(
        "port in the expected name",
        lambda s: Verifier.for_servers(trust=s.trust, expected="a.test:443"),
        ("'a.test:443'", "no port"),
    ),
    Case("empty common name", lambda _: ReferenceIdentifier.common_name(""), ("common name is empty",)),
    Case(
        "peers under a profile of CAs",
        lambda s: Verifier.for_clients(
            trust=TrustStore(peers=[s.client.certificate]), policy=policies.CommonName("frodo")
        ),
        ("registered peers", "PathProfile.DIRECT"),
    ),
    Case(
        "constrained anchor under DIRECT",
        lambda s: Verifier.for_clients(
            trust=TrustStore(anchors=[s.lone("outside-name-constraints").chain[1]]),
            policy=policies.CommonName("frodo"),
            profile=PathProfile.DIRECT,
        ),
        ("nameConstraints", "DIRECT"),
    ),
    Case("no pin", lambda _: policies.SPKIPin(), ("SPKIPin",)),
    Case("short pin", lambda _: policies.SPKIPin("sha256/AAAA"), ("SPKIPin", "AAAA")),
    Case("SHA-1 pin", lambda _: policies.SPKIPin("sha1/" + "A" * 27 + "="), ("sha1/", "sha256/")),
    Case(
        "CIDR with host bits",
        lambda _: policies.PeerAddress("192.0.2.7/24"),
        ("192.0.2.7/24", "192.0.2.0/24"),
    ),
    Case(
        "serial number without a mark",
        lambda s: policies.SerialNumbers(issuer=s.issuing.certificate, serials={"51"}),
        ("51", "0x51", "0x33"),
    ),
    Case("pattern that cannot compile", lambda _: policies.CommonName.matching("[0-9"), ("[0-9",)),
    Case("pattern that matches everything", lambda _: policies.CommonName.matching(".*"), (".*",)),
    Case("pattern with inline flags", lambda _: policies.CommonName.matching("(?i)frodo"), ("(?i)frodo", "casefold")),
    Case(
        "CA file of something else",
        lambda s: TrustStore.from_file(s.file("ca.pem", b"hello\n")),
        ("ca.pem", "-----BEGIN CERTIFICATE-----"),
    ),
    Case(
        "pin file of something else",
        lambda s: policies.IssuerPin.from_file(s.file("pin.pem", b"hello\n")),
        ("pin.pem", "-----BEGIN CERTIFICATE-----"),
    ),
    Case("DN that is none", lambda _: policies.SubjectDN("nonsense"), ("RFC 4514", "'CN=frodo,O=Example'")),
    Case(
        "URL as a server's identity",
        lambda s: Verifier.for_servers(trust=s.trust, expected="https://user@api.test:8443/x"),
        ("https://user@api.test:8443/x", "host name alone", "'api.test'"),
    ),
    Case(
        "no policy",
        lambda s: Verifier.for_clients(trust=s.trust, policy=None),  # type: ignore[arg-type]  # what is refused
        ("policies.CommonName('frodo')", "policies.Anyone()"),
    ),
    Case("DN in slash form", lambda _: policies.SubjectDN("/CN=a/O=b"), ("slash form", "-nameopt RFC2253")),
    Case("DN with an unknown attribute", lambda _: policies.SubjectDN("CNN=a"), ("'CNN'", "dotted OID")),
    Case(
        "negated pin",
        lambda s: ~policies.IssuerPin(s.issuing.certificate),
        ("Not(IssuerPin)", "distrusted=[certificate]", "policies.Blocked"),
    ),
    Case("empty combination", lambda _: policies.AllOf(), ("AllOf without a clause", "Anyone()")),
    Case(
        "count beyond the clauses",
        lambda _: policies.AtLeast(3, policies.CommonName("a"), policies.CommonName("b")),
        ("AtLeast(3", "the count is from 1 to that"),
    ),
    Case(
        "coroutine as predicate",
        lambda _: policies.predicate("acme.slow")(_slow),
        ("acme.slow", "lookup"),
    ),
    Case(
        "key of another certificate",
        lambda s: tls.Credential.from_files(
            s.file("server.pem", s.server.chain_pem), s.file("client.key", s.client.key_pem)
        ),
        ("server.pem", "client.key", "CN=localhost"),
    ),
    Case(
        "encrypted key without password",
        lambda s: tls.Credential.from_files(
            s.file("server.pem", s.server.chain_pem), s.file("server.key", s.server.encrypted_key_pem(b"secret"))
        ),
        ("server.key", "encrypted", "password="),
    ),
    Case(
        "encrypted key with a wrong password",
        lambda s: tls.Credential.from_files(
            s.file("server.pem", s.server.chain_pem),
            s.file("server.key", s.server.encrypted_key_pem(b"secret")),
            password="guess",
        ),
        ("server.key", "password"),
    ),
    Case(
        "certificate and key files swapped",
        lambda s: tls.Credential.from_files(
            s.file("server.pem", s.server.key_pem), s.file("server.key", s.server.chain_pem)
        ),
        ("server.pem", "server.key"),
    ),
    Case("client certificate on a server", lambda s: s.serve(s.client), ("CN=frodo", "serverAuth")),
    Case(
        "server certificate on a client",
        lambda s: s.dial(s.server),
        ("CN=localhost", "clientAuth", "public CAs no longer issue certificates for clients"),
    ),
    Case(
        "verifier of servers in a server",
        lambda s: tls.server_context(
            credential=tls.Credential.from_pem(s.server.chain_pem, s.server.key_pem),
            verifier=Verifier.for_servers(trust=s.trust, expected="localhost"),
        ),
        ("verifier of servers", "Verifier.for_clients"),
    ),
)


async def _slow(evidence: object) -> bool:
    return bool(evidence)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_message_names_the_thing_the_rule_and_the_remedy(case: Case, tmp_path: Path) -> None:
    """A set-up that can never be right is refused when it is built, by a message that lets one mend it."""
    with pytest.raises(ConfigurationError) as raised:
        case.build(Setup(tmp_path))
    message = str(raised.value)
    assert [told for told in case.told if told not in message] == [], message
    assert message.isprintable()


def test_there_are_forty_broken_setups() -> None:
    """The table is the promise that explanations are looked after: at least 40 set-ups, all with names of their own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 40

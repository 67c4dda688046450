"""The certificates, stores and policies that the rows share. Nothing here is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509

from mtlspolicy import Policy, TrustStore, policies, testing
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

P256, RSA = "ec-p256", "rsa-2048"
LABELS = {P256: "P-256", RSA: "RSA"}
HOST = "server.test"


@dataclass(frozen=True, slots=True)
class Pki:
    """Root, issuing CA, one server and several clients, all with keys of one kind.

    Attributes:
        kind: ``ec-p256`` or ``rsa-2048``.
        root: The only anchor.
        issuing: Issues server and clients; every peer presents it.
        server: For ``server.test``.
        clients: ``CN=client-0000`` and so on.
    """

    kind: str
    root: CertificateAuthority
    issuing: CertificateAuthority
    server: IssuedCertificate
    clients: tuple[IssuedCertificate, ...]

    @classmethod
    def new(cls, kind: str, clients: int) -> Pki:
        """Return a fresh one. RSA keys come from a pool, since making one takes longer than most rows."""
        root = CertificateAuthority("bench root", key=testing.pooled_key(kind, 1))
        issuing = root.intermediate("bench issuing CA", key=testing.pooled_key(kind, 2))
        server = issuing.issue_server(HOST, key=testing.pooled_key(kind, 3))
        leaves = tuple(
            issuing.issue_client(
                f"client-{number:04}", dns=[f"client-{number:04}.test"], key=testing.pooled_key(kind, 4 + number % 4)
            )
            for number in range(clients)
        )
        return cls(kind, root, issuing, server, leaves)

    @property
    def label(self) -> str:
        """The kind as the table names it."""
        return LABELS[self.kind]

    @property
    def store(self) -> TrustStore:
        """A new store with the root as its anchor."""
        return TrustStore(anchors=[self.root.certificate])

    def chain(self, client: IssuedCertificate) -> list[bytes]:
        """Return what *client* presents: its certificate and the issuing CA's, DER."""
        return [client.der, self.issuing.der]

    def six_policies(self) -> Policy:
        """Return six clauses of our own that permit every client."""
        issuer = self.issuing.certificate
        return (
            policies.CommonName([f"client-{number:04}" for number in range(len(self.clients))])
            & policies.IssuerPin(issuer)
            & policies.Blocked(issuer=issuer, serials={0x51, 0x52})
            & policies.ExtendedKeyUsage("clientAuth")
            & policies.KeyStrength()
            & policies.MaxLifetime(timedelta(days=30))
        )

    @contextmanager
    def files(self) -> Iterator[dict[str, str]]:
        """Lend the paths of PEM files for programs that take nothing else."""
        with TemporaryDirectory(prefix="mtlspolicy-bench-") as directory:
            chain, key = self.server.files(directory, name="server")
            client_chain, client_key = self.clients[0].files(directory, name="client")
            root, issuing = Path(directory, "root.pem"), Path(directory, "issuing.pem")
            root.write_bytes(self.root.pem)
            issuing.write_bytes(self.issuing.pem)
            yield {
                "server": str(chain), "server_key": str(key), "client": str(client_chain),
                "client_key": str(client_key), "root": str(root), "issuing": str(issuing),
            }  # fmt: skip


def signature_verification(issuer: x509.Certificate, certificate: x509.Certificate) -> None:
    """Verify one signature and nothing else: the physical limit of a path of two."""
    certificate.verify_directly_issued_by(issuer)

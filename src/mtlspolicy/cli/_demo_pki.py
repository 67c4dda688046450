"""The certificates of ``demo`` and ``serve``, made in memory: a root, two issuing CAs, a server and the clients.

Keys of CAs never leave memory. The policy admits two common names, issued by the first of the two CAs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509

from mtlspolicy._policy import Policy
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.cli._ca import Authority, Wanted, alternative_names, issue, key_pem, make_issuing, make_root, pem_of
from mtlspolicy.policies import CommonName, IssuerPin
from mtlspolicy.testing._keys import PrivateKey, generate_key
from mtlspolicy.tls import Credential

ALLOWED: Final = ("frodo", "sam")
_LIFE: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Identity:
    """A chain and its private key, in memory.

    Attributes:
        chain: The end entity's certificate and the CAs below the root that it sends.
        key: The private key.
    """

    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False, compare=False)

    @property
    def credential(self) -> Credential:
        """Both, for a context."""
        return Credential.of(self.chain, self.key)

    @property
    def chain_pem(self) -> bytes:
        """The chain, PEM."""
        return pem_of(*self.chain)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8 PEM, not encrypted."""
        return key_pem(self.key)


class DemoPKI:
    """A root, two issuing CAs and a server's identity; clients are issued on demand.

    Attributes:
        root: The root, which everybody trusts.
        accepted: The issuing CA whose clients are meant.
        other: Another issuing CA below the same root.
        server: Identity of the server: localhost and 127.0.0.1.
    """

    def __init__(self) -> None:
        self._now = datetime.now(UTC).replace(microsecond=0)
        until = self._now + _LIFE
        self.root = make_root("Demo Root", until=until)
        self.accepted = make_issuing(self.root, "Demo Issuing CA 1", until=until)
        self.other = make_issuing(self.root, "Demo Issuing CA 2", until=until)
        names = alternative_names(dns=["localhost"], ips=["127.0.0.1"])
        self.server = self._issued(self.other, Wanted("server", "localhost", names, self._valid()))

    def _valid(self) -> tuple[datetime, datetime]:
        return self._now - timedelta(hours=1), self._now + _LIFE - timedelta(hours=1)

    def _issued(self, authority: Authority, wanted: Wanted) -> Identity:
        key = generate_key("ec-p256")
        return Identity((issue(authority, wanted, key.public_key()), *authority.chain), key)

    def client(self, name: str, authority: Authority | None = None) -> Identity:
        """Return a client called *name*, issued by *authority*; by the accepted CA where none is given."""
        return self._issued(authority or self.accepted, Wanted("client", name, (), self._valid()))

    def expired_client(self, name: str) -> Identity:
        """Return a client of the accepted CA whose certificate ended yesterday."""
        ended = self._now - timedelta(days=1)
        return self._issued(self.accepted, Wanted("client", name, (), (ended - timedelta(days=90), ended)))

    def self_signed_client(self, name: str) -> Identity:
        """Return a client whose certificate nobody but itself has signed."""
        # A root's name and key under a client's certificate: issuer and subject are one, and so are their keys.
        itself = make_root(name, until=self._now + _LIFE)
        wanted = Wanted("client", name, (), self._valid())
        return Identity((issue(itself, wanted, itself.key.public_key()),), itself.key)

    @property
    def trust_pem(self) -> bytes:
        """The root, PEM: what both sides trust."""
        return pem_of(self.root.certificate)

    def policy(self, *names: str) -> Policy:
        """Return the policy that admits clients of the accepted CA with one of *names*."""
        return CommonName(*names) & IssuerPin(self.accepted.certificate)


class Desk:
    """Where the current policy lies: the server asks for it at every handshake, so that a change counts at once."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def __call__(self) -> Policy:
        """Return the current policy."""
        return self.policy


def verifier_for(pki: DemoPKI, desk: Desk) -> Verifier:
    """Return the server's verifier: clients of *pki*, as *desk* says now."""
    return Verifier.for_clients(trust=TrustStore.from_pem(pki.trust_pem, source="the demo's root"), policy=desk)

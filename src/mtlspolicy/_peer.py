"""The admitted peer: one identity object, whatever the way in. Only a verifier makes one, and only on a PERMIT."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final, NoReturn, Self

from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._decision import Context, Decision, Verdict
from mtlspolicy._evidence import Connection, Evidence
from mtlspolicy._path_diagnosis import validity_refusal
from mtlspolicy._policy import Policy, decide, require_policy
from mtlspolicy.errors import PathValidationError, PolicyDenied, PolicyIndeterminate

if TYPE_CHECKING:
    from cryptography import x509

    from mtlspolicy._certificate import ParsedCertificate
    from mtlspolicy._identifiers import IPAddress
    from mtlspolicy._names import DistinguishedName
    from mtlspolicy._path_value import CertificationPath


def now() -> datetime:
    """Return the current time, aware, UTC. The one place of the core that reads the clock."""
    return datetime.now(UTC)


class _Settled:
    """What an admitted peer shows is read and not written: a name or address that changes is nobody's any more."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"this is what a peer was admitted on: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"this is what a peer was admitted on: cannot delete {name!r}")


class _SettledConnection(_Settled, Connection):
    __slots__ = ()


class _SettledEvidence(_Settled, Evidence):
    __slots__ = ()


_SLOT: Final = vars(Connection)["transport_address"]


def locate(connection: Connection, address: str | None) -> None:
    """Write the transport *address*, text, on a *connection* whose address is not known; for whoever holds the socket.

    On asyncio and uvloop the address may become known after a peer was admitted, by a policy that does not ask for it.
    """
    if connection.transport_address is None:
        _SLOT.__set__(connection, address)


class VerifiedPeer:
    """A peer whose certification path is valid and whom the policy admitted.

    It has no public constructor, cannot be copied and does not unpickle: it is proof that a decision was made in this
    process. Names come from a certificate; they are hostile text where they are printed.
    """

    __slots__ = ("__dict__", "_evidence", "decision", "presented")

    presented: PresentedChain
    """What the peer sent, and who saw it prove possession of the key."""
    _evidence: Evidence
    decision: Decision
    """The decision that admitted it."""

    def __new__(cls, *_: object, **__: object) -> Self:
        """Refuse every caller, `copy` and `pickle` included; the verifier goes through `admit`."""
        raise TypeError(
            "a VerifiedPeer comes from Verifier.verify, tls.peer_of or an integration, never from its class"
        )

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: what was proved does not change."""
        raise AttributeError(f"a VerifiedPeer is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: what was proved does not change."""
        raise AttributeError(f"a VerifiedPeer is immutable: cannot delete {name!r}")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse: neither pickled nor copied."""
        raise TypeError("a VerifiedPeer is neither pickled nor copied: verify again where it is needed")

    def __repr__(self) -> str:
        return f"<VerifiedPeer {self.path.end_entity} possession={self.possession.value}>"

    @property
    def evidence(self) -> Evidence:
        """What the decision was made on, for reading."""
        evidence = self._evidence
        if type(evidence) is Evidence:
            evidence.__class__ = _SettledEvidence  # here and not when admitting: most are never looked at
        _ = self.connection
        return evidence

    @property
    def path(self) -> CertificationPath:
        """The validated path, end entity to anchor."""
        return self._evidence.path

    @property
    def possession(self) -> Possession:
        """Who saw the peer prove that it holds the key. `Possession.NONE` authenticates nobody."""
        return self._evidence.possession

    @property
    def connection(self) -> Connection:
        """What is known of the connection, for reading."""
        connection = self._evidence.connection
        if type(connection) is Connection:
            connection.__class__ = _SettledConnection
        return connection

    @property
    def _end_entity(self) -> ParsedCertificate:
        return self._evidence.path.end_entity

    @property
    def certificate(self) -> x509.Certificate:
        """The peer's own certificate, as `cryptography` parses it."""
        return self._end_entity.certificate

    @property
    def subject(self) -> DistinguishedName:
        """The subject; ``str()`` of it is escaped RFC 4514 text."""
        return self._end_entity.subject

    @property
    def issuer(self) -> DistinguishedName:
        """The issuer's name."""
        return self._end_entity.issuer

    @property
    def common_name(self) -> str | None:
        """The common name; ``None`` where there is none, or several."""
        return self._end_entity.common_name

    @property
    def dns_names(self) -> tuple[str, ...]:
        """dNSName entries, as presented."""
        return self._end_entity.names.dns_names

    @property
    def uris(self) -> tuple[str, ...]:
        """uniformResourceIdentifier entries."""
        return self._end_entity.names.uris

    @property
    def emails(self) -> tuple[str, ...]:
        """rfc822Name entries of the subjectAltName."""
        return self._end_entity.names.emails

    @property
    def ip_addresses(self) -> tuple[IPAddress, ...]:
        """iPAddress entries."""
        return self._end_entity.names.ip_addresses

    @cached_property
    def spiffe_id(self) -> str | None:
        """The SPIFFE ID, where the certificate has exactly one URI and it is one; ``None`` otherwise.

        Not verified here: that the anchor belongs to the trust domain; `policies.SpiffeID` does that.
        """
        from mtlspolicy._spiffe_id import SpiffeIdentifier
        from mtlspolicy.errors import MTLSPolicyError

        if len(self.uris) != 1:
            return None
        try:
            return str(SpiffeIdentifier.parse(self.uris[0]))
        except MTLSPolicyError:
            return None

    @property
    def serial_number(self) -> int:
        """The serial number; unique together with the issuer only."""
        return self._end_entity.serial_number

    @property
    def certificate_sha256(self) -> str:
        """SHA-256 of the certificate's DER, lower-case hex."""
        return self._end_entity.sha256

    @property
    def spki_sha256(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo as in the certificate, lower-case hex."""
        return self._end_entity.spki_sha256

    @cached_property
    def thumbprint(self) -> str:
        """``x5t#S256`` of RFC 8705, section 3.1: base64url without padding of the SHA-256 of the certificate's DER."""
        import base64

        return base64.urlsafe_b64encode(bytes.fromhex(self.certificate_sha256)).rstrip(b"=").decode("ascii")

    def decide(self, policy: Policy) -> Decision:
        """Return the decision of a further *policy* on this peer, now: with the facts at hand and nothing fetched.

        The path must still be inside its validity, and somebody must have seen the peer prove possession of its key.

        Raises:
            ConfigurationError: *policy* is not a policy.
        """
        require_policy(policy, "decide")
        known = self._evidence
        at, first = now(), self.decision.context
        context = Context(
            at=at, path=known.path, profile=known.path.profile, path_engine="" if first is None else first.path_engine,
            trust="" if first is None else first.trust,
        )  # fmt: skip
        if known.possession is Possession.NONE:
            detail = "nobody saw this peer prove that it holds the key: an offline certificate authenticates nobody"
            return Decision(Verdict.DENY, "peer.no-possession", detail, clause="possession", context=context)
        for certificate in known.path.certificates:
            refusal = validity_refusal(certificate, at)
            if refusal is not None:
                return Decision(Verdict.DENY, refusal.code, refusal.detail, clause="path", context=context)
        evidence = Evidence(
            known.path,
            at=at,
            facts=known.facts,
            connection=known.connection,
            possession=known.possession,
            dialed=known.dialed,
        )
        return decide(policy, evidence).within(context)

    def require(self, policy: Policy) -> None:
        """Return if a further *policy* permits this peer now; see `decide`.

        Raises:
            VerificationError: It does not: `PolicyDenied`, `PolicyIndeterminate` or, after expiry,
            `PathValidationError`.
        """
        decision = self.decide(policy)
        if decision.verdict is Verdict.PERMIT:
            return
        if isinstance(decision.clause, str) and decision.clause == "path":
            raise PathValidationError(decision)
        raise (PolicyDenied if decision.verdict is Verdict.DENY else PolicyIndeterminate)(decision)


def admit(presented: PresentedChain, evidence: Evidence, decision: Decision) -> VerifiedPeer:
    """Return the peer that *decision* admits; called by the verifier alone."""
    if decision.verdict is not Verdict.PERMIT:
        raise TypeError("only a PERMIT admits")
    peer: VerifiedPeer = object.__new__(VerifiedPeer)
    write = object.__setattr__
    write(peer, "presented", presented)
    write(peer, "_evidence", evidence)
    write(peer, "decision", decision)
    return peer

"""What a probe saw, as values: the chain as sent, versions, suites, and how each connection ended. Nothing is judged.

All text in them came from the network or a certificate and is escaped for printing. What was not seen is an `Unseen`
with the reason, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._decision import Decision

NAMES: Final = {
    "none": "no certificate",
    "good": "the good certificate",
    "another-ca": "a certificate of another CA",
    "expired": "an expired certificate",
    "wrong-use": "a certificate with the wrong EKU",
    "resumed": "a resumed session",
}
"""The connections that try what a server lets in, by key, in the order of the report."""


TIME_UP: Final = "not tried: the time of the probe was up (--timeout)"


class End(Enum):
    """How a connection ended, as far as it was followed."""

    ANSWERED = "answered"
    """The server sent data of its application."""
    OPEN = "open"
    """The handshake is complete and nothing came within the time that was waited."""
    ALERT = "alert"
    """The server refused with a TLS alert."""
    CLOSED = "closed"
    """The server ended or reset the connection without a word."""
    NOT_VERIFIED = "server not verified"
    """We refused the server, before anything of ours was shown."""
    SILENT = "no answer in time"
    """The handshake was not finished in the time allowed."""
    NO_TLS = "no TLS"
    """What came back is not TLS, or is TLS that cannot be understood."""
    UNREACHABLE = "no connection"
    """There is no TCP connection."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Something that was not observed.

    Attributes:
        reason: Why not, and what would make it seen; one sentence.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one connection with, or without, a client certificate ended.

    Attributes:
        key: Which, of `NAMES`.
        end: How it ended.
        text: The same in words: the alert, the HTTP status line, what was wrong.
        status: The HTTP status, where there was one.
        asked: Whether the server asked for a certificate in the handshake.
        sent: Whether our certificate was sent.
        in_handshake: Whether it ended within the handshake, as TLS 1.2 refuses, and not at the first read.
        version: The TLS version, where one was agreed on.
        resumed: Whether the server resumed a session.
    """

    key: str
    end: End
    text: str
    status: int | None = None
    asked: bool = False
    sent: bool = False
    in_handshake: bool = False
    version: str | None = None
    resumed: bool = False

    @property
    def refused(self) -> bool:
        """Whether the server refused, in TLS or by an HTTP status that says so."""
        return self.end in {End.ALERT, End.CLOSED} or self.status in REFUSALS

    @property
    def unclear(self) -> bool:
        """Whether the server answered with a status, or with no HTTP, that says nothing about who is let in."""
        return self.end is End.ANSWERED and not self.refused and (self.status or 0) < 500


REFUSALS: Final = frozenset({400, 401, 403})
"""HTTP statuses by which servers refuse a client certificate; nginx and the design's own table use these."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What the server sent, and what our verifier says of it.

    Attributes:
        certificates: As sent, in the order sent.
        reports: What each says, for printing.
        verified: Our verifier's decision on chain and name; ``None`` where nothing was sent that can be read.
        problems: What is wrong with the chain: codes of findings, each with a sentence.
        issuer: The direct issuer of the server's certificate on the validated path.
    """

    certificates: tuple[ParsedCertificate, ...]
    reports: tuple[dict[str, Any], ...]
    verified: Decision | None
    problems: tuple[tuple[str, str], ...]
    issuer: ParsedCertificate | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """A group of cipher suites of TLS 1.2, and the one of them that the server chose.

    Attributes:
        group: What they have in common; the key of the group.
        chosen: OpenSSL's name of the suite; ``None``: the server takes none of them.
    """

    group: str
    chosen: str | Unseen | None


@dataclass(frozen=True, slots=True)
class Staple:
    """An OCSP response that came in the handshake.

    Attributes:
        status: ``good``, ``revoked``, ``unknown``, or ``unavailable`` where it cannot be used.
        code: Reason code of the interpreter.
        text: Sentence for people.
    """

    status: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Place:
    """What is probed.

    Attributes:
        host: As given.
        port: TCP port.
        server_name: The name that is asked for in the handshake, and that the certificate must have.
        address: The one IP address that every connection goes to.
        path: What is asked for by HTTP; ``None``: the server does not speak HTTP.
        expected: The HTTP status that means served.
    """

    host: str
    port: int
    server_name: str
    address: str
    path: str | None = "/"
    expected: int = 200

    def served(self, attempt: Attempt) -> bool:
        """Return whether a connection reached the application: by the status expected, or by not being refused."""
        if self.path is None:
            return attempt.end in {End.ANSWERED, End.OPEN}
        return attempt.end is End.ANSWERED and attempt.status == self.expected


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that one probe saw.

    Attributes:
        place: What was probed.
        at: When it began, UTC.
        version: The TLS version of a connection that leaves the choice to the server.
        cipher: The cipher suite of the same.
        asked: Whether the server asked for a certificate in it.
        authorities: The names of acceptable CAs that it sent.
        chain: The certificates that it sent.
        versions: For each version, whether the server speaks it.
        suites: Groups of suites of TLS 1.2.
        attempts: Connections with and without certificates, by their keys.
        staple: The OCSP response in the handshake; ``None``: asked for, and none came.
        connections: How many were opened.
    """

    place: Place
    at: datetime
    version: str | None
    cipher: str | None
    asked: bool
    authorities: tuple[str, ...] | Unseen
    chain: Chain
    versions: tuple[tuple[str, bool | Unseen], ...]
    suites: tuple[Suite, ...]
    attempts: tuple[tuple[str, Attempt | Unseen], ...]
    staple: Staple | Unseen | None
    connections: int

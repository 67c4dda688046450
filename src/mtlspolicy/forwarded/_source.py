"""A source of forwarded certificates: one dialect behind one gate. It reads a request and remembers no peer.

What it returns is what the proxy says that a client presented. Whether that client is admitted is for a `Verifier`,
which validates the path anew; that the client holds the key, the proxy alone has seen.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Final, NamedTuple, Protocol, TypeVar

from mtlspolicy._chain import DEFAULT_LIMITS, Limits, Possession, PresentedChain
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._advice import advised
from mtlspolicy.forwarded._claims import TextClaims
from mtlspolicy.forwarded._client_address import ClientAddressHeader
from mtlspolicy.forwarded._encodings import malformed, require_certificate
from mtlspolicy.forwarded._gate import Gate, ImmediatePeer
from mtlspolicy.forwarded._headers import HeaderPairs, JoinedHeaders, collect, header_name, is_ours, names_one_of

__all__ = ["Dialect", "ForwardedSource", "Request"]

MOST_CHARACTERS: Final = 96 * 1024
"""Of all headers that a source reads: 64 KiB of certificates in base64, with something to spare."""
MEMO: Final = 256
"""Header values whose certificates are kept. Nothing is kept about a peer or a connection."""
MEMO_CHARACTERS: Final = 16 * 1024
"""Longest headers that are kept."""
VERSIONS: Final = frozenset({"1.1", "2", "2.0", "3", "3.0"})
"""HTTP versions in which a proxy may forward: 1.0 and 0.9 leave to guessing where a request ends."""

Text = TypeVar("Text", str, bytes, str | bytes)


class Dialect(Protocol):
    """How one family of proxies writes a certificate into headers. A frozen, hashable value."""

    @property
    @abstractmethod
    def name(self) -> str:
        """For people and messages: that of the constructor, such as ``"envoy"``."""

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """Header names that it reads, each as `header_name` returns it."""

    @property
    @abstractmethod
    def lists(self) -> frozenset[str]:
        """Those of them that may stand on several lines."""

    @property
    @abstractmethod
    def states_absence(self) -> bool:
        """Whether the proxy writes a header also for a client without a certificate, such as a verdict ``NONE``."""

    @abstractmethod
    def advice(self, header: str | None = None) -> str:
        """Return what to set in the proxy so that it writes *header* as this dialect says; empty: nothing is known.

        It stands at the end of a message, behind what is wrong.

        Args:
            header: One of ``names``; ``None``: that with the client's own certificate.
        """

    @abstractmethod
    def parse(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...] | TextClaims | None:
        """Return the DER of the certificates, end entity first; ``None``: the proxy says that there is none.

        It is a pure function of its arguments: what it returns is kept by them.

        Args:
            values: The headers of ``names`` that are there, by lower-case name; one at least, unless the dialect
                ``states_absence``. ASCII without control characters but the tab, and without white space around. Lists
                are joined by ``", "``.
            joined: Whether a comma may be the work of a gateway that joined two copies (WSGI). What is a list must then
                be refused if it has more than one element.

        Raises:
            MalformedEvidence: The headers are not of this dialect (a code ``forwarded.*``).
            VerificationError: The proxy says that the certificate did not verify, ``forwarded.not-verified``.
        """


class Request(NamedTuple):
    """What a source reads of one request.

    Attributes:
        chain: What the client presented to the proxy; ``None``: no certificate.
        client_address: The client's IP address as the proxy states it; ``None``: not stated, or not asked for.
        claims: Words of the proxy in place of a certificate, only where the source was built to accept them.
    """

    chain: PresentedChain | None
    client_address: str | None
    claims: TextClaims | None = None


@dataclass(frozen=True, slots=True)
class ForwardedSource:
    """Reads the certificate that a trusted proxy forwards. Absent, malformed and not from the proxy are different.

    Constructors such as `envoy` make one.

    Args:
        dialect: How the proxy writes it.
        gate: Who the proxy is.
        client_address: Where the proxy states the client's address; ``None``: it is not read.
        marker: Name and value of a header that the proxy sets on every request, so that the absence of a certificate is
            the proxy's word; ``None``: none.
        limits: Bounds on number and size of certificates.
        most_characters: Bound on the headers, held before anything is decoded.

    Attributes:
        names: Lower-case names of all headers that are read.
        own: Those that the proxy alone may write: all but the one with the client's address.
    """

    dialect: Dialect
    gate: Gate
    _: KW_ONLY
    client_address: ClientAddressHeader | None = None
    marker: tuple[str, str] | None = field(default=None, repr=False)
    limits: Limits = DEFAULT_LIMITS
    most_characters: int = MOST_CHARACTERS
    names: frozenset[str] = field(init=False, repr=False, compare=False)
    own: frozenset[str] = field(init=False, repr=False, compare=False)
    _lists: frozenset[str] = field(init=False, repr=False, compare=False)
    _memo: dict[tuple[str, ...], PresentedChain | TextClaims] = field(
        init=False, repr=False, compare=False, default_factory=dict[tuple[str, ...], PresentedChain | TextClaims]
    )

    def __post_init__(self) -> None:
        """Raise `ConfigurationError` for a header that is read as two things, and for a bound that is none."""
        most = self.most_characters
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise ConfigurationError(f"most_characters={most!r}: a whole number of characters, at least 1")
        if not isinstance(self.limits, Limits):
            raise ConfigurationError(f"limits={self.limits!r}: give mtlspolicy.Limits(...)")
        address = self.client_address
        if address is not None and not isinstance(address, ClientAddressHeader):
            raise ConfigurationError(
                f"client_address={address!r}: give forwarded.x_forwarded_for(hops) or forwarded.real_ip()"
            )
        object.__setattr__(self, "marker", None if self.marker is None else _usable_marker(self.marker))
        others = [one[0] for one in (self.marker, self.gate.secret) if one is not None]
        own = [*(header_name(name) for name in self.dialect.names), *others]
        named = own if address is None else [*own, address.name]
        for name in named:
            if named.count(name) > 1:
                raise ConfigurationError(f"the header {quoted(name, 80)}: a source reads each header as one thing")
        listed = [address.name] if address is not None and address.hops else []
        object.__setattr__(self, "names", frozenset(named))
        object.__setattr__(self, "own", frozenset(own))
        object.__setattr__(self, "_lists", self.dialect.lists.union(listed))

    def read(
        self, headers: HeaderPairs | JoinedHeaders, *, peer: ImmediatePeer, http_version: str | None = None
    ) -> PresentedChain | None:
        """Return what the client presented to the proxy, with possession ``PROXY``; ``None``: no certificate.

        Args:
            headers: All header fields of the request, as received.
            peer: The other end of the socket, as an edge has read it from the socket.
            http_version: Of the request, such as ``"1.1"``; ``None``: not known.

        Raises:
            MalformedEvidence: The headers are malformed or too large, or came in HTTP/1.0.
            VerificationError: They do not come from the trusted proxy (``forwarded.untrusted-proxy``), or it says that
                the certificate did not verify (``forwarded.not-verified``).
        """
        found = self.request(headers, peer=peer, http_version=http_version)
        if found.claims is not None:
            raise MalformedEvidence(
                "the proxy forwards words about a certificate and not the certificate: see .request(...).claims",
                code="forwarded.text-only",
            )
        return found.chain

    def request(
        self, headers: HeaderPairs | JoinedHeaders, *, peer: ImmediatePeer, http_version: str | None = None
    ) -> Request:
        """Return what `read` does, and the client's address as the proxy states it; arguments and errors likewise."""
        objection = self.gate.objection(peer)
        if objection is not None:
            # before anything is parsed: what a stranger wrote is nothing but his. That he claims nothing is no claim.
            if self.marker is not None or names_one_of(headers, self.own):
                raise self.gate.refusal(peer, objection)
            return Request(None, None)
        joined = isinstance(headers, JoinedHeaders)
        if http_version is None and isinstance(headers, JoinedHeaders):
            http_version = headers.http_version
        values = collect(headers, self.names, self._lists, self.most_characters, self._advice)
        address = self._address(values)
        secret = None if self.gate.secret is None else values.pop(self.gate.secret[0], None)
        if not values and self.marker is None and secret is None:
            # nothing was forwarded; where a secret says who the proxy is, the address is not the proxy's word either
            return Request(None, address if self.gate.secret is None else None)
        self.gate.require_secret(peer, secret)
        _require_version(http_version)
        self._require_marker(values)
        # mark and secret say that the proxy wrote this; where it states absence as well, silence is a loss on the way
        marked = self.marker is not None or secret is not None
        silent = not values and not (marked and self.dialect.states_absence)
        found = None if silent else self._found(values, joined=joined)
        return Request(None, address, found) if isinstance(found, TextClaims) else Request(found, address)

    def without_ours(self, headers: Iterable[tuple[Text, Text]]) -> list[tuple[Text, Text]]:
        """Return *headers* without those that only the proxy may write, in any spelling: what an application may see.

        To be done whoever sent them, and whatever `read` said. A header with the client's address stays.
        """
        return [(name, value) for name, value in headers if not is_ours(name, self.own)]

    def require_no_trailers(self, trailers: HeaderPairs) -> None:
        """Return if no header that this source reads is among the *trailers* of a request.

        Raises:
            MalformedEvidence: One is, ``forwarded.trailer``: proxies rewrite headers and pass trailers on.
        """
        if names_one_of(trailers, self.names):
            raise MalformedEvidence("a header that the proxy alone may write, as a trailer", code="forwarded.trailer")

    def _advice(self, header: str) -> str:
        return self.dialect.advice(header) if header in self.dialect.names else ""

    def _address(self, values: dict[str, str]) -> str | None:
        where = self.client_address
        return None if where is None else where.stated(values.pop(where.name, None))

    def _require_marker(self, values: dict[str, str]) -> None:
        if self.marker is not None:
            name, value = self.marker
            if values.pop(name, None) != value:
                raise MalformedEvidence(
                    f"the proxy marks each request with {name!r}, and this one lacks it", code="forwarded.marker"
                )

    def _found(self, values: dict[str, str], *, joined: bool) -> PresentedChain | TextClaims | None:
        key = ("joined" if joined else "", *(text for item in sorted(values.items()) for text in item))
        known = self._memo.get(key)
        if known is not None:
            return known
        try:
            parsed = self.dialect.parse(values, joined=joined)
            found = self._chain(parsed) if isinstance(parsed, tuple) else parsed
        except MalformedEvidence as error:
            if error.code.startswith("forwarded."):
                raise
            code = "forwarded.too-large" if error.code == "chain.too-large" else "forwarded.malformed"
            raise MalformedEvidence(str(error), code=code) from None
        if found is None:
            return None
        if sum(map(len, key)) <= MEMO_CHARACTERS:
            if len(self._memo) >= MEMO:
                self._memo.clear()  # one operation, whatever other threads do
            self._memo[key] = found
        return found

    def _chain(self, ders: tuple[bytes, ...]) -> PresentedChain:
        """Return the chain of *ders*, each of which must be a certificate: a damaged one is dropped by nobody."""
        if len(ders) > self.limits.certificates:
            raise MalformedEvidence(
                f"{len(ders)} certificates forwarded; at most {self.limits.certificates}", code="forwarded.too-large"
            )
        for number, der in enumerate(ders, 1):
            try:
                require_certificate(der)
            except MalformedEvidence as error:
                problem = malformed(f"forwarded certificate {number} of {len(ders)}: {error}")
                raise advised(problem, self.dialect.advice()) from None
        return PresentedChain.parse(PresentedChain(tuple(dict.fromkeys(ders)), Possession.PROXY), limits=self.limits)


def _usable_marker(marker: tuple[str, str]) -> tuple[str, str]:
    if not isinstance(marker, tuple) or len(marker) != 2 or not all(isinstance(text, str) for text in marker):
        raise ConfigurationError(f"marker={marker!r}: give the header's name and its value")
    name, value = marker
    if not value or not value.isascii() or not value.isprintable() or value.strip() != value:
        raise ConfigurationError(f"marker={marker!r}: a value of printable ASCII characters, without spaces around it")
    return header_name(name, "marker"), value


def _require_version(version: str | None) -> None:
    if version is not None and version.removeprefix("HTTP/") not in VERSIONS:
        raise MalformedEvidence(
            f"the proxy speaks {quoted(version, 20)}, in which nobody can tell where a request ends: set HTTP/1.1 "
            "towards this server (nginx: proxy_http_version 1.1)",
            code="forwarded.http-version",
        )

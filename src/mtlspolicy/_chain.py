"""What a peer presented, and who proved that it holds the key. Limits are held before anything is parsed or verified.

Nothing here is trusted: a `PresentedChain` is bytes with a provenance.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography import x509

from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._pem import certificate_blocks, looks_like_pem
from mtlspolicy.errors import ConfigurationError, MalformedEvidence


class Possession(enum.Enum):
    """Who saw the peer prove that it holds the certificate's private key.

    Certificates are public: without such a proof one says nothing about who sent it.
    """

    TLS = "TLS"
    """Our own TLS connection."""
    PROXY = "PROXY"
    """A trusted proxy's TLS connection."""
    NONE = "NONE"
    """Nobody: a file, a request body, a log."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a peer may present, held before any signature is verified.

    Attributes:
        certificates: Certificates in a presented chain.
        path: Certificates in a path, end entity and anchor included.
        certificate_bytes: Size of one certificate, in bytes.
        chain_bytes: Size of all certificates, in bytes.
        names: Entries in a subjectAltName.
        paths: Candidate paths that are tried.
    """

    certificates: int = 6
    path: int = 4
    certificate_bytes: int = 16 * 1024
    chain_bytes: int = 64 * 1024
    names: int = 128
    paths: int = 8

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            least = 2 if name == "path" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(f"Limits({name}={value!r}): a whole number, at least {least}")

    def surely_hold(self, ders: tuple[bytes, ...]) -> bool:
        """Return whether *ders* are within all limits on size and number by their sum alone; false: look closer."""
        return 0 < len(ders) <= self.certificates and self.chain_bytes >= sum(map(len, ders)) <= self.certificate_bytes


DEFAULT_LIMITS: Final = Limits()

_DER: Final = b"\x30\x82"
"""How a certificate of more than 255 bytes begins, and nothing that is PEM: see `looks_like_pem`."""
_BYTES: Final = (bytes, bytearray, memoryview)

ChainInput: TypeAlias = "PresentedChain | bytes | x509.Certificate | Sequence[bytes | x509.Certificate]"
"""PEM or DER bytes, `cryptography` certificates, or a `PresentedChain`; the end entity comes first."""


@dataclass(frozen=True, slots=True)
class PresentedChain:
    """Certificates as the peer sent them, end entity first, and who proved possession of its key.

    Attributes:
        ders: The certificates' DER, duplicates left out.
        possession: Who saw the proof.
    """

    ders: tuple[bytes, ...]
    possession: Possession = Possession.NONE

    @classmethod
    def parse(
        cls, data: ChainInput, *, possession: Possession = Possession.NONE, limits: Limits = DEFAULT_LIMITS
    ) -> PresentedChain:
        """Return the chain in *data*; certificates are split and counted here, and read later.

        Args:
            data: PEM (several blocks, end entity first), the DER of one certificate, `cryptography` certificates, or a
                sequence of these. A `PresentedChain` is returned as it is.
            possession: Who saw the proof of possession; ignored for a `PresentedChain`, which says it itself.
            limits: Bounds on number and size.

        Raises:
            MalformedEvidence: No certificate, something else among the PEM blocks, or outside the limits
                (``chain.too-large``).
        """
        if isinstance(data, PresentedChain):
            chain = data
        else:
            chain = cls(_pair(data) or tuple(dict.fromkeys(_split(data))), possession)
        if not limits.surely_hold(chain.ders):
            _hold_limits(chain.ders, limits)
        return chain

    @property
    def end_entity(self) -> ParsedCertificate:
        """The peer's own certificate."""
        return ParsedCertificate(self.ders[0])

    @property
    def certificates(self) -> tuple[ParsedCertificate, ...]:
        """All certificates, end entity first, parsed anew."""
        return tuple(map(ParsedCertificate, self.ders))


def _hold_limits(ders: tuple[bytes, ...], limits: Limits) -> None:
    if not ders:
        raise MalformedEvidence("no certificate in what was presented", code="chain.malformed")
    if len(ders) > limits.certificates:
        raise MalformedEvidence(
            f"{len(ders)} certificates presented; at most {limits.certificates}", code="chain.too-large"
        )
    largest, total = max(map(len, ders)), sum(map(len, ders))
    if largest > limits.certificate_bytes:
        raise MalformedEvidence(
            f"a certificate of {largest} bytes; at most {limits.certificate_bytes}", code="chain.too-large"
        )
    if total > limits.chain_bytes:
        raise MalformedEvidence(f"certificates of {total} bytes; at most {limits.chain_bytes}", code="chain.too-large")


def _pair(data: bytes | x509.Certificate | Sequence[bytes | x509.Certificate]) -> tuple[bytes, ...]:
    """Return *data* where it is what most peers send, the DER of two certificates; nothing: look closer."""
    if isinstance(data, list) and len(data) == 2:
        first, second = data
        if type(first) is bytes and type(second) is bytes and first[:2] == second[:2] == _DER and first != second:
            return first, second
    return ()


def _split(data: bytes | x509.Certificate | Iterable[bytes | x509.Certificate]) -> Iterable[bytes]:
    if isinstance(data, _BYTES):
        data = bytes(data)
        return certificate_blocks(data) if looks_like_pem(data) else (data,)
    if isinstance(data, x509.Certificate):
        from cryptography.hazmat.primitives.serialization import Encoding  # not needed where peers send DER

        return (data.public_bytes(Encoding.DER),)
    if isinstance(data, str):
        raise MalformedEvidence("text where bytes belong: give PEM or DER as bytes")
    try:
        parts = list(data)
    except TypeError:
        hint = ": give its content, path.read_bytes()" if hasattr(data, "__fspath__") else ""
        raise MalformedEvidence(f"a {type(data).__name__} is not a certificate chain{hint}") from None
    found: list[bytes] = []
    for part in parts:
        if type(part) is bytes and (part.startswith(_DER) or not looks_like_pem(part)):
            found.append(part)  # of more than 255 bytes and DER, as certificates are: see looks_like_pem
        elif isinstance(part, list | tuple):
            raise MalformedEvidence("a sequence inside the sequence of certificates")
        else:
            found.extend(_split(part))
    return found

"""Signatures over certificates, CRLs and OCSP responses: which algorithm it is, and whether a key made it.

Algorithms are recognised by the whole AlgorithmIdentifier as it stands in the bytes, so that no parameter goes unread.
Who may sign, and whether SHA-1 is acceptable, is for the callers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from mtlspolicy._der import OID, SEQUENCE, element, elements, object_identifier
from mtlspolicy.errors import MalformedEvidence

__all__ = ["Signed", "signed_by", "signed_of"]

BIT_STRING: Final = 0x03


class _Algorithm(NamedTuple):
    """One algorithm.

    Attributes:
        family: ``rsa``, ``pss``, ``ecdsa``, ``ed25519``, ``ed448``; empty for what is not accepted.
        digest: As `hashlib` names it; that of Ed25519 and Ed448 is part of them, and empty here.
        kind: What the key has to be.
        terms: What ``verify`` of such a key takes besides signature and content.
    """

    family: str = ""
    digest: str = ""
    kind: type | None = None
    terms: tuple[Any, ...] = ()


_PKCS1: Final = "2a864886f70d0101"
_NULLS: Final = ("0500", "")
"""RFC 4055, section 5: parameters of RSA with PKCS #1 are NULL; some signers leave them out, and both are read."""


def _sequence(*parts: str) -> str:
    content = "".join(parts)
    return f"30{len(content) // 2:02x}{content}"


def _oid(content: str) -> str:
    return f"06{len(content) // 2:02x}{content}"


_HASH_OIDS: Final = {
    "sha256": "608648016503040201",
    "sha384": "608648016503040202",
    "sha512": "608648016503040203",
}


def _pss(name: str, null: str) -> str:
    """Return RSASSA-PSS with one digest for message and mask and a salt of its length (RFC 4055, section 3.1)."""
    digest = _sequence(_oid(_HASH_OIDS[name]), null)
    mask = _sequence(_oid(f"{_PKCS1}08"), digest)
    salt = f"0201{_DIGESTS[name].digest_size:02x}"
    explicit = [f"a{tag}{len(part) // 2:02x}{part}" for tag, part in enumerate((digest, mask, salt))]
    return _sequence(_oid(f"{_PKCS1}0a"), _sequence(*explicit))


_DIGESTS: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - recognised, so that it can be refused by name
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_RSA: Final = {"sha1": "05", "sha256": "0b", "sha384": "0c", "sha512": "0d"}
_ECDSA: Final = {"sha1": "01", "sha256": "0302", "sha384": "0303", "sha512": "0304"}


def _with_rsa(name: str) -> _Algorithm:
    return _Algorithm("rsa", name, rsa.RSAPublicKey, (padding.PKCS1v15(), _DIGESTS[name]))


def _with_pss(name: str) -> _Algorithm:
    digest = _DIGESTS[name]
    return _Algorithm("pss", name, rsa.RSAPublicKey, (padding.PSS(padding.MGF1(digest), digest.digest_size), digest))


def _with_ecdsa(name: str) -> _Algorithm:
    return _Algorithm("ecdsa", name, ec.EllipticCurvePublicKey, (ec.ECDSA(_DIGESTS[name]),))


_KNOWN: Final[dict[bytes, _Algorithm]] = {
    bytes.fromhex(text): algorithm
    for text, algorithm in (
        *((_sequence(_oid(_PKCS1 + arc), null), _with_rsa(name)) for name, arc in _RSA.items() for null in _NULLS),
        *((_pss(name, null), _with_pss(name)) for name in _HASH_OIDS for null in _NULLS),
        *((_sequence(_oid("2a8648ce3d04" + arc)), _with_ecdsa(name)) for name, arc in _ECDSA.items()),
        (_sequence(_oid("2b6570")), _Algorithm("ed25519", "", ed25519.Ed25519PublicKey)),
        (_sequence(_oid("2b6571")), _Algorithm("ed448", "", ed448.Ed448PublicKey)),
    )
}
_NEITHER: Final = _Algorithm()
WITH_SHA1: Final = frozenset(text for text, algorithm in _KNOWN.items() if algorithm.digest == "sha1")
"""AlgorithmIdentifiers, DER, of signatures with SHA-1."""


class Signed(NamedTuple):
    """What was signed, the signature, and the AlgorithmIdentifier, DER, that stands beside it.

    Attributes:
        content: DER of the part that is signed, as it stands in the bytes.
        signature: Content of the BIT STRING, without the number of unused bits.
        algorithm: DER of the AlgorithmIdentifier.
    """

    content: bytes
    signature: bytes
    algorithm: bytes

    @property
    def family(self) -> str:
        """``rsa``, ``pss``, ``ecdsa``, ``ed25519`` or ``ed448``; empty for an algorithm that is not accepted."""
        return _KNOWN.get(self.algorithm, _NEITHER).family

    @property
    def digest(self) -> str:
        """``sha1``, ``sha256``, ``sha384`` or ``sha512``; empty where the algorithm has its own or is not accepted."""
        return _KNOWN.get(self.algorithm, _NEITHER).digest

    @property
    def oid(self) -> str:
        """Dotted OID of the algorithm, for people.

        Raises:
            MalformedEvidence: The AlgorithmIdentifier does not begin with one.
        """
        _, start, end = element(self.algorithm, 0, len(self.algorithm))
        tag, first, last = element(self.algorithm, start, end)
        if tag != OID:
            raise MalformedEvidence("an AlgorithmIdentifier without an object identifier")
        return object_identifier(self.algorithm[first:last])


def signed_of(data: bytes, start: int = 0, end: int | None = None) -> Signed:
    """Return the parts of the signed structure between *start* and *end*: certificate, CRL or BasicOCSPResponse.

    What may follow the signature (a response's certificates) is left alone.

    Raises:
        MalformedEvidence: It has another shape.
    """
    end = len(data) if end is None else end
    tag, first, last = element(data, start, end)
    if tag != SEQUENCE or last != end:
        raise MalformedEvidence("not a signed structure alone")
    parts = elements(data, first, last)
    if [part[0] for part in parts[:3]] != [SEQUENCE, SEQUENCE, BIT_STRING]:
        raise MalformedEvidence("a signed structure of another shape")
    (_, _, content_end), (_, _, algorithm_end), (_, at, stop) = parts[:3]
    if data[at : at + 1] != b"\x00":
        raise MalformedEvidence("a signature that is not a whole number of bytes")
    return Signed(data[first:content_end], data[at + 1 : stop], data[content_end:algorithm_end])


def signed_by(key: object, signed: Signed) -> bool:
    """Return whether *key* is of the kind that the algorithm takes, and the signature is its own. Never raises.

    Args:
        key: A public key of `cryptography`.
        signed: The parts, as `signed_of` gives them.
    """
    algorithm = _KNOWN.get(signed.algorithm, _NEITHER)
    able: Any = key
    own: Any = type(key)
    if algorithm.kind is None or not _is_of_kind(own, algorithm.kind):
        return False
    try:
        able.verify(signed.signature, signed.content, *algorithm.terms)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


@lru_cache(64)  # keys are of a dozen classes; to ask an abstract base class takes half a microsecond
def _is_of_kind(own: Any, kind: Any) -> bool:
    return issubclass(own, kind)

"""Puts the certificates of a credential into the order in which TLS sends them (RFC 8446, section 4.4.2).

It decides which certificate the key belongs to and which others belong to it. It trusts nothing: no path is validated,
no clock is read, and a signature that cannot be verified here counts as made when the names fit.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential_source import Source
from mtlspolicy.tls._key_loading import PrivateKey


class OrderedChain(NamedTuple):
    """What is sent, end entity first, and plain sentences about what was put right or looks wrong."""

    certificates: tuple[x509.Certificate, ...]
    notes: tuple[str, ...]


UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,  # where warnings are errors, what cryptography only remarks on
)
"""What reading a part of a certificate that did parse may still raise."""


def name_of(certificate: x509.Certificate) -> str:
    """Return the subject as escaped RFC 4514 text; the serial number in hex where it is empty or unreadable."""
    subject = _name(certificate, "subject")
    text = "" if subject is None else escape(subject.rfc4514_string())
    return text or f"serial number {certificate.serial_number:x} (no readable subject)"


def is_ca(certificate: x509.Certificate) -> bool:
    """Return whether readable basicConstraints say cA=TRUE (RFC 5280, section 4.2.1.9)."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Return whether *issuer* issued *certificate*, by name and, where the algorithm is known here, by signature."""
    name = _name(certificate, "issuer")
    if name is None or name != _name(issuer, "subject"):
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except InvalidSignature:
        return False
    except (*UNREADABLE, TypeError):
        return True  # for example SHA-1: it cannot be told, and nothing is trusted for it
    return True


def _name(certificate: x509.Certificate, field: Literal["subject", "issuer"]) -> x509.Name | None:
    try:
        return certificate.subject if field == "subject" else certificate.issuer
    except UNREADABLE:
        return None


def order_chain(
    certificates: Sequence[x509.Certificate], key: PrivateKey, chain: Source, key_source: Source
) -> OrderedChain:
    """Find the end entity by its key, then everything above it in order; roots and duplicates are dropped and noted.

    Args:
        certificates: At least one, in any order.
        key: The private key of the end entity.
        chain: Where the certificates came from, for messages.
        key_source: Where the key came from, for messages.

    Raises:
        ConfigurationError: The key belongs to none or to a CA, only CA certificates are there, or one is unrelated.
    """
    unique = list(dict.fromkeys(certificates))
    notes: list[str] = []
    if len(unique) < len(certificates):
        notes.append(f"{chain.name} holds certificates more than once: each is sent once")
    leaf = _leaf(unique, key, chain, key_source)
    ordered = _ascend(leaf, unique)
    _refuse_unrelated(ordered, unique, chain)
    if ordered != unique:
        notes.append(
            f"{chain.name} is out of order: it is sent as {' < '.join(name_of(one) for one in ordered)}; put the end "
            "entity's certificate first and each issuer after what it issued"
        )
    sent = [leaf, *(one for one in ordered[1:] if not issued(one, one))]
    notes.extend(
        f"{chain.name} holds the root {name_of(root)}, which is not sent: a peer trusts the root it already has; take "
        "it out of the file"
        for root in ordered
        if root not in sent
    )
    if len(ordered) == 1 and not issued(leaf, leaf):
        notes.append(
            f"{chain.name} holds {name_of(leaf)} alone and not its issuer {_issuer_of(leaf)}: unless that is a root, "
            f"peers that know only the root find no path; append it with cat issuer.pem >> {chain.argument}"
        )
    return OrderedChain(tuple(sent), tuple(notes))


def _leaf(certificates: list[x509.Certificate], key: PrivateKey, chain: Source, key_source: Source) -> x509.Certificate:
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    entities = [one for one in certificates if not is_ca(one)]
    belonging = [one for one in certificates if _spki(one) == spki]
    for one in belonging:
        # A CA certificate alone that signed itself is what "openssl req -x509" makes: `findings` says what is wrong
        # with it.
        if one in entities or (len(certificates) == 1 and issued(one, one)):
            return one
    if not entities:
        raise ConfigurationError(
            f"{chain.name} holds only CA certificates ({', '.join(map(name_of, certificates))}): the end entity's "
            "certificate is missing, the one issued for the name of this server or client. Put it first: "
            "cat server.pem issuing-ca.pem > chain.pem",
            code="credential.no-end-entity",
        )
    if belonging:
        what = f"belongs to the CA certificate {name_of(belonging[0])}, not to {name_of(entities[0])}"
    else:
        what = f"does not belong to the certificate {name_of(entities[0])} in {chain.name}"
    raise ConfigurationError(
        f"the key in {key_source.name} {what}: SHA-256 of the public keys is {_pin(spki)} for the key and "
        f"{_pin(_spki(entities[0]))} for the certificate. Give the key that the certificate was requested with; these "
        f"two must print the same: openssl pkey -in {key_source.argument} -pubout; openssl x509 -in {chain.argument} "
        "-noout -pubkey",
        code="credential.key-mismatch",
    )


def _spki(certificate: x509.Certificate) -> bytes | None:
    try:
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except UNREADABLE:
        return None


def _pin(spki: bytes | None) -> str:
    if spki is None:
        return "unknown (unreadable)"
    return f"sha256/{base64.b64encode(hashlib.sha256(spki).digest()).decode('ascii')}"


def _ascend(leaf: x509.Certificate, certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    ordered = [leaf]
    for certificate in ordered:  # grows while it is walked: first the issuers of the end entity, then theirs
        ordered.extend(one for one in certificates if one not in ordered and issued(one, certificate))
    return ordered


def _refuse_unrelated(ordered: list[x509.Certificate], certificates: list[x509.Certificate], chain: Source) -> None:
    for one in certificates:
        if one in ordered:
            continue
        leaf = ordered[0]
        # With a known issuer, what is missing further up may be the root, which need not be there.
        missing = f" (it lacks {_issuer_of(leaf)}, the issuer of {name_of(leaf)})" if len(ordered) == 1 else ""
        raise ConfigurationError(
            f"{chain.name} holds {name_of(one)}, which issued none of the certificates that belong to the "
            f"key{missing}: take it out; a CA to trust belongs into the TrustStore, an intermediate that is missing "
            "into this file",
            code="credential.unrelated",
        )


def _issuer_of(certificate: x509.Certificate) -> str:
    issuer = _name(certificate, "issuer")
    return "(unreadable name)" if issuer is None else escape(issuer.rfc4514_string()) or "(empty name)"

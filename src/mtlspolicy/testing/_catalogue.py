"""What an entry of the catalogue of broken certificates is, and how most are made: a good leaf, changed by hand.

The entries are elsewhere, by family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Unpack

from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID

from mtlspolicy.testing._authority import CertificateAuthority
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.testing._issued import IssuedCertificate
from mtlspolicy.testing._template import AuthorityOptions, LeafOptions

Change = Callable[[HandMade], HandMade]


@dataclass(frozen=True, slots=True)
class Defect:
    """One sentence that says what is wrong, and the function that makes a certificate like that."""

    description: str
    make: Callable[[CertificateAuthority], IssuedCertificate]


def good_leaf(authority: CertificateAuthority, **options: Unpack[LeafOptions]) -> IssuedCertificate:
    """Issue the certificate that the broken ones start from: client, CN=client, DNS name client.test."""
    options.setdefault("dns", ["client.test"])
    return authority.issue_client("client", **options)


def remade(
    authority: CertificateAuthority, change: Change, *, digest: hashes.HashAlgorithm | None = None
) -> IssuedCertificate:
    """Return the good leaf after *change*, signed by *authority*."""
    leaf = good_leaf(authority)
    return replace(leaf, der=change(HandMade.of(leaf.certificate)).signed_by(authority.key, digest=digest))


def below_remade(
    authority: CertificateAuthority, change: Change, **options: Unpack[AuthorityOptions]
) -> IssuedCertificate:
    """Return a good leaf of an intermediate CA that *change* has spoilt."""
    intermediate = authority.intermediate("mtlspolicy TEST CA broken", **options)
    der = change(HandMade.of(intermediate.certificate)).signed_by(authority.key)
    return good_leaf(authority.adopt(der, intermediate.key))


def under_remade_root(authority: CertificateAuthority, leaf: IssuedCertificate, change: Change) -> IssuedCertificate:
    """Return *leaf* of *authority* with a new root: name and key of the authority, self-signed, after *change*."""
    # A self-signed CA may leave out the authority key identifier (RFC 5280, 4.2.1.1); a subordinate's names another.
    hand = HandMade.of(authority.certificate).without(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
    root = change(replace(hand, issuer=hand.subject)).signed_by(authority.key)
    return replace(leaf, issuers_der=(), root_der=root)

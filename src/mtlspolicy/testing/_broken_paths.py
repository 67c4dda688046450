"""Broken certificates, validity, purposes and issuers: well-formed ones that no path validation may accept.

Each description says in which certificate of the path the fault is. See ``testing.BROKEN``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._authority import CertificateAuthority
from mtlspolicy.testing._catalogue import Defect, below_remade, good_leaf, remade, under_remade_root
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.testing._issued import IssuedCertificate
from mtlspolicy.testing._keys import generate_key
from mtlspolicy.testing._request import MARKER_TEXT, leaf_request, sign_request
from mtlspolicy.testing._template import key_usage

UNKNOWN_OID: Final = x509.ObjectIdentifier("2.999.20267.2")
"""An extension that nobody knows, below the arc for examples (X.660)."""

OVERSIZE: Final = 16 * 1024
"""Bytes in the extension of the oversized certificate, which is thus longer than the default limit of 16 KiB."""

_YEAR: Final = timedelta(days=365)
_DAY: Final = timedelta(days=1)


def _past() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - _YEAR, now - _DAY


def _past_der(hand: HandMade) -> HandMade:
    first, last = _past()
    return replace(hand, validity=der.sequence(der.time(first), der.time(last)))


def _expired(authority: CertificateAuthority) -> IssuedCertificate:
    first, last = _past()
    return good_leaf(authority, not_before=first, not_after=last)


def _not_yet_valid(authority: CertificateAuthority) -> IssuedCertificate:
    now = datetime.now(UTC)
    return good_leaf(authority, not_before=now + _DAY, not_after=now + _YEAR)


def _expired_intermediate(authority: CertificateAuthority) -> IssuedCertificate:
    first, last = _past()
    return good_leaf(authority.intermediate("mtlspolicy TEST CA expired", not_before=first, not_after=last))


def _self_signed(_authority: CertificateAuthority) -> IssuedCertificate:
    request = leaf_request("client", ExtendedKeyUsageOID.CLIENT_AUTH, {"dns": ["client.test"]})
    certificate = sign_request(request, issuer=request.subject, issuer_key=request.key)
    return IssuedCertificate(certificate, request.key, certificate)


def _unknown_issuer(authority: CertificateAuthority) -> IssuedCertificate:
    stranger = good_leaf(CertificateAuthority(f"{MARKER_TEXT} stranger"))
    return replace(stranger, root_der=good_leaf(authority).root_der)


def _impostor_issuer(authority: CertificateAuthority) -> IssuedCertificate:
    # Same name as the authority, another key: a chain that looks right when names alone are compared.
    impostor = generate_key("ec-p256")
    leaf = good_leaf(authority)
    return replace(leaf, der=HandMade.of(leaf.certificate).signed_by(impostor))


def _leaf_signing_leaf(authority: CertificateAuthority) -> IssuedCertificate:
    issuer = good_leaf(authority)
    return good_leaf(authority.adopt(issuer.der, issuer.key))


def _path_length_exceeded(authority: CertificateAuthority) -> IssuedCertificate:
    upper = authority.intermediate(f"{MARKER_TEXT} path length 0", path_length=0)
    return good_leaf(upper.intermediate(f"{MARKER_TEXT} one too many"))


def _outside_name_constraints(authority: CertificateAuthority) -> IssuedCertificate:
    constraints = x509.NameConstraints(permitted_subtrees=[x509.DNSName("other.test")], excluded_subtrees=None)
    return good_leaf(authority.intermediate(f"{MARKER_TEXT} constrained", name_constraints=constraints))


def _is_ca(hand: HandMade) -> HandMade:
    usage = key_usage(digital_signature=True, cert_sign=True).public_bytes()
    return hand.setting(ExtensionOID.BASIC_CONSTRAINTS, der.sequence(der.TRUE), critical=True).setting(
        ExtensionOID.KEY_USAGE, usage, critical=True
    )


def _usage_without_signing(hand: HandMade) -> HandMade:
    return hand.setting(ExtensionOID.KEY_USAGE, key_usage(key_encipherment=True).public_bytes(), critical=True)


def _ca_usage_without_signing(hand: HandMade) -> HandMade:
    return hand.setting(ExtensionOID.KEY_USAGE, key_usage(digital_signature=True).public_bytes(), critical=True)


USAGES: Final[dict[str, Defect]] = {
    "expired": Defect("the certificate expired yesterday", _expired),
    "not-yet-valid": Defect("the certificate is valid from tomorrow on", _not_yet_valid),
    "wrong-eku-server-only": Defect(
        "extendedKeyUsage allows servers alone and the certificate is for a client",
        lambda authority: good_leaf(authority, eku=[ExtendedKeyUsageOID.SERVER_AUTH]),
    ),
    "no-eku": Defect("there is no extendedKeyUsage", lambda authority: good_leaf(authority, eku=None)),
    "any-eku": Defect(
        "extendedKeyUsage says anyExtendedKeyUsage alone",
        lambda authority: good_leaf(authority, eku=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
    ),
    "key-usage-without-signature": Defect(
        "keyUsage does not allow digital signatures, which TLS 1.3 client authentication makes",
        lambda authority: remade(authority, _usage_without_signing),
    ),
    "is-ca": Defect(
        "the certificate is an end entity's and a CA's at once (cA, keyCertSign)",
        lambda authority: remade(authority, _is_ca),
    ),
    "no-aki": Defect(
        "there is no authorityKeyIdentifier",
        lambda authority: remade(authority, lambda hand: hand.without(ExtensionOID.AUTHORITY_KEY_IDENTIFIER)),
    ),
    "unknown-critical-extension": Defect(
        "a critical extension is of a type that nobody knows",
        lambda authority: remade(authority, lambda hand: hand.adding(UNKNOWN_OID, der.null(), critical=True)),
    ),
    "oversized": Defect(
        "the certificate is longer than 16 KiB, the default limit",
        lambda authority: remade(authority, lambda hand: hand.adding(UNKNOWN_OID, der.octet_string(bytes(OVERSIZE)))),
    ),
}
"""Name to defect, of the end-entity certificate."""

PATHS: Final[dict[str, Defect]] = {
    "self-signed": Defect("the certificate is signed with its own key and no CA stands behind it", _self_signed),
    "unknown-issuer": Defect("the issuer is a CA that has nothing to do with the authority", _unknown_issuer),
    "impostor-issuer": Defect(
        "the signature is by another key than the issuer's, and all names and key identifiers are right",
        _impostor_issuer,
    ),
    "leaf-signing-leaf": Defect("the issuer is a client certificate of the authority, not a CA", _leaf_signing_leaf),
    "path-length-exceeded": Defect(
        "an intermediate CA stands below one whose path length constraint is 0", _path_length_exceeded
    ),
    "outside-name-constraints": Defect(
        "an intermediate CA may name hosts under other.test alone, and the DNS name is client.test",
        _outside_name_constraints,
    ),
    "expired-intermediate": Defect("the intermediate CA expired yesterday", _expired_intermediate),
    "expired-root": Defect(
        "the root, which is made for it (.root), expired yesterday",
        lambda authority: under_remade_root(authority, good_leaf(authority), _past_der),
    ),
    "intermediate-with-server-eku": Defect(
        "the intermediate CA's extendedKeyUsage allows servers alone, and the leaf is a client's",
        lambda authority: good_leaf(
            authority.intermediate(f"{MARKER_TEXT} servers", eku=[ExtendedKeyUsageOID.SERVER_AUTH])
        ),
    ),
    "issuer-without-keycertsign": Defect(
        "the intermediate CA's keyUsage does not allow it to sign certificates",
        lambda authority: below_remade(authority, _ca_usage_without_signing),
    ),
    "issuer-without-key-usage": Defect(
        "the intermediate CA has no keyUsage",
        lambda authority: below_remade(authority, lambda hand: hand.without(ExtensionOID.KEY_USAGE)),
    ),
    "issuer-without-basic-constraints": Defect(
        "the intermediate CA has no basicConstraints",
        lambda authority: below_remade(authority, lambda hand: hand.without(ExtensionOID.BASIC_CONSTRAINTS)),
    ),
    "issuer-with-unknown-critical-extension": Defect(
        "the intermediate CA has a critical extension of a type that nobody knows",
        lambda authority: below_remade(authority, lambda hand: hand.adding(UNKNOWN_OID, der.null(), critical=True)),
    ),
    "issuer-rsa-1024": Defect(
        "the intermediate CA's key is RSA with 1024 bits",
        lambda authority: below_remade(
            authority,
            lambda hand: hand,
            key=rsa.generate_private_key(65537, 1024),  # noqa: S505 - weak on purpose
        ),
    ),
}
"""Name to defect, of the certificates above the end entity."""

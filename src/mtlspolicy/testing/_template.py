"""Turns what a test asks for (names, times, usages) into the parts of an X.509 v3 certificate (RFC 5280).

The parts are correct by default; it does not sign, and it does not build broken ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, TypedDict

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing._keys import PrivateKey

BEFORE_NOW: Final = timedelta(hours=1)
"""Default validity starts this long ago, so that a slow clock does no harm."""
AFTER_NOW: Final = timedelta(days=7)
"""Default validity ends this far ahead: a test certificate that leaks is soon worthless."""

AttributeValue = str | Sequence[str]
ExtraExtension = x509.ExtensionType | tuple[x509.ExtensionType, bool]
"""An extension, not critical, or a pair of extension and ``critical``."""


class AuthorityOptions(TypedDict, total=False):
    """What ``CertificateAuthority(...)`` and ``.intermediate(...)`` accept by keyword.

    ``key``: kind (``"ec-p256"``, the default, ``"rsa-2048"``, ...) or private key object. ``organization``: O of the
    subject, by default the marker text; None leaves it out. ``attributes``: further subject attributes, by short name
    or dotted OID. ``not_before``, ``not_after``: aware datetimes; default one hour ago and seven days ahead.
    ``path_length``: of basicConstraints. ``name_constraints``: RFC 5280, section 4.2.1.10, made critical. ``eku``:
    purposes, by default no such extension. ``ocsp_url``: where its issuer's responder is (authorityInfoAccess).
    ``crl_url``: where its issuer's revocation list is (cRLDistributionPoints). ``extensions``: further ones.
    ``serial``: positive, random by default.
    """

    key: PrivateKey | str
    organization: str | None
    attributes: Mapping[str, AttributeValue]
    not_before: datetime | None
    not_after: datetime | None
    path_length: int | None
    name_constraints: x509.NameConstraints | None
    eku: Sequence[x509.ObjectIdentifier] | None
    ocsp_url: str | None
    crl_url: str | None
    extensions: Sequence[ExtraExtension]
    serial: int | None


class LeafOptions(TypedDict, total=False):
    """What ``issue_server`` and ``issue_client`` accept by keyword.

    ``dns``, ``uris``, ``emails``, ``ips``: subjectAltName entries (A-labels for DNS; addresses as text or objects).
    ``organization`` and ``attributes``: subject attributes besides the common name, the latter by short name (``"OU"``,
    ``"organizationIdentifier"``) or dotted OID, one text or several. ``subject``: the whole name instead. ``eku``:
    purposes instead of the usual one; None leaves the extension out. The rest as in `AuthorityOptions`.
    """

    dns: Sequence[str]
    uris: Sequence[str]
    emails: Sequence[str]
    ips: Sequence[str | ipaddress.IPv4Address | ipaddress.IPv6Address]
    organization: str | None
    attributes: Mapping[str, AttributeValue]
    subject: x509.Name | None
    key: PrivateKey | str
    not_before: datetime | None
    not_after: datetime | None
    eku: Sequence[x509.ObjectIdentifier] | None
    ocsp_url: str | None
    crl_url: str | None
    extensions: Sequence[ExtraExtension]
    serial: int | None


_ATTRIBUTES: Final[dict[str, x509.ObjectIdentifier]] = {
    "CN": NameOID.COMMON_NAME,
    "C": NameOID.COUNTRY_NAME,
    "L": NameOID.LOCALITY_NAME,
    "ST": NameOID.STATE_OR_PROVINCE_NAME,
    "STREET": NameOID.STREET_ADDRESS,
    "O": NameOID.ORGANIZATION_NAME,
    "OU": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "DC": NameOID.DOMAIN_COMPONENT,
    "UID": NameOID.USER_ID,
    "title": NameOID.TITLE,
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "organizationIdentifier": NameOID.ORGANIZATION_IDENTIFIER,
    "businessCategory": NameOID.BUSINESS_CATEGORY,
    "jurisdictionCountryName": NameOID.JURISDICTION_COUNTRY_NAME,
}


def _attribute(name: str, value: str) -> x509.NameAttribute[str]:
    try:
        oid = _ATTRIBUTES[name] if name in _ATTRIBUTES else x509.ObjectIdentifier(name)
    except ValueError:
        raise ConfigurationError(
            f"subject attribute {name!r} is not known: use one of {', '.join(_ATTRIBUTES)}, or a dotted OID"
        ) from None
    try:
        return x509.NameAttribute(oid, value)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"subject attribute {name}={value!r} cannot be written: {error}") from None


def build_subject(
    common_name: str | None, *, organization: str | None, attributes: Mapping[str, AttributeValue]
) -> x509.Name:
    """Return the name O, *attributes* in their order, CN, each in an RDN of its own; None is left out."""
    pairs: list[tuple[str, str]] = [] if organization is None else [("O", organization)]
    for name, values in attributes.items():
        pairs.extend((name, value) for value in ((values,) if isinstance(values, str) else values))
    if common_name is not None:
        pairs.append(("CN", common_name))
    return x509.Name([_attribute(name, value) for name, value in pairs])


def utc_seconds(moment: datetime, name: str) -> datetime:
    """Return *moment* in UTC without microseconds, which X.509 does not have.

    Raises:
        ConfigurationError: It is naive; the message calls it *name*.
    """
    if moment.tzinfo is None:
        raise ConfigurationError(
            f"{name}={moment.isoformat()} has no time zone: give an aware datetime, for example with tzinfo=UTC"
        )
    return moment.astimezone(UTC).replace(microsecond=0)


def build_validity(not_before: datetime | None, not_after: datetime | None) -> tuple[datetime, datetime]:
    """Return both ends in UTC, whole seconds; None stands for one hour ago and for seven days from now.

    Raises:
        ConfigurationError: A datetime is naive, or the end is before the start.
    """
    now = datetime.now(UTC)
    first = utc_seconds(now - BEFORE_NOW if not_before is None else not_before, "not_before")
    last = utc_seconds(now + AFTER_NOW if not_after is None else not_after, "not_after")
    if last < first:
        raise ConfigurationError(
            f"not_after {last.isoformat()} is before not_before {first.isoformat()}: give both ends of the validity"
        )
    return first, last


def _ip_name(text: str | ipaddress.IPv4Address | ipaddress.IPv6Address) -> x509.IPAddress:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        raise ConfigurationError(f"{text!r} is not an IP address: names go into dns=, URIs into uris=") from None


def _text_name(
    kind: type[x509.DNSName | x509.RFC822Name | x509.UniformResourceIdentifier], text: str
) -> x509.GeneralName:
    if not text:
        raise ConfigurationError(f"an empty {kind.__name__} names nobody: leave it out")
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{kind.__name__} {text!r} cannot be written: {error}; use A-labels (xn--...)"
        ) from None


def build_alternative_names(options: LeafOptions) -> list[x509.GeneralName]:
    """Return the subjectAltName entries of *options*: DNS, IP, URI, e-mail, in this order."""
    names: list[x509.GeneralName] = [_text_name(x509.DNSName, text) for text in options.get("dns", ())]
    names += [_ip_name(address) for address in options.get("ips", ())]
    names += [_text_name(x509.UniformResourceIdentifier, text) for text in options.get("uris", ())]
    names += [_text_name(x509.RFC822Name, text) for text in options.get("emails", ())]
    return names


def sort_server_names(names: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Tell DNS names, IP addresses and URIs apart, as a person means who types ``issue_server("localhost", "::1")``."""
    dns: list[str] = []
    ips: list[str] = []
    uris: list[str] = []
    for name in names:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            (uris if "://" in name else dns).append(name)
        else:
            ips.append(name)
    return dns, ips, uris


def revocation_pointers(ocsp_url: str | None, crl_url: str | None) -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions, not critical, that say where to ask about a certificate (RFC 5280, 4.2.2.1, 4.2.1.13)."""
    pointers: list[tuple[x509.ExtensionType, bool]] = []
    if ocsp_url is not None:
        place = _text_name(x509.UniformResourceIdentifier, ocsp_url)
        access = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, place)
        pointers.append((x509.AuthorityInformationAccess([access]), False))
    if crl_url is not None:
        place = _text_name(x509.UniformResourceIdentifier, crl_url)
        point = x509.DistributionPoint([place], relative_name=None, reasons=None, crl_issuer=None)
        pointers.append((x509.CRLDistributionPoints([point]), False))
    return pointers


def leaf_key_usage(key: PrivateKey) -> x509.KeyUsage:
    """Return digitalSignature, and keyEncipherment for RSA, which may also transport a key (RFC 5246, 7.4.2)."""
    return key_usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPrivateKey))


def key_usage(
    *, digital_signature: bool = False, key_encipherment: bool = False, cert_sign: bool = False
) -> x509.KeyUsage:
    """Return a keyUsage with the given bits; *cert_sign* stands for keyCertSign and cRLSign together."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=cert_sign,
        crl_sign=cert_sign,
        encipher_only=False,
        decipher_only=False,
    )

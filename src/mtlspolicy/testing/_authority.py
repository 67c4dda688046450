"""A certificate authority for tests: issues correct X.509 v3 certificates (RFC 5280) and lists revoked ones.

Its keys stay in memory and its CA certificates carry a marker. It is no authority for production, and it does not build
broken certificates: those have names of their own in the catalogue.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self, Unpack

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing._issued import IssuedCertificate, pem_of
from mtlspolicy.testing._keys import PrivateKey, signature_hash
from mtlspolicy.testing._request import MARKER_TEXT, CertificateRequest, authority_request, leaf_request, sign_request
from mtlspolicy.testing._template import AuthorityOptions, LeafOptions, build_validity, sort_server_names, utc_seconds

if TYPE_CHECKING:
    from mtlspolicy.testing._responder import OCSPResponder

CN_LENGTH: Final = 64
"""Longest common name in characters: ub-common-name of RFC 5280, appendix A.1."""


class CertificateAuthority:
    """A test CA: a self-signed root when constructed, a subordinate when it comes from `intermediate` or `cross_sign`.

    Keys are fresh for each authority (P-256 by default: microseconds). RSA takes 50 milliseconds and more; where many
    authorities are made, pass ``key=pooled_key("rsa-2048", n)``, which keeps keys for the life of the process.

    Args:
        common_name: CN of the subject.
        options: See `AuthorityOptions`: ``key``, ``organization``, ``attributes``, ``not_before``, ``not_after``,
            ``path_length``, ``name_constraints``, ``eku``, ``ocsp_url``, ``crl_url``, ``extensions``, ``serial``.

    Raises:
        ConfigurationError: A value cannot be written into a certificate.
    """

    def __init__(self, common_name: str = f"{MARKER_TEXT} root", **options: Unpack[AuthorityOptions]) -> None:
        request = authority_request(common_name, options)
        der = sign_request(request, issuer=request.subject, issuer_key=request.key)
        self._take(der, request.key, (), der)

    def _take(self, der: bytes, key: PrivateKey, issuers_der: tuple[bytes, ...], root_der: bytes) -> None:
        self._der = der
        self._key = key
        self._issuers_der = issuers_der  # what follows a leaf in its chain
        self._root_der = root_der
        self._certificate = x509.load_der_x509_certificate(der)
        self._revoked: dict[int, x509.RevokedCertificate] = {}
        self._crl_number = 0
        self._issued: set[int] = set()

    @classmethod
    def _subordinate(cls, der: bytes, key: PrivateKey, issuers_der: tuple[bytes, ...], root_der: bytes) -> Self:
        self = cls.__new__(cls)
        self._take(der, key, (der, *issuers_der), root_der)
        return self

    def adopt(self, der: bytes, key: PrivateKey) -> Self:
        """Return an authority for a CA certificate, issued by this one, that was made elsewhere.

        Args:
            der: The CA certificate, DER; whether it is one, and a good one, is not looked at.
            key: Its private key.
        """
        return self._subordinate(der, key, self._issuers_der, self._root_der)

    def __repr__(self) -> str:
        """Name the authority by its subject (RFC 4514); nothing of the key."""
        return f"CertificateAuthority({self._certificate.subject.rfc4514_string()!r})"

    @property
    def certificate(self) -> x509.Certificate:
        """The CA certificate."""
        return self._certificate

    @property
    def der(self) -> bytes:
        """The CA certificate, DER."""
        return self._der

    @property
    def pem(self) -> bytes:
        """The CA certificate, PEM."""
        return pem_of(self._der)

    @property
    def key(self) -> PrivateKey:
        """The CA's private key, which is never written anywhere."""
        return self._key

    @property
    def root(self) -> x509.Certificate:
        """The root above this authority; its own certificate where it is one."""
        return x509.load_der_x509_certificate(self._root_der)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What a leaf of this authority presents after itself: this CA and those above it, without the root."""
        return tuple(x509.load_der_x509_certificate(der) for der in self._issuers_der)

    def intermediate(
        self, common_name: str = f"{MARKER_TEXT} intermediate", **options: Unpack[AuthorityOptions]
    ) -> Self:
        """Issue a subordinate CA and return it as an authority; same arguments as the constructor's."""
        request = authority_request(common_name, options)
        return self.adopt(self._issue_der(request), request.key)

    def cross_sign(self, other: CertificateAuthority) -> Self:
        """Certify the name and key of *other* by this authority as well (a cross certificate, RFC 5280, section 3.2).

        Returns:
            An authority with the key of *other*, whose leaves present the cross certificate and lead to this one's
            root. Leaf certificates issued by *other* validate through ``.certificate`` too. Revocations are kept apart.
        """
        renewed = x509.SubjectKeyIdentifier | x509.AuthorityKeyIdentifier  # written anew for every certificate
        extensions = tuple(
            (extension.value, extension.critical)
            for extension in other.certificate.extensions
            if not isinstance(extension.value, renewed)
        )
        validity = other.certificate.not_valid_before_utc, other.certificate.not_valid_after_utc
        request = CertificateRequest(other.certificate.subject, other.key, validity, extensions)
        return self.adopt(self._issue_der(request), other.key)

    def issue_server(
        self, *names: str, common_name: str | None = None, **options: Unpack[LeafOptions]
    ) -> IssuedCertificate:
        """Issue a certificate for a server (extendedKeyUsage serverAuth).

        Args:
            names: DNS names, IP addresses and URIs, told apart by their form, for the subjectAltName.
            common_name: CN of the subject, for people to read (RFC 9525 matches the SAN alone); default the first of
                *names* that fits its 64 characters. ``subject=x509.Name([])`` makes an empty subject.
            options: See `LeafOptions`.

        Raises:
            ConfigurationError: No name at all, or a value that cannot be written.
        """
        dns, ips, uris = sort_server_names(names)
        options["dns"] = [*dns, *options.get("dns", ())]
        options["ips"] = [*ips, *options.get("ips", ())]
        options["uris"] = [*uris, *options.get("uris", ())]
        if common_name is None and options.get("subject") is None:
            common_name = next((name for name in names if 0 < len(name) <= CN_LENGTH), None)
        return self._issue_leaf(common_name, ExtendedKeyUsageOID.SERVER_AUTH, options)

    def issue_client(self, common_name: str | None = None, **options: Unpack[LeafOptions]) -> IssuedCertificate:
        """Issue a certificate for a client (extendedKeyUsage clientAuth).

        Args:
            common_name: CN of the subject, if any.
            options: See `LeafOptions`: ``dns``, ``uris``, ``emails``, ``ips``, ``organization``, ``attributes``, ...

        Raises:
            ConfigurationError: No name at all, or a value that cannot be written.
        """
        return self._issue_leaf(common_name, ExtendedKeyUsageOID.CLIENT_AUTH, options)

    def revoke(
        self,
        leaf: IssuedCertificate | x509.Certificate,
        *,
        reason: x509.ReasonFlags | None = None,
        at: datetime | None = None,
    ) -> None:
        """Revoke *leaf*, for `crl` and for the responder; revoking again replaces reason and time.

        Args:
            leaf: A certificate that bears this authority's name as issuer.
            reason: RFC 5280, section 5.3.1; left out by default, which that section prefers to "unspecified".
            at: When it was revoked, aware; default now.

        Raises:
            ConfigurationError: *leaf* comes from another issuer, or *at* is naive.
        """
        certificate = leaf.certificate if isinstance(leaf, IssuedCertificate) else leaf
        if certificate.issuer != self._certificate.subject:
            raise ConfigurationError(
                f"{certificate.issuer.rfc4514_string()} issued this certificate, not "
                f"{self._certificate.subject.rfc4514_string()}: revoke it at its issuer"
            )
        moment = utc_seconds(datetime.now(UTC) if at is None else at, "at")
        entry = x509.RevokedCertificateBuilder(certificate.serial_number, moment)
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        self._revoked[certificate.serial_number] = entry.build()

    def crl(
        self, *, this_update: datetime | None = None, next_update: datetime | None = None
    ) -> x509.CertificateRevocationList:
        """Sign the list of revoked certificates (RFC 5280, section 5), with a cRLNumber that grows by one each time.

        Args:
            this_update: Aware; default one hour ago.
            next_update: Aware; default seven days ahead.
        """
        first, last = build_validity(this_update, next_update)
        self._crl_number += 1
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(first)
            .next_update(last)
            .add_extension(x509.CRLNumber(self._crl_number), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for entry in self._revoked.values():
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self._key, signature_hash(self._key))

    def ocsp_responder(self) -> OCSPResponder:
        """Return a responder for this authority's certificates, an HTTP server on loopback, for ``with``.

        It says good of what this authority issued, revoked of what it revoked, unknown of everything else, and serves
        the revocation list as well; see `OCSPResponder` for other answers.
        """
        from mtlspolicy.testing._responder import OCSPResponder

        return OCSPResponder(self)

    def _issue_leaf(
        self, common_name: str | None, purpose: x509.ObjectIdentifier, options: LeafOptions
    ) -> IssuedCertificate:
        request = leaf_request(common_name, purpose, options)
        return IssuedCertificate(self._issue_der(request), request.key, self._root_der, self._issuers_der)

    def _issue_der(self, request: CertificateRequest) -> bytes:
        der = sign_request(request, issuer=self._certificate.subject, issuer_key=self._key)
        self._issued.add(x509.load_der_x509_certificate(der).serial_number)
        return der

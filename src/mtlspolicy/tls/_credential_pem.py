"""What the files of a credential hold: certificates, private keys, or something else that people put there by mistake.

It decides which blocks are which and says how to convert the rest; whether key and certificates belong together is for
`_credential_chain`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key

from mtlspolicy._pem import PemBlock, read_pem
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.tls._credential_source import Secret, Source

CERTIFICATE_LABELS: Final = ("CERTIFICATE", "X509 CERTIFICATE")
_REQUEST_LABELS: Final = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_TRUSTED_LABEL: Final = "TRUSTED CERTIFICATE"
_PKCS7_LABELS: Final = ("PKCS7", "CMS", "PKCS #7 SIGNED DATA")
_PKCS12_START: Final = re.compile(rb"\x30(?:[\x00-\x7f]|\x81.|\x82..|\x83...|\x80)\x02\x01\x03", re.DOTALL)
"""SEQUENCE that begins with INTEGER 3: the PFX of RFC 7292, section 4, and neither a certificate nor a PKCS #8 key."""


@dataclass(frozen=True, slots=True)
class KeyBlock:
    """A PEM block with a private key, not yet parsed.

    Attributes:
        label: For example ``ENCRYPTED PRIVATE KEY``.
        text: The whole block, PEM.
        encrypted: Whether it needs a password (PKCS #8, RFC 5958, or the header of the old OpenSSL form).
    """

    label: str
    text: Secret
    encrypted: bool


@dataclass(frozen=True, slots=True)
class PemContent:
    """What one source holds.

    Attributes:
        source: Where it came from.
        labels: Labels of all blocks, in order.
        certificates_der: Content of the certificate blocks, DER, in order.
        keys: The private key blocks, in order.
    """

    source: Source
    labels: tuple[str, ...]
    certificates_der: tuple[bytes, ...]
    keys: tuple[KeyBlock, ...]

    def certificates(self) -> tuple[x509.Certificate, ...]:
        """Parse the certificates.

        Raises:
            ConfigurationError: There is none, or one does not parse.
        """
        if not self.certificates_der:
            raise ConfigurationError(_without_certificate(self), code="credential.no-certificate")
        return tuple(_certificate(self.source, number, der) for number, der in enumerate(self.certificates_der, 1))

    def key(self) -> KeyBlock:
        """Return the one private key block.

        Raises:
            ConfigurationError: There is none, or more than one.
        """
        if len(self.keys) == 1:
            return self.keys[0]
        if self.keys:
            raise ConfigurationError(
                f"{self.source.name} holds {len(self.keys)} private keys, and which one is meant cannot be told: keep "
                "only the key of the end entity's certificate in it",
                code="credential.no-key",
            )
        raise ConfigurationError(_without_key(self), code="credential.no-key")


def read_content(source: Source) -> PemContent:
    """Sort the PEM blocks of *source*. Text around blocks, CR LF line ends and a byte order mark do not matter.

    Raises:
        ConfigurationError: Malformed PEM, no PEM at all, or a block whose meaning is refused.
    """
    blocks, problem = _blocks(source)
    if problem is not None:
        raise ConfigurationError(
            f"{source.name}: {problem}. The file is cut off or was changed: copy it again, whole",
            code="credential.malformed",
        )
    if not blocks:
        raise ConfigurationError(f"{source.name} {_no_pem(source)}", code="credential.malformed")
    labels = tuple(block.label for block in blocks)
    if _TRUSTED_LABEL in labels:
        raise ConfigurationError(
            f"{source.name} holds a 'BEGIN {_TRUSTED_LABEL}' block, which carries trust settings of OpenSSL beside the "
            f"certificate and is refused: convert it with openssl x509 -in {source.argument} -out plain.pem",
            code="credential.malformed",
        )
    certificates = tuple(block.der for block in blocks if block.label in CERTIFICATE_LABELS)
    return PemContent(source, labels, certificates, _key_blocks(source, labels))


def _blocks(source: Source) -> tuple[tuple[PemBlock, ...], str | None]:
    # The error is made by the caller, outside this handler: as its context it would keep frames that hold lines of the
    # key.
    try:
        return read_pem(source.content.reveal()), None
    except MalformedEvidence as error:
        return (), str(error)


def _key_blocks(source: Source, labels: tuple[str, ...]) -> tuple[KeyBlock, ...]:
    found: list[KeyBlock] = []
    for label in dict.fromkeys(label for label in labels if label.endswith("PRIVATE KEY")):
        pattern = rb"-----BEGIN %b-----.*?-----END %b-----" % (label.encode(), label.encode())
        for match in re.finditer(pattern, source.content.reveal(), re.DOTALL):
            old = (
                re.search(rb"^Proc-Type:[ \t]*4,[ \t]*ENCRYPTED", match[0], re.MULTILINE) is not None
            )  # RFC 1421, 4.6.1.1
            found.append(KeyBlock(label, Secret(match[0] + b"\n"), label == "ENCRYPTED PRIVATE KEY" or old))
    return tuple(found)


def _certificate(source: Source, number: int, der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, Warning):  # a warning, where the caller makes errors of them
        raise ConfigurationError(
            f"{source.name}: certificate number {number} is not an X.509 certificate that can be read: have it "
            f"issued again, or take it out. Look at it with openssl x509 -in {source.argument} -noout -text",
            code="credential.malformed",
        ) from None


def _no_pem(source: Source) -> str:
    data, at = source.content, source.argument
    if not data.reveal().strip():
        return "is empty: expected PEM, beginning with '-----BEGIN'"
    if data.reveal()[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "is UTF-16 text, as PowerShell's '>' writes it, not PEM: save it again as ASCII"
    if _PKCS12_START.match(data.reveal()):
        return "is PKCS #12, not PEM: use Credential.from_pkcs12"
    kind = _der_kind(data)
    if kind is not None:
        command = "x509" if kind == "a certificate" else "pkey"
        return (
            f"is {kind} in DER, and PEM is expected: convert it with "
            f"openssl {command} -inform DER -in {at} -out converted.pem"
        )
    return (
        "holds no PEM: expected a block that begins with '-----BEGIN CERTIFICATE-----' or '-----BEGIN PRIVATE KEY-----'"
    )


def _der_kind(data: Secret) -> str | None:
    with suppress(ValueError, x509.InvalidVersion):
        x509.load_der_x509_certificate(data.reveal())
        return "a certificate"
    with suppress(ValueError, UnsupportedAlgorithm):
        with suppress(TypeError):  # encrypted
            load_der_private_key(data.reveal(), None)
        return "a private key"
    return None


def _without_certificate(content: PemContent) -> str:
    name, at = content.source.name, content.source.argument
    if content.keys:
        return (
            f"{name} holds a private key and no certificate: give the file with the certificates as chain_path and "
            "this one as key_path"
        )
    if any(label in _REQUEST_LABELS for label in content.labels):
        return (
            f"{name} holds a certificate request, not a certificate: a CA signs the request, for example with "
            f"openssl x509 -req -in {at} -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem"
        )
    if any(label in _PKCS7_LABELS for label in content.labels):
        return f"{name} holds PKCS #7: convert it with openssl pkcs7 -in {at} -print_certs -out chain.pem"
    return (
        f"{name} holds no certificate, only {', '.join(content.labels)}: expected blocks that begin with "
        "'-----BEGIN CERTIFICATE-----', the end entity's first"
    )


def _without_key(content: PemContent) -> str:
    name, at = content.source.name, content.source.argument
    if "PUBLIC KEY" in content.labels:
        return f"{name} holds a public key and no private key: give the file that the public key was made from"
    if content.certificates_der:
        return (
            f"{name} holds a certificate and no private key: give the file with the private key as key_path, the one "
            "that openssl genpkey, openssl genrsa or openssl req -newkey wrote"
        )
    return (
        f"{name} holds no private key, only {', '.join(content.labels)}: expected a block that begins with "
        f"'-----BEGIN PRIVATE KEY-----'; look at it with openssl pkey -in {at} -noout"
    )

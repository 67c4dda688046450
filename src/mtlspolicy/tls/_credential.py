"""`Credential`: one's own certificate chain and private key, checked against each other when it is made.

It decides whether key and certificates belong together and in which order they are sent. It does not decide whether any
peer trusts them, and reads no clock. Keys behind PKCS #11 or an engine of OpenSSL are out of scope: the key must be in
a file or in memory.
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterable
from datetime import datetime
from typing import NoReturn, final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential_chain import name_of, order_chain
from mtlspolicy.tls._credential_findings import Finding, Role, find
from mtlspolicy.tls._credential_handover import hand_over
from mtlspolicy.tls._credential_pem import PemContent, read_content
from mtlspolicy.tls._credential_source import Password, PasswordSource, Secret, Source
from mtlspolicy.tls._key_loading import PrivateKey, load_key, usable_key

__all__ = ["Credential", "Finding"]


@final
class Credential:
    """A certificate chain and the private key of its end entity. Frozen; equal to another with the same chain.

    Made by `from_files`, `from_pem`, `from_pkcs12` or `of`. What the constructors check is what `load_into` loads: no
    file is read a second time. The private key has no public name, and no `repr`, pickle or `dataclasses.asdict` shows
    it.

    Attributes:
        chain: What is sent, end entity first, without the root.
        notes: Plain sentences about what was put right (order, duplicates, root) or looks incomplete.
    """

    __slots__ = ("_key", "chain", "notes")

    chain: tuple[x509.Certificate, ...]
    notes: tuple[str, ...]
    _key: PrivateKey

    def __init__(self, *_: object, **__: object) -> None:
        """Refuse: a credential is made by one of the class methods."""
        raise TypeError("make a Credential by Credential.from_files, .from_pem, .from_pkcs12 or .of")

    @classmethod
    def from_files(
        cls,
        chain_path: str | os.PathLike[str],
        key_path: str | os.PathLike[str] | None = None,
        *,
        password: Password = None,
    ) -> Credential:
        """Read PEM files.

        Args:
            chain_path: The end entity's certificate and the intermediates above it, in any order.
            key_path: The private key (PKCS #8, or the older forms of OpenSSL); ``None``: it is in the chain's file.
            password: Of an encrypted key: text (UTF-8), bytes, or a callable, asked only when the key is encrypted.

        Raises:
            ConfigurationError: Names the file, what is wrong with it and what mends it.
        """
        secret = PasswordSource(password)
        del password  # not in a local variable that a traceback may show
        chain = Source.of_file(chain_path, "the certificate chain (PEM)")
        key = None if key_path is None else Source.of_file(key_path, "the private key (PEM)")
        return cls._from_sources(chain, key, secret)

    @classmethod
    def from_pem(cls, chain: bytes | str, key: bytes | str | None = None, password: Password = None) -> Credential:
        """Take PEM that is already in memory; the arguments are the contents of the files of `from_files`.

        Raises:
            ConfigurationError: Says what is wrong and what mends it.
        """
        secret = PasswordSource(password)
        chain_source = Source.of_bytes(chain, "chain", "chain.pem")
        key_source = None if key is None else Source.of_bytes(key, "key", "key.pem")
        del chain, key, password
        return cls._from_sources(chain_source, key_source, secret)

    @classmethod
    def from_pkcs12(cls, data: bytes | str | os.PathLike[str], password: Password = None) -> Credential:
        """Take PKCS #12 (RFC 7292, ``.p12`` or ``.pfx``): its content as bytes, or the path of a file.

        Raises:
            ConfigurationError: Says what is wrong and what mends it.
        """
        secret = PasswordSource(password)
        if isinstance(data, str | os.PathLike):
            source = Source.of_file(data, "the PKCS #12 file")
        else:
            source = Source.of_bytes(data, "PKCS #12", "credential.p12")
        del data, password
        bundle, problem = _open_pkcs12(source, secret)
        if bundle is None:
            raise ConfigurationError(f"{source.name} {problem}", code="credential.pkcs12")
        certificates = [one.certificate for one in (bundle.cert, *bundle.additional_certs) if one is not None]
        lacking = "private key" if bundle.key is None else "certificate"
        if bundle.key is None or not certificates:
            raise ConfigurationError(
                f"{source.name} holds no {lacking}: export both, with openssl pkcs12 -export -in chain.pem -inkey "
                "key.pem -out new.p12",
                code="credential.pkcs12",
            )
        return cls._make(certificates, usable_key(bundle.key, f"the key in {source.name}"), source, source)

    @classmethod
    def of(cls, certificates: x509.Certificate | Iterable[x509.Certificate], key: PrivateKeyTypes) -> Credential:
        """Take objects of ``cryptography``: the certificate or the chain, in any order, and the private key.

        Raises:
            ConfigurationError: Says what is wrong and what mends it.
        """
        chain = _certificates(certificates if isinstance(certificates, Iterable) else (certificates,))
        if not chain:
            raise ConfigurationError(
                "the certificates given are not one or more cryptography.x509.Certificate: pass [certificate, "
                "*intermediates], or PEM to Credential.from_pem"
            )
        source, none = (
            Source("the chain given", "chain.pem", Secret(b"")),
            Source("the key given", "key.pem", Secret(b"")),
        )
        return cls._make(chain, usable_key(key, "the key given"), source, none)

    @classmethod
    def _from_sources(cls, chain: Source, key: Source | None, password: PasswordSource) -> Credential:
        chain_content = read_content(chain)
        key_content = chain_content if key is None else read_content(key)
        _refuse_swapped(chain_content, key_content)
        certificates = chain_content.certificates()
        block = key_content.key()
        notes: list[str] = []
        if key is not None and chain_content.keys:
            notes.append(
                f"{chain.name} holds a private key too, which is not used: take it out, {key_content.source.name} has "
                "one"
            )
        if password.given and not block.encrypted:
            notes.append(f"the key in {key_content.source.name} is not encrypted, and the password given is not used")
        return cls._make(certificates, load_key(block, key_content.source, password), chain, key_content.source, notes)

    @classmethod
    def _make(
        cls,
        certificates: Iterable[x509.Certificate],
        key: PrivateKey,
        chain: Source,
        origin: Source,
        notes: Iterable[str] = (),
    ) -> Credential:
        ordered = order_chain(tuple(certificates), key, chain, origin)
        credential = object.__new__(cls)
        for name, value in (("chain", ordered.certificates), ("notes", (*notes, *ordered.notes)), ("_key", key)):
            object.__setattr__(credential, name, value)
        return credential

    @property
    def certificate(self) -> x509.Certificate:
        """The end entity's certificate."""
        return self.chain[0]

    @property
    def subject(self) -> str:
        """The end entity's subject as RFC 4514 text, escaped for printing."""
        return name_of(self.certificate)

    @property
    def certificate_sha256(self) -> str:
        """SHA-256 of the end entity's certificate (DER), lower-case hex."""
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()

    def findings(self, role: Role, at: datetime | None = None) -> tuple[Finding, ...]:
        """Say what is wrong with the chain in a role; an empty tuple: nothing was found. No trust is judged.

        Args:
            role: ``"server"`` or ``"client"``.
            at: The time to judge validity at, with a time zone; ``None``: validity is not judged, no clock is read.

        Raises:
            ConfigurationError: *role* is something else, or *at* has no time zone.
        """
        return find(self.chain, role, at)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Load chain and key into *context*. The key never lies anywhere unencrypted; on Linux it touches no disk.

        Raises:
            ConfigurationError: OpenSSL refuses them, or there is no place to hand them over from; do not use *context*
                then.
        """
        hand_over(context, self.chain, self._key)

    def __repr__(self) -> str:
        """Show the subject and the certificate's SHA-256, never the key."""
        return f"<Credential {self.subject} sha256={self.certificate_sha256}>"

    def __eq__(self, other: object) -> bool:
        """Compare the chains that are sent; the key follows from the end entity's certificate."""
        return self.chain == other.chain if isinstance(other, Credential) else NotImplemented

    def __hash__(self) -> int:
        """Hash of the chain."""
        return hash(self.chain)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        """Refuse: a credential is frozen."""
        raise AttributeError(f"a Credential is frozen: {name} cannot be set; make another one")

    def __delattr__(self, name: str) -> NoReturn:
        """Refuse: a credential is frozen."""
        raise AttributeError(f"a Credential is frozen: {name} cannot be deleted")

    def __copy__(self) -> Credential:
        """Return itself: it is immutable."""
        return self

    def __deepcopy__(self, memo: object) -> Credential:
        """Return itself, so that ``dataclasses.asdict`` of a class that holds it shows no key."""
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to pickle: the private key stays in this process."""
        raise TypeError("a Credential does not pickle, because it holds a private key: make it again from its files")

    def __getstate__(self) -> NoReturn:
        """Refuse to pickle."""
        raise TypeError("a Credential does not pickle, because it holds a private key: make it again from its files")


def _certificates(given: Iterable[object]) -> list[x509.Certificate]:
    values = list(given)
    certificates = [one for one in values if isinstance(one, x509.Certificate)]
    return certificates if len(certificates) == len(values) else []


def _refuse_swapped(chain: PemContent, key: PemContent) -> None:
    if chain.keys and not chain.certificates_der and key.certificates_der and not key.keys:
        raise ConfigurationError(
            f"the files are swapped: {chain.source.name} holds the private key and {key.source.name} the certificate. "
            "Give the certificates first and the key second",
            code="credential.swapped",
        )


def _open_pkcs12(source: Source, password: PasswordSource) -> tuple[pkcs12.PKCS12KeyAndCertificates | None, str]:
    if b"-----BEGIN" in source.content.reveal():
        return None, "is PEM, not PKCS #12: use Credential.from_files or Credential.from_pem"
    secret = password.ask(source.name)
    try:
        return pkcs12.load_pkcs12(source.content.reveal(), None if secret is None else secret.reveal()), ""
    except Exception as error:  # noqa: BLE001 - many kinds for hostile bytes; every one means that it cannot be read
        wrong = "password" in str(error)
    if wrong and secret is None:
        return None, "cannot be opened without a password: pass password="
    renew = f"openssl pkcs12 -legacy -in {source.argument} -nodes | openssl pkcs12 -export -out new.p12"
    if wrong:
        return (
            None,
            f"cannot be opened: the password is wrong or the file damaged. If openssl opens it, renew it: {renew}",
        )
    return None, f"is not PKCS #12 that can be read: give a .p12 or .pfx file; renew one of an old kind with {renew}"

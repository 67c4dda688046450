"""Credentials that cannot be right: each is refused at construction by naming the file, the rule and the remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mtlspolicy._pem import write_pem
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.testing import _der_writer as der
from mtlspolicy.testing._hand_made import HandMade
from mtlspolicy.tls._credential import Credential

ROOT = CertificateAuthority("Broken Root")
ISSUING = ROOT.intermediate("Broken Issuing CA")
SERVER = ISSUING.issue_server("server.test")
OTHER = ISSUING.issue_server("other.test")
CHAIN, KEY = SERVER.chain_pem, SERVER.key_pem
ENCRYPTED = SERVER.encrypted_key_pem(b"the password")


class Case(NamedTuple):
    """A broken set-up: contents of the files, and what the message has to say."""

    chain: bytes
    key: bytes | None
    says: tuple[str, ...]
    password: str | bytes | None = None


def relabelled(pem: bytes, label: bytes) -> bytes:
    """Return the PEM of a certificate with another label."""
    return pem.replace(b" CERTIFICATE-----", b" " + label + b"-----")


def pem_of(key: dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey) -> bytes:
    """Return a private key as PKCS #8."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


PUBLIC = SERVER.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER_KEY = SERVER.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
OPENSSH = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
WITH_HEADERS = (
    b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: CAMELLIA-128-CBC,"
    b"00112233445566778899AABBCCDDEEFF\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END RSA PRIVATE KEY-----\n"
)
NOT_A_KEY = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
UNKNOWN_KIND = (  # PKCS #8 whose algorithm is 1.2.3
    b"-----BEGIN PRIVATE KEY-----\nMA0CAQAwBAYCKgMEAgQA\n-----END PRIVATE KEY-----\n"
)
VERSION_7 = replace(HandMade.of(SERVER.certificate), version=der.explicit(0, der.integer(6))).signed_by(ISSUING.key)
REQUEST = relabelled(SERVER.certificate_pem, b"CERTIFICATE REQUEST")

CASES = {
    "empty chain": Case(b" \n", KEY, ("chain.pem", "is empty", "-----BEGIN")),
    "chain without PEM": Case(b"hello", KEY, ("chain.pem", "holds no PEM", "-----BEGIN CERTIFICATE-----")),
    "chain in DER": Case(SERVER.der, KEY, ("chain.pem", "a certificate in DER", "openssl x509 -inform DER -in")),
    "key in DER": Case(CHAIN, DER_KEY, ("own.key", "a private key in DER", "openssl pkey -inform DER -in")),
    "chain is PKCS #12": Case(SERVER.pkcs12(b"x"), KEY, ("chain.pem", "is PKCS #12", "Credential.from_pkcs12")),
    "junk that begins like DER": Case(b"\x30\x03junk", KEY, ("chain.pem", "holds no PEM")),
    "UTF-16": Case(CHAIN.decode().encode("utf-16"), KEY, ("chain.pem", "UTF-16", "save it again as ASCII")),
    "chain cut off": Case(CHAIN[:-30], KEY, ("chain.pem", "not PEM", "copy it again, whole")),
    "key cut off": Case(CHAIN, KEY[:-30], ("own.key", "not PEM", "copy it again, whole")),
    "chain is a key": Case(KEY, None, ("chain.pem", "a private key and no certificate", "as chain_path")),
    "chain is a key beside a key": Case(KEY, KEY, ("chain.pem", "a private key and no certificate")),
    "key is a certificate": Case(CHAIN, CHAIN, ("own.key", "a certificate and no private key", "as key_path")),
    "no key anywhere": Case(CHAIN, None, ("chain.pem", "a certificate and no private key", "as key_path")),
    "swapped": Case(KEY, CHAIN, ("swapped", "chain.pem", "own.key", "certificates first")),
    "key of another certificate": Case(
        OTHER.chain_pem,
        KEY,
        ("own.key", "does not belong", "CN=other.test", "chain.pem", "sha256/", "openssl pkey", "openssl x509"),
    ),
    "key of the CA": Case(
        CHAIN,
        ISSUING.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        ("own.key", "belongs to the CA certificate CN=Broken Issuing CA", "CN=server.test", "openssl pkey"),
    ),
    "encrypted, no password": Case(CHAIN, ENCRYPTED, ("own.key", "no password was given", "password=", "openssl pkey")),
    "encrypted, empty password": Case(CHAIN, ENCRYPTED, ("own.key", "no password was given"), ""),
    "encrypted, wrong password": Case(CHAIN, ENCRYPTED, ("own.key", "does not open it", "password="), "wrong"),
    "password of another type": Case(CHAIN, ENCRYPTED, ("own.key", "neither bytes nor str"), 7),  # type: ignore[arg-type]
    "password that is no text": Case(CHAIN, ENCRYPTED, ("own.key", "that UTF-8 can write", "password="), "\ud800"),
    "old cipher": Case(CHAIN, WITH_HEADERS, ("own.key", "old cipher", "openssl pkcs8 -topk8 -v2 aes-256-cbc"), "x"),
    "only CA certificates": Case(
        ISSUING.pem + ROOT.pem,
        KEY,
        ("chain.pem", "only CA certificates", "Broken Issuing CA", "end entity's certificate is"),
    ),
    "leaf and root, intermediate missing": Case(
        SERVER.certificate_pem + ROOT.pem,
        KEY,
        (
            "chain.pem",
            "CN=Broken Root",
            "issued none",
            "it lacks CN=Broken Issuing CA",
            "intermediate that is missing",
        ),
    ),
    "unrelated certificate": Case(CHAIN + OTHER.certificate_pem, KEY, ("chain.pem", "CN=other.test", "take it out")),
    "certificate that does not parse": Case(
        CHAIN + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        KEY,
        ("chain.pem", "certificate number 3", "issued again", "openssl x509 -in"),
    ),
    "certificate of version 7": Case(write_pem(VERSION_7).encode(), KEY, ("chain.pem", "number 1", "issued again")),
    "certificate of version 7 in DER": Case(VERSION_7, KEY, ("chain.pem", "holds no PEM")),
    "trusted certificate": Case(
        relabelled(CHAIN, b"TRUSTED CERTIFICATE"),
        KEY,
        ("chain.pem", "TRUSTED CERTIFICATE", "refused", "openssl x509 -in"),
    ),
    "certificate request": Case(REQUEST, KEY, ("chain.pem", "certificate request", "openssl x509 -req -in")),
    "PKCS #7": Case(relabelled(CHAIN, b"PKCS7"), KEY, ("chain.pem", "PKCS #7", "openssl pkcs7 -in", "-print_certs")),
    "a CRL": Case(
        relabelled(CHAIN, b"X509 CRL"), KEY, ("chain.pem", "no certificate, only X509 CRL", "BEGIN CERTIFICATE")
    ),
    "public key": Case(CHAIN, PUBLIC, ("own.key", "a public key and no private key", "was made from")),
    "parameters alone": Case(
        CHAIN, relabelled(SERVER.certificate_pem, b"EC PARAMETERS"), ("own.key", "no private key, only EC PARAMETERS")
    ),
    "two keys": Case(CHAIN, KEY + OTHER.key_pem, ("own.key", "holds 2 private keys", "keep only the key")),
    "OpenSSH key": Case(CHAIN, OPENSSH, ("own.key", "OpenSSH's own form", "ssh-keygen -p -m PKCS8 -f")),
    "key block without key": Case(CHAIN, NOT_A_KEY, ("own.key", "cannot be read", "openssl pkey -in")),
    "key of unknown kind": Case(CHAIN, UNKNOWN_KIND, ("own.key", "openssl")),
    "DSA key": Case(CHAIN, pem_of(dsa.generate_private_key(2048)), ("own.key", "DSAPrivateKey", "TLS needs RSA")),
    "key agreement key": Case(
        CHAIN, pem_of(x25519.X25519PrivateKey.generate()), ("own.key", "X25519PrivateKey", "genpkey")
    ),
    "brainpool key": Case(
        CHAIN,
        pem_of(ec.generate_private_key(ec.BrainpoolP256R1())),
        ("own.key", "brainpoolP256r1", "P-256, P-384 or P-521"),
    ),
    "secp256k1 key": Case(
        CHAIN, pem_of(ec.generate_private_key(ec.SECP256K1())), ("own.key", "secp256k1", "openssl genpkey")
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_broken_set_up_is_named(tmp_path: Path, case: Case) -> None:
    """The error of construction names the file, the rule and the remedy, in one printable line."""
    chain, key = tmp_path / "chain.pem", tmp_path / "own.key"
    chain.write_bytes(case.chain)
    if case.key is not None:
        key.write_bytes(case.key)
    with pytest.raises(ConfigurationError) as caught:
        Credential.from_files(chain, None if case.key is None else key, password=case.password)
    message = str(caught.value)
    assert [text for text in case.says if text not in message] == []
    assert str(tmp_path) in message
    assert message.isprintable()


PATHS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "missing": (lambda folder: folder / "nothing.pem", ("nothing.pem", "no such file", "Give the path of")),
    "directory": (lambda folder: folder, ("it is a directory", "certificate chain")),
    "a file as directory": (lambda folder: folder / "file" / "x.pem", ("x.pem", "cannot be read", "readable file")),
    "NUL in the name": (lambda _: "a\0b.pem", ("a\\x00b.pem", "cannot be read")),
    "endless": (lambda folder: folder / "large", ("large", "larger than 1048576 bytes")),
    "PEM as path": (lambda _: CHAIN.decode(), ("is PEM text, not a path", "Credential.from_pem")),
    "bytes as path": (lambda _: CHAIN, ("is a bytes, not str or os.PathLike", "Credential.from_pem")),
}


@pytest.mark.parametrize(("make", "says"), PATHS.values(), ids=PATHS)
def test_a_path_that_cannot_be_read_is_named(
    tmp_path: Path, make: Callable[[Path], object], says: tuple[str, ...]
) -> None:
    """A path that leads to no readable file is named, with what should be there."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "large").write_bytes(b"x" * ((1 << 20) + 1))
    with pytest.raises(ConfigurationError) as caught:
        Credential.from_files(make(tmp_path))  # type: ignore[arg-type]
    assert [text for text in says if text not in str(caught.value)] == []


@contextmanager
def nobody() -> Iterator[None]:
    """Be an unprivileged user for a while: the super-user may read everything."""
    if not hasattr(os, "seteuid"):
        pytest.skip("no POSIX users here")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_a_file_of_somebody_else_is_named(tmp_path: Path) -> None:
    """A file that this user may not read is named, with the permissions that it should have."""
    chain, key = SERVER.files(tmp_path, name="server")
    chain.chmod(0)
    with nobody(), pytest.raises(ConfigurationError) as caught:
        Credential.from_files(chain, key)
    for text in ("server.pem", "may not read it", "chmod 0400"):
        assert text in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, SERVER.certificate])
def test_from_pem_refuses_other_types(value: object) -> None:
    """Content is bytes or text; anything else is named by its type."""
    with pytest.raises(
        ConfigurationError, match=rf"the chain given is a {type(value).__name__}: .* Credential.from_files"
    ):
        Credential.from_pem(value)  # type: ignore[arg-type]


def test_from_pem_names_what_was_given() -> None:
    """Without a file, messages name the argument."""
    with pytest.raises(ConfigurationError, match="the key in the key given does not belong .* CN=other.test"):
        Credential.from_pem(OTHER.chain_pem, KEY)


@pytest.mark.parametrize("certificates", [[], ["text"], [CHAIN]])
def test_of_refuses_what_is_no_certificate(certificates: list[object]) -> None:
    """At least one certificate object is needed, and nothing else."""
    with pytest.raises(ConfigurationError, match="not one or more cryptography.x509.Certificate.*Credential.from_pem"):
        Credential.of(certificates, SERVER.key)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [KEY, SERVER.key.public_key(), None])
def test_of_refuses_what_is_no_key(key: object) -> None:
    """A key in PEM, a public key and nothing at all are refused by type."""
    with pytest.raises(ConfigurationError, match="the key given is a .*, which this library does not use"):
        Credential.of(SERVER.chain, key)  # type: ignore[arg-type]


def test_of_refuses_the_key_of_another_certificate() -> None:
    """Objects are held against each other like files."""
    with pytest.raises(ConfigurationError, match="does not belong to the certificate .*CN=server.test"):
        Credential.of(SERVER.chain, rsa.generate_private_key(65537, 2048))


def openssl(*arguments: str) -> None:
    """Run the openssl program, or skip where there is none."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program is not installed")
    subprocess.run(["openssl", *arguments], capture_output=True, check=True)


PKCS12: dict[str, tuple[bytes, str | None, tuple[str, ...]]] = {
    "wrong password": (SERVER.pkcs12(b"x"), "y", ("own.p12", "password is wrong", "openssl pkcs12 -legacy -in")),
    "no password": (SERVER.pkcs12(b"x"), None, ("own.p12", "without a password", "password=")),
    "PEM": (CHAIN, None, ("own.p12", "is PEM, not PKCS #12", "Credential.from_files")),
    "junk": (b"junk", None, ("own.p12", "not PKCS #12 that can be read", "openssl pkcs12 -legacy -in")),
    "empty": (b"", "x", ("own.p12", "not PKCS #12 that can be read")),
}


@pytest.mark.parametrize(("data", "password", "says"), PKCS12.values(), ids=PKCS12)
def test_broken_pkcs12_is_named(tmp_path: Path, data: bytes, password: str | None, says: tuple[str, ...]) -> None:
    """PKCS #12 that does not open is named, with the way to open or renew it."""
    path = tmp_path / "own.p12"
    path.write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        Credential.from_pkcs12(path, password)
    assert [text for text in says if text not in str(caught.value)] == []


@pytest.mark.parametrize(("option", "lacking"), [("-nokeys", "private key"), ("-nocerts", "certificate")])
def test_pkcs12_without_one_half_is_named(tmp_path: Path, option: str, lacking: str) -> None:
    """PKCS #12 with certificates alone, or the key alone, says which is missing and how to export both."""
    chain, key = SERVER.files(tmp_path, name="server")
    path = tmp_path / "half.p12"
    openssl(
        *("pkcs12", "-export", option, "-in", str(chain), "-inkey", str(key), "-passout", "pass:x", "-out", str(path))
    )
    with pytest.raises(ConfigurationError, match=rf"half\.p12' holds no {lacking}: .*openssl pkcs12 -export"):
        Credential.from_pkcs12(path, "x")

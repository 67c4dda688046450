"""`Credential`: ways in, what it shows, and that nothing shows the key."""

from __future__ import annotations

import hashlib
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import mldsa

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls._credential import Credential

ROOT = CertificateAuthority("Credential Root")
ISSUING = ROOT.intermediate("Credential Issuing CA")
SERVER = ISSUING.issue_server("server.test")
SERVER_SHA256 = hashlib.sha256(SERVER.der).hexdigest()
PASSWORD = "pässword-of-the-test"


def run_openssl(*arguments: str) -> None:
    """Run the openssl program, or skip where there is none or it cannot do this."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program is not installed")
    result = subprocess.run(["openssl", *arguments], capture_output=True, check=False, text=True)
    if result.returncode:
        pytest.skip(f"this openssl cannot: {result.stderr.splitlines()[:1]}")


def loaded(credential: Credential) -> bool:
    """Load the credential into a server context and return whether the context took it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    credential.load_into(context)
    # A server context without certificate has no suite to offer: OpenSSL would have raised before.
    return bool(context.get_ciphers())


def test_from_files_reads_chain_and_key(tmp_path: Path) -> None:
    """Two files, chain and key, give the chain as it is sent and no notes."""
    chain, key = SERVER.files(tmp_path, name="server")
    credential = Credential.from_files(chain, key)
    assert credential.chain == SERVER.chain
    assert credential.certificate == SERVER.certificate
    assert credential.notes == ()
    assert loaded(credential)


def test_from_files_with_everything_in_one_file(tmp_path: Path) -> None:
    """Without key_path the key is in the chain's file, before or after the certificates."""
    for number, content in enumerate((SERVER.key_pem + SERVER.chain_pem, SERVER.chain_pem + SERVER.key_pem)):
        path = tmp_path / f"{number}.pem"
        path.write_bytes(content)
        credential = Credential.from_files(str(path))
        assert credential.chain == SERVER.chain
        assert credential.notes == ()


def test_what_was_read_is_what_is_loaded(tmp_path: Path) -> None:
    """The files are read once: replaced or gone afterwards, the credential still loads what it was made of."""
    chain, key = SERVER.files(tmp_path, name="server")
    credential = Credential.from_files(chain, key)
    chain.write_text("replaced by somebody")
    key.unlink()
    assert loaded(credential)


@pytest.mark.parametrize("change", [lambda pem: pem, lambda pem: pem.decode(), lambda pem: pem.replace(b"\n", b"\r\n")])
def test_from_pem_takes_bytes_and_text(change: Callable[[bytes], bytes | str]) -> None:
    """PEM in memory is taken as bytes or text, with LF or CR LF."""
    credential = Credential.from_pem(change(SERVER.chain_pem), change(SERVER.key_pem))
    assert credential.chain == SERVER.chain


def test_text_around_the_blocks_does_not_matter() -> None:
    """Explanatory text, as openssl x509 -text writes it, and a byte order mark are passed over (RFC 7468, 5.2)."""
    chain = SERVER.chain_pem.replace(b"-----BEGIN", b"Certificate:\r\n    Data:\r\n\r\n-----BEGIN")
    for before in (b"", b"\xef\xbb\xbf"):
        assert Credential.from_pem(before + chain, b"Key:\n" + SERVER.key_pem).chain == SERVER.chain
        assert Credential.from_pem(before + SERVER.chain_pem, before + SERVER.key_pem).chain == SERVER.chain


def test_from_pem_with_key_and_chain_in_one() -> None:
    """Without a key argument the key is in the chain's PEM."""
    assert Credential.from_pem(SERVER.chain_pem + SERVER.key_pem).chain == SERVER.chain


@pytest.mark.parametrize("password", [PASSWORD, PASSWORD.encode(), lambda: PASSWORD, PASSWORD.encode])
def test_encrypted_keys_open_with_every_form_of_password(
    tmp_path: Path, password: str | bytes | Callable[[], str | bytes]
) -> None:
    """A password is text in UTF-8, bytes, or a callable that returns one."""
    path = tmp_path / "encrypted.key"
    path.write_bytes(SERVER.encrypted_key_pem(PASSWORD.encode()))
    chain, _ = SERVER.files(tmp_path, name="server")
    credential = Credential.from_files(chain, path, password=password)
    assert credential.chain == SERVER.chain
    assert credential.notes == ()


def test_a_password_of_the_environment_keeps_its_bytes() -> None:
    """Bytes that are no UTF-8, as os.environ gives them in text, open the key that was encrypted under these bytes."""
    encrypted = SERVER.encrypted_key_pem(b"p\xff\xfe")
    credential = Credential.from_pem(SERVER.chain_pem, encrypted, b"p\xff\xfe".decode("utf-8", "surrogateescape"))
    assert credential.notes == ()


def test_a_password_is_not_asked_for_without_need() -> None:
    """A callable is asked only for an encrypted key, and a password that was not needed is noted."""
    asked: list[bool] = []

    def ask() -> str:
        asked.append(True)
        return PASSWORD

    credential = Credential.from_pem(SERVER.chain_pem, SERVER.key_pem, ask)
    assert asked == []
    assert "the key given is not encrypted" in credential.notes[0]


def test_what_the_password_callable_raises_goes_through() -> None:
    """An interrupted prompt is the caller's own affair."""

    def ask() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Credential.from_pem(SERVER.chain_pem, SERVER.encrypted_key_pem(b"x" * 8), ask)


@pytest.mark.parametrize("cipher", ["-des3", "-aes256"])
def test_traditional_encrypted_keys_open(tmp_path: Path, cipher: str) -> None:
    """What "openssl genrsa -des3" of OpenSSL 1.x wrote (RFC 1421 headers) opens with its password."""
    path = tmp_path / "old.key"
    run_openssl("genrsa", "-traditional", cipher, "-passout", "pass:secret-1", "-out", str(path), "2048")
    run_openssl(
        *("req", "-x509", "-key", str(path), "-passin", "pass:secret-1", "-subj", "/CN=old", "-out", f"{path}.pem"),
    )
    assert "Proc-Type: 4,ENCRYPTED" in path.read_text()
    credential = Credential.from_files(f"{path}.pem", path, password="secret-1")
    assert credential.subject == "CN=old"
    assert loaded(credential)


def test_traditional_ec_key_with_parameters(tmp_path: Path) -> None:
    """What "openssl ecparam -genkey" writes, a block EC PARAMETERS before the key, is taken."""
    path = tmp_path / "ec.key"
    run_openssl("ecparam", "-genkey", "-name", "prime256v1", "-out", str(path))
    run_openssl("req", "-x509", "-key", str(path), "-subj", "/CN=ec", "-out", f"{path}.pem")
    assert "EC PARAMETERS" in path.read_text()
    assert Credential.from_files(f"{path}.pem", path).subject == "CN=ec"


@pytest.mark.parametrize("password", [PASSWORD.encode(), None])
def test_from_pkcs12_takes_bytes_and_paths(tmp_path: Path, password: bytes | None) -> None:
    """PKCS #12 gives key and chain, from memory and from a file."""
    data = SERVER.pkcs12(password)
    path = tmp_path / "server.p12"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        credential = Credential.from_pkcs12(source, password)
        assert credential.chain == SERVER.chain
        assert loaded(credential)


def test_legacy_pkcs12_opens(tmp_path: Path) -> None:
    """PKCS #12 under the old ciphers (RC2-40, 3DES), as Windows exports it, opens or says how to renew it."""
    chain, key = SERVER.files(tmp_path, name="server")
    path = tmp_path / "legacy.p12"
    run_openssl(
        *(
            "pkcs12",
            "-export",
            "-legacy",
            "-in",
            str(chain),
            "-inkey",
            str(key),
            "-passout",
            "pass:x",
            "-out",
            str(path),
        )
    )
    assert Credential.from_pkcs12(path, "x").chain == SERVER.chain


def test_of_takes_objects() -> None:
    """Objects of cryptography: one certificate, or a chain in any order."""
    assert Credential.of(SERVER.certificate, SERVER.key).certificate == SERVER.certificate
    assert Credential.of(list(reversed(SERVER.chain)), SERVER.key).chain == SERVER.chain


@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p384", "ec-p521", "ed25519", "ed448"])
def test_every_kind_of_key_loads(kind: str) -> None:
    """Each kind of key that TLS 1.3 has a scheme for, and OpenSSL 3.0 knows, ends up in the context."""
    issued = ROOT.issue_server("kind.test", key=kind)
    assert loaded(Credential.from_pem(issued.chain_pem, issued.key_pem))


def test_ml_dsa_is_taken_and_left_to_openssl() -> None:
    """An ML-DSA key makes a credential; an OpenSSL that does not know it refuses with a sentence, not a traceback."""
    issued = ROOT.issue_server("pq.test", key=mldsa.MLDSA44PrivateKey.generate())
    credential = Credential.of(issued.chain, issued.key)
    if ssl.OPENSSL_VERSION_INFO >= (3, 5):
        assert loaded(credential)
    else:
        with pytest.raises(
            ConfigurationError,
            match="refuses the certificate and key .*such as|refuses the certificate and key .*or EC P-256",
        ):
            loaded(credential)


def test_only_the_class_methods_make_one() -> None:
    """The constructor itself refuses and names the ways in."""
    with pytest.raises(TypeError, match=r"Credential\.from_files, \.from_pem, \.from_pkcs12 or \.of"):
        Credential(SERVER.chain, SERVER.key)


def test_it_is_frozen() -> None:
    """No attribute can be set, deleted or added."""
    credential = Credential.of(SERVER.chain, SERVER.key)
    with pytest.raises(AttributeError, match="frozen"):
        credential.notes = ()
    with pytest.raises(AttributeError, match="frozen"):
        del credential.chain
    with pytest.raises(AttributeError, match="frozen"):
        credential.another = 1
    assert not hasattr(credential, "__dict__")


def test_equality_is_that_of_the_chain() -> None:
    """Two credentials with one chain are equal and hash alike; another chain, or another thing, is not equal."""
    one, two = Credential.of(SERVER.chain, SERVER.key), Credential.from_pem(SERVER.chain_pem, SERVER.key_pem)
    assert one == two
    assert hash(one) == hash(two)
    assert one != Credential.of(SERVER.certificate, SERVER.key)
    assert one != "a credential"

"""`Credential` keeps its secret: no repr, pickle, asdict or traceback shows a byte of key or password."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import pickle
import pprint
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls._credential import Credential
from mtlspolicy.tls._credential_source import PasswordSource, Secret

ROOT = CertificateAuthority("Secret Root")
ISSUING = ROOT.intermediate("Secret Issuing CA")
SERVER = ISSUING.issue_server("server.test")
SERVER_SHA256 = hashlib.sha256(SERVER.der).hexdigest()
PASSWORD = "pässword-of-the-test"


def private_lines(issued: IssuedCertificate) -> list[str]:
    """Return texts that would give the key away: lines of its PEM in two forms, and its number in decimal and hex."""
    traditional = issued.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    lines = [line for line in (issued.key_pem + traditional).decode().splitlines() if "-----" not in line]
    number = getattr(issued.key, "private_numbers")().private_value  # noqa: B009 - of one of several kinds of key
    return [*lines, str(number), f"{number:x}"]


def test_repr_shows_subject_and_digest_alone() -> None:
    """Printed in any way, a credential shows its subject and the certificate's SHA-256 and nothing of the key."""
    credential = Credential.of(SERVER.chain, SERVER.key)
    assert repr(credential) == f"<Credential {credential.subject} sha256={SERVER_SHA256}>"
    assert "CN=server.test" in credential.subject
    assert credential.certificate_sha256 == SERVER_SHA256
    shown = f"{credential} {credential!r} {pprint.pformat([credential])} {dir(credential)}"
    assert [line for line in private_lines(SERVER) if line in shown] == []


def test_a_hostile_subject_is_escaped() -> None:
    """Control characters of a subject do not reach a terminal through repr."""
    issued = ROOT.issue_server(
        "x.test", subject=x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a\x1b[2Jb\u202e")])
    )
    shown = repr(Credential.of(issued.chain, issued.key))
    assert "\\x1b[2J" in shown
    assert shown.isprintable()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_does_not_pickle(protocol: int) -> None:
    """No pickle protocol takes the key out of the process."""
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(Credential.of(SERVER.chain, SERVER.key), protocol)


def test_its_state_is_not_given() -> None:
    """The state that copying and pickling ask for is refused as well."""
    with pytest.raises(TypeError, match="does not pickle"):
        Credential.of(SERVER.chain, SERVER.key).__getstate__()


def test_asdict_shows_no_key() -> None:
    """dataclasses.asdict refuses a credential, and of a class that holds one copies it as it is, closed."""
    credential = Credential.of(SERVER.chain, SERVER.key)
    with pytest.raises(TypeError):
        dataclasses.asdict(credential)  # type: ignore[call-overload]

    @dataclasses.dataclass
    class Settings:
        credential: Credential

    assert dataclasses.asdict(Settings(credential)) == {"credential": credential}
    assert copy.deepcopy(credential) is credential
    assert copy.copy(credential) is credential


def test_secrets_do_not_show_or_pickle() -> None:
    """The wrappers of key and password bytes show neither, and do not pickle."""
    secret, password = Secret(b"the key"), PasswordSource("the password")
    assert repr(secret) == "<secret>"
    assert repr(password) == "<password>"
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(secret)


def failing(name: str) -> Callable[[], object]:
    """Return a call that fails while it holds a key or a password, by the name of the failure."""
    encrypted = SERVER.encrypted_key_pem(PASSWORD.encode())
    other = ISSUING.issue_server("other.test")
    damaged = SERVER.key_pem.replace(b"\n-----END", b"!\n-----END")
    calls: dict[str, Callable[[], object]] = {
        "mismatch": lambda: Credential.from_pem(other.chain_pem, SERVER.key_pem, PASSWORD),
        "wrong password": lambda: Credential.from_pem(SERVER.chain_pem, encrypted, PASSWORD + "!"),
        "damaged key": lambda: Credential.from_pem(SERVER.chain_pem, damaged, PASSWORD),
        "swapped": lambda: Credential.from_pem(SERVER.key_pem, SERVER.chain_pem, PASSWORD),
        "two keys": lambda: Credential.from_pem(SERVER.chain_pem, SERVER.key_pem * 2, PASSWORD),
        "pkcs12": lambda: Credential.from_pkcs12(SERVER.pkcs12(b"right"), PASSWORD),
        "pkcs12 that is PEM": lambda: Credential.from_pkcs12(SERVER.key_pem, PASSWORD),
    }
    return calls[name]


@pytest.mark.parametrize(
    "name", ["mismatch", "wrong password", "damaged key", "swapped", "two keys", "pkcs12", "pkcs12 that is PEM"]
)
def test_a_traceback_with_local_variables_shows_no_secret(name: str) -> None:
    """A failed construction, reported with the locals of each frame of ours, shows neither key nor password."""
    call = failing(name)
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert caught.value.__cause__ is caught.value.__context__ is None
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [
        frame for frame in report.stack if "mtlspolicy" in frame.filename and "tests" not in Path(frame.filename).parts
    ]
    assert ours
    shown = f"{caught.value} {[frame.locals for frame in ours]}"
    assert [line for line in (*private_lines(SERVER), PASSWORD) if line in shown] == []

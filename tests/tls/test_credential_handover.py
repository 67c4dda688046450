"""From the credential to OpenSSL: in memory, in a nameless file or in a private directory, and never in the clear."""

from __future__ import annotations

import os
import ssl
import stat
import sys
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, broken
from mtlspolicy.tls import _credential_handover as handover
from mtlspolicy.tls._credential import Credential
from mtlspolicy.tls._credential_handover import Stage, hand_over, memory_file, nameless_file, private_directory
from mtlspolicy.tls._credential_source import Secret

ROOT = CertificateAuthority("Handover Root")
ISSUING = ROOT.intermediate("Handover Issuing CA")
SERVER = ISSUING.issue_server("server.test")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="memfd_create and O_TMPFILE are there on Linux only")
STAGES = [
    pytest.param(memory_file, marks=LINUX),
    pytest.param(nameless_file, marks=LINUX),
    private_directory,
]


@dataclass
class Seen:
    """What OpenSSL was given, and what lay in the directory for temporary files meanwhile."""

    path: str = ""
    content: bytes = b""
    password: bytes = b""
    files: dict[str, int] = field(default_factory=dict)
    descriptors: list[bool] = field(default_factory=list)


class Watching(ssl.SSLContext):
    """A context that records what it loads, and then really loads it."""

    seen: Seen

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        """Record the path, its bytes, the password and the temporary directory."""
        assert keyfile is None
        folder = Path(tempfile.gettempdir())
        files = {str(one.relative_to(folder)): stat.S_IMODE(one.lstat().st_mode) for one in folder.rglob("*")}
        # The descriptor that lists a directory is in its own listing, so that one may be gone.
        number = Path(certfile).name
        inherited = [os.get_inheritable(int(number))] if number.isdigit() else []
        self.seen = Seen(str(certfile), Path(certfile).read_bytes(), password(), files, inherited)
        super().load_cert_chain(certfile, keyfile, password)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a fresh directory the one for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Shake hands in memory and return the client's side."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [ours, theirs]
    for _ in range(10):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    assert waiting == []
    return ours


def trusting_client() -> ssl.SSLContext:
    """Return a client context that knows the root alone, so that the intermediate has to be sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.pem.decode())
    return context


@pytest.mark.parametrize("stage", STAGES)
def test_each_way_makes_a_working_server(temporary: Path, stage: Stage) -> None:
    """By each way in, the context presents end entity and intermediate, and a client that knows the root accepts it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    hand_over(context, SERVER.chain, SERVER.key, stages=(stage,))
    ours = handshake(context, trusting_client(), "server.test")
    assert ours.getpeercert(binary_form=True) == SERVER.der
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_readable_key_lies_anywhere(temporary: Path, stage: Stage) -> None:
    """What OpenSSL reads is an encrypted key that its one-time password opens, and nothing of it stays behind."""
    context = Watching(ssl.PROTOCOL_TLS_SERVER)
    hand_over(context, SERVER.chain, SERVER.key, stages=(stage,))
    content = context.seen.content
    assert content.count(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") == content.count(b"PRIVATE KEY-----") / 2 == 1
    assert [line for line in SERVER.key_pem.splitlines() if line in content and b"-----" not in line] == []
    with pytest.raises(TypeError, match="encrypted"):
        load_pem_private_key(content, None)
    assert len(context.seen.password) == 64
    assert context.seen.password not in content
    assert list(temporary.iterdir()) == []
    if context.seen.path.startswith("/proc"):
        assert not Path(context.seen.path).exists()


@pytest.mark.parametrize("stage", STAGES[:2])
def test_a_nameless_place_leaves_no_name_and_is_not_inherited(temporary: Path, stage: Stage) -> None:
    """In memory and in a nameless file no directory entry is ever there, and no child process gets the descriptor."""
    context = Watching(ssl.PROTOCOL_TLS_SERVER)
    hand_over(context, SERVER.chain, SERVER.key, stages=(stage,))
    assert context.seen.path.startswith("/proc/self/fd/")
    assert context.seen.files == {}
    assert context.seen.descriptors == [False]
    assert temporary.is_dir()


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_the_private_directory_is_private(temporary: Path) -> None:
    """The last way has a directory of mode 0700 and a file of mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        context = Watching(ssl.PROTOCOL_TLS_SERVER)
        hand_over(context, SERVER.chain, SERVER.key, stages=(private_directory,))
    finally:
        os.umask(before)
    assert sorted(context.seen.files.values()) == [0o600, 0o700]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_stays_when_loading_fails(temporary: Path, stage: Stage) -> None:
    """When OpenSSL refuses, the place is removed all the same."""
    weak = broken("rsa-1024", ROOT)
    with pytest.raises(ConfigurationError, match="EE_KEY_TOO_SMALL.*RSA 2048 bits"):
        hand_over(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), weak.chain, weak.key, stages=(stage,))
    assert list(temporary.iterdir()) == []


@LINUX
def test_load_into_stays_in_memory(temporary: Path) -> None:
    """By default nothing is created in the directory for temporary files, also for a credential from files."""
    files = temporary.parent / "files"
    credential = Credential.from_files(*SERVER.files(files, name="server"))
    context = Watching(ssl.PROTOCOL_TLS_SERVER)
    credential.load_into(context)
    assert context.seen.path.startswith("/proc/self/fd/")
    assert context.seen.files == {}
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in context.seen.content


def test_every_load_has_its_own_password() -> None:
    """The password is used once: two loads of one credential have two."""
    credential = Credential.of(SERVER.chain, SERVER.key)
    contexts = [Watching(ssl.PROTOCOL_TLS_SERVER) for _ in range(2)]
    for context in contexts:
        credential.load_into(context)
    assert contexts[0].seen.password != contexts[1].seen.password


def test_a_platform_without_memfd_takes_the_next(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no memfd_create and no O_TMPFILE, the private directory is really used."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    context = Watching(ssl.PROTOCOL_TLS_SERVER)
    Credential.of(SERVER.chain, SERVER.key).load_into(context)
    assert context.seen.path.startswith(str(temporary))
    assert list(temporary.iterdir()) == []


def refused(_: Secret) -> Generator[str, None, None]:
    """Stand for a system that refuses a way, as a sandbox does."""
    raise PermissionError(1, "Operation not permitted")
    yield ""


@LINUX
def test_a_sandbox_without_memfd_takes_a_nameless_file(temporary: Path) -> None:
    """Where memfd_create is refused, the next way is really taken."""
    context = Watching(ssl.PROTOCOL_TLS_SERVER)
    hand_over(context, SERVER.chain, SERVER.key, stages=(refused, *handover.STAGES[1:]))
    assert context.seen.path.startswith("/proc/self/fd/")
    assert (context.seen.files, temporary.is_dir()) == ({}, True)


def test_no_place_at_all_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no way left, the error says what was tried and what mends it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not there"))
    with pytest.raises(
        ConfigurationError, match=r"no place .*refused: .*not permitted.*private_directory: .*set TMPDIR"
    ):
        hand_over(
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), SERVER.chain, SERVER.key, stages=(refused, *handover.STAGES[1:])
        )


def test_an_error_while_loading_is_not_taken_for_a_missing_way(temporary: Path) -> None:
    """An OSError of the context itself comes through at once; it is not tried again another way."""

    class Failing(ssl.SSLContext):
        calls = 0

        def load_cert_chain(self, *_: Any, **__: Any) -> None:
            self.calls += 1
            raise FileNotFoundError("of the context")

    context = Failing(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(FileNotFoundError, match="of the context"):
        hand_over(context, SERVER.chain, SERVER.key)
    assert (context.calls, list(temporary.iterdir())) == (1, [])


def device_key() -> rsa.RSAPrivateKey:
    """Return a key that signs and does not give its bytes, as one in a device."""
    held = rsa.generate_private_key(65537, 2048)
    body: dict[str, Callable[..., Any]] = {
        name: (lambda *_, **__: NotImplemented) for name in rsa.RSAPrivateKey.__abstractmethods__
    }

    def private_bytes(*_: object, **__: object) -> bytes:
        raise NotImplementedError("the key stays in the device")

    body |= {"private_bytes": private_bytes, "public_key": lambda _: held.public_key()}
    kind: type[rsa.RSAPrivateKey] = type("DeviceKey", (rsa.RSAPrivateKey,), body)
    return kind()


def test_a_key_that_stays_in_its_device_is_named() -> None:
    """Keys behind PKCS #11 or an engine are out of scope, and the error says so."""
    key = device_key()
    issued = ROOT.issue_server("device.test")
    with pytest.raises(ConfigurationError, match="does not give its bytes .*PKCS #11.*use a key in a file"):
        hand_over(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), issued.chain, key)


def test_the_chain_goes_first() -> None:
    """In what OpenSSL reads the end entity comes first, then the intermediates, then the key."""
    context = Watching(ssl.PROTOCOL_TLS_SERVER)
    Credential.of((*SERVER.chain, ROOT.certificate), SERVER.key).load_into(context)
    wanted = b"".join(one.public_bytes(Encoding.PEM) for one in SERVER.chain)
    assert context.seen.content.startswith(wanted + b"-----BEGIN ENCRYPTED PRIVATE KEY-----")

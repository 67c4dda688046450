"""What a probe reads of handshake messages: any bytes give names, certificates or nothing, within limits."""

from __future__ import annotations

import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.cli.probe._messages import MOST_BYTES, MOST_CERTIFICATES, MOST_NAMES, Transcript, listen
from mtlspolicy.cli.probe._seen import Unseen
from mtlspolicy.cli.probe._wire import alert_name
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls._cpython import watch_messages

TLS12, TLS13 = 0x0303, 0x0304


def _message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def _vector(octets: int, data: bytes) -> bytes:
    return len(data).to_bytes(octets, "big") + data


def _heard(kind: int, body: bytes, version: int = TLS12, direction: str = "read") -> Transcript:
    transcript = Transcript()
    transcript.note(None, direction, version, 22, kind, _message(kind, body))
    return transcript


def _name(text: str = "Issuing CA") -> bytes:
    return CertificateAuthority(text, organization=None).certificate.subject.public_bytes()


def _list_12(*ders: bytes) -> bytes:
    return _vector(3, b"".join(_vector(3, der) for der in ders))


def _list_13(*ders: bytes) -> bytes:
    return b"\x00" + _vector(3, b"".join(_vector(3, der) + b"\x00\x00" for der in ders))


def test_certificates_as_sent() -> None:
    """Certificates come in the order of the message, duplicates included, in the forms of TLS 1.2 and 1.3."""
    ders = (b"leaf", b"root", b"issuing", b"issuing")
    assert _heard(11, _list_12(*ders)).certificates() == ders
    assert _heard(11, _list_13(*ders), TLS13).certificates() == ders
    assert _heard(11, _list_13(), TLS13).certificates() == ()
    assert Transcript().certificates() == ()


def test_certificates_that_are_cut_are_none() -> None:
    """A message that ends too early is not half believed."""
    whole = _list_13(b"leaf", b"issuing")
    for end in range(len(whole)):
        assert _heard(11, whole[:end], TLS13).certificates() == ()


def test_many_certificates_are_cut_off() -> None:
    """No more certificates are taken than a chain can sensibly have."""
    assert len(_heard(11, _list_12(*[b"x"] * 500)).certificates()) == MOST_CERTIFICATES


def test_authorities_in_every_version() -> None:
    """Names of acceptable CAs stand in the request itself up to TLS 1.2, and in an extension in TLS 1.3."""
    names = _vector(2, _vector(2, _name("One")) + _vector(2, _name("Two")))
    expected = ("CN=One", "CN=Two")
    assert _heard(13, b"\x01\x40" + _vector(2, b"\x04\x03") + names).authorities() == expected
    assert _heard(13, b"\x01\x40" + names, 0x0302).authorities() == expected
    other, ours = b"\x00\x0d" + _vector(2, b"\x04\x03"), b"\x00\x2f" + _vector(2, names)
    assert _heard(13, b"\x00" + _vector(2, other + ours), TLS13).authorities() == expected
    assert _heard(13, b"\x00" + _vector(2, other), TLS13).authorities() == ()


def test_no_request_and_an_unreadable_one_differ() -> None:
    """Not asked for, asked for without names, and not readable are three answers."""
    assert Transcript().authorities() == Unseen("the server did not ask for a certificate")
    assert _heard(13, b"\x00\x00\x00", TLS13).authorities() == ()
    assert _heard(13, b"\x05", TLS13).authorities() == Unseen("the server's request for a certificate cannot be read")


def test_hostile_names_of_authorities() -> None:
    """A name that is none is said to be unreadable, controls are escaped, and no more are kept than are shown."""
    hostile = _name("evil\x1b[2J\u202e")
    entries = _vector(2, hostile) + _vector(2, b"\x30\x03garbage") + _vector(2, _name()) * 500
    found = _heard(13, b"\x01\x40" + _vector(2, b"") + _vector(2, entries)).authorities()
    assert isinstance(found, tuple)
    assert len(found) == MOST_NAMES
    assert all(name.isprintable() for name in found)
    assert found[1] == "(unreadable)"


def test_the_version_and_the_suite() -> None:
    """The version is that of the certificate message, the suite that of the hello."""
    assert _heard(11, _list_12(b"x")).version == "TLSv1.2"
    assert _heard(11, _list_13(b"x"), TLS13).version == "TLSv1.3"
    assert Transcript().version is None
    hello = b"\x03\x03" + bytes(32) + b"\x00" + b"\xc0\x2b" + b"\x00"
    assert _heard(2, hello).suite() == 0xC02B
    assert _heard(2, hello).spoken
    assert _heard(2, hello[:30]).suite() is None
    assert Transcript().suite() is None


def test_the_alert_that_counts() -> None:
    """The alert received is kept, a close after it does not hide it, and those that we send are not the server's."""
    transcript = Transcript()
    transcript.note(None, "write", TLS13, 21, 0, b"\x02\x2a")
    assert transcript.alert is None
    transcript.note(None, "read", TLS13, 21, 116, b"\x02\x74")
    transcript.note(None, "read", TLS13, 21, 0, b"\x01\x00")
    assert transcript.alert == 116
    assert alert_name(116) == "certificate_required"
    assert alert_name(200) == "200"


@pytest.mark.parametrize(("body", "sent"), [(_list_13(), False), (_list_13(b"x" * 300), True), (_list_12(), False)])
def test_whether_our_certificate_was_sent(body: bytes, sent: bool) -> None:
    """An empty list is what a client without a certificate sends."""
    assert _heard(11, body, TLS13, "write").certificate_sent is sent


def test_the_bytes_kept_are_bounded() -> None:
    """A message that is too large is not kept, nor a second one of a kind."""
    assert not _heard(13, bytes(MOST_BYTES)).asked
    transcript = _heard(11, _list_12(b"first"))
    transcript.note(None, "read", TLS12, 22, 11, _message(11, _list_12(b"second")))
    assert transcript.certificates() == (b"first",)


@given(
    st.lists(st.tuples(st.sampled_from([2, 11, 13, 99]), st.binary(max_size=200)), max_size=4), st.integers(0, 0x0400)
)
def test_any_bytes_give_an_answer(messages: list[tuple[int, bytes]], version: int) -> None:
    """Any bytes give a value or none, nothing is raised, and what is shown can be printed."""
    transcript = Transcript()
    for kind, body in messages:
        transcript.note(None, "read", version, 22, kind, _message(kind, body))
        transcript.note(None, "read", version, 22, kind, body)
        transcript.note(None, "read", version, 21, kind, body)
    assert all(isinstance(one, bytes) for one in transcript.certificates())
    assert transcript.suite() is None or transcript.suite() in range(1 << 16)
    found = transcript.authorities()
    assert isinstance(found, Unseen) or all(name.isprintable() for name in found)


def test_a_python_that_shows_no_messages() -> None:
    """Without the private name that all this hangs on, a probe says so; it does not find a server without chain."""
    without: Any = SimpleNamespace()
    with pytest.raises(ConfigurationError, match="shows no handshake messages"):
        listen(without)
    assert vars(without) == {}


def test_the_private_name_of_cpython_shows_both_directions() -> None:
    """``SSLContext._msg_callback`` is there, and what it is told of is the messages of this context's connection."""
    seen: list[tuple[str, int]] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    watch_messages(context, lambda _connection, direction, _version, kind, *_: seen.append((direction, int(kind))))
    incoming = ssl.MemoryBIO()
    client = context.wrap_bio(incoming, ssl.MemoryBIO(), server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    incoming.write(bytes([21, 3, 3, 0, 2, 2, 40]))  # a fatal alert, handshake_failure
    with pytest.raises(ssl.SSLError):
        client.do_handshake()
    assert ("write", 22) in seen
    assert ("read", 21) in seen

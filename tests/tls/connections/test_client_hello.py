"""The reader of server names: any bytes give a name, None or UNREADABLE, and nothing else."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy.tls._client_hello import UNREADABLE, server_name_in


def hello(name: str | None, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """Return the first bytes that a client of this Python sends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("name", ["a.test", "A.Test.", "xn--bcher-kva.test", None])
def test_the_name_is_read(name: str | None, version: Any) -> None:
    """What a client asks for is what is read, in its own spelling."""
    assert server_name_in(hello(name, version)) == name


def test_bytes_after_the_hello_do_not_matter() -> None:
    """Only the first message is read."""
    assert server_name_in(hello("a.test") + b"\x17\x03\x03\x00\x05hello") == "a.test"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        hello("a.test")[:60],
        hello("a.test")[:-1],
        hello("a.test").replace(b"a.test", b"\xff.test"),
        hello("a.test").replace(b"\x00\x00\x06a.test", b"\x01\x00\x06a.test"),
    ],
    ids=["empty", "http", "alert", "server-hello", "half", "all-but-one", "not-ascii", "not-a-host-name"],
)
def test_what_cannot_be_read_is_said_to_be_so(data: bytes) -> None:
    """Another protocol, another message, a part of one: unreadable, which no caller takes for "no name"."""
    assert server_name_in(data) is UNREADABLE


def test_a_hello_in_two_records_is_unreadable() -> None:
    """THREATS 1, fragmented ClientHello: a message that is cut into records is not put together, and is not trusted."""
    whole = hello("a.test")
    body = whole[5:]
    cut = b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in (body[:40], body[40:]))
    assert server_name_in(cut) is UNREADABLE


def test_a_hello_without_extensions_asks_for_no_name() -> None:
    """The extensions may be missing as a whole (RFC 8446, section 4.1.2)."""
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x00\x2f" + b"\x01\x00"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    assert server_name_in(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message) is None


@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer(data: bytes) -> None:
    """Any bytes give a value, nothing else."""
    found = server_name_in(data)
    assert found is None or found is UNREADABLE or isinstance(found, str)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_any_broken_hello_gives_an_answer(place: int, value: int) -> None:
    """A real ClientHello with any one byte changed gives a value, nothing else."""
    data = bytearray(HELLO)
    data[place % len(data)] = value
    found = server_name_in(bytes(data))
    assert found is None or found is UNREADABLE or isinstance(found, str)


HELLO = hello("a.test")

"""The answer to a fetch: complete, plain, within the limits and the one deadline, or a failure with its code."""

from __future__ import annotations

import gzip
import io
import socket
import threading
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mtlspolicy._codes import CODES
from mtlspolicy.revocation._destinations import FetchFailed
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from mtlspolicy.revocation._http_response import MOST_HEADERS, Wire, read_answer
from tests.revocation.loopback import GOOD, LIVENESS, Conversation, Server, answering, endless, failure, outcome, soon

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
MOST = 1000


def answer(data: bytes, *, most_bytes: int = MOST) -> bytes:
    """Return what a fetch makes of *data* from a real server."""
    with Server(answering(data)) as server:
        transport = HTTPTransport(destinations=server.destinations)
        return transport.fetch(Exchange(server.url(), most_bytes=most_bytes), until=soon())


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (GOOD, b"hello"),
        (GOOD + b"more", b"hello"),
        (OK + b"\r\nhello", b"hello"),
        (OK + b"Content-Length: 0\r\n\r\n", b""),
        (OK + b"Content-Length: 1000\r\n\r\n" + bytes(1000), bytes(1000)),
        (OK + b"\r\n" + bytes(1000), bytes(1000)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi"),
        (b"HTTP/0.9 200 OK\r\n\r\nhello", b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, b"hello"),
        (CHUNKED + b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (OK + b"transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", b""),
        (CHUNKED + b"3e8\r\n" + bytes(1000) + b"\r\n0\r\n\r\n", bytes(1000)),
    ],
)
def test_complete_answers(data: bytes, body: bytes) -> None:
    """A length, chunks, or the end of the connection: whichever tells where the body ends."""
    assert answer(data) == body


@pytest.mark.parametrize("head", [OK + b"\r\n", OK + b"Content-Length: 5000000\r\n\r\n"])
def test_a_large_body_is_not_taken_for_headers(head: bytes) -> None:
    """A CRL of megabytes, of which much arrives together with the headers, is within the limits."""
    assert answer(head + bytes(5_000_000), most_bytes=5_000_000) == bytes(5_000_000)


@pytest.mark.parametrize(
    ("status", "code", "retryable", "counts_for"),
    [
        ("301 Moved", "fetch.redirect", False, "certificate"),
        ("302 Found", "fetch.redirect", False, "certificate"),
        ("304 Not Modified", "fetch.redirect", False, "certificate"),
        ("400 Bad Request", "fetch.status", False, "certificate"),
        ("404 Not Found", "fetch.status", False, "certificate"),
        ("408 Request Timeout", "fetch.status", True, "certificate"),
        ("429 Too Many Requests", "fetch.status", True, "certificate"),
        ("500 Internal Server Error", "fetch.status", True, "responder"),
        ("503", "fetch.status", True, "responder"),
        ("101 Switching Protocols", "fetch.status", False, "certificate"),
        ("204 No Content", "fetch.status", False, "certificate"),
        ("206 Partial Content", "fetch.status", False, "certificate"),
        ("999 Denied", "fetch.status", True, "responder"),
    ],
)
def test_any_status_but_200(status: str, code: str, *, retryable: bool, counts_for: str) -> None:
    """Not an answer, whatever its body; what one certificate is refused for counts for that certificate alone."""
    data = f"HTTP/1.1 {status}\r\nLocation: http://169.254.169.254/\r\nContent-Length: 5\r\n\r\nhello".encode()
    error = failure(lambda: answer(data))
    assert (error.code, error.retryable, error.counts_for) == (code, retryable, counts_for)
    assert status in str(error)


def test_a_redirect_is_not_followed() -> None:
    """Where a redirect leads nobody allowed, so nobody goes there."""
    with Server(answering(GOOD)) as inner:
        location = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {inner.url()}\r\n\r\n".encode()
        assert failure(lambda: answer(location)).code == "fetch.redirect"
        assert inner.talks == []


@pytest.mark.parametrize(
    "data",
    [
        b"hello", b"\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n", b"HTTP/1.1 1000 High\r\n\r\n", b"ICY 200 OK\r\n\r\nhello",
        b"\x16\x03\x01\x00\x05hello",
        b"HTTP/1.1 \xb2 OK\r\n\r\n", b"HTTP/1.1 -200 OK\r\n\r\n", b"\xff" * 5000, b"HTTP/1.1 200" + b" " * 70000,
        OK + b"X: y\r\n folded\r\n\r\nhello", OK + b"X: y\r\n\tfolded\r\n\r\nhello", OK + b" first\r\n\r\nhello",
        OK + b"no colon\r\nContent-Length: 5\r\n\r\nhello", OK + b"Content-Length : 5\r\n\r\nhello",
        OK + b": nameless\r\n\r\nhello", OK + b"From me\r\n\r\nhello", OK + b"X: a\x00b\r\n\r\nhello",
        OK + b"X: \x1b[2J\r\n\r\nhello", OK + b"\xff\xff: x\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nContent-Length: 4\r\n\r\nhello",
        OK + b"Content-Length: 5, 5\r\n\r\nhello", OK + b"Content-Length: +5\r\n\r\nhello",
        OK + b"Content-Length: -5\r\n\r\nhello", OK + b"Content-Length: 0x5\r\n\r\nhello",
        OK + b"Content-Length: 5_0\r\n\r\nhello", OK + b"Content-Length:\r\n\r\nhello",
        OK + b"Content-Length: \xb2\r\n\r\nhello", OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"X: y\r\n" * 101 + b"\r\nhello",
    ],
)  # fmt: skip
def test_hostile_status_lines_and_headers(data: bytes) -> None:
    """What is no plain HTTP/1.1 is no answer: lines that two readers read in two ways least of all."""
    error = failure(lambda: answer(data))
    assert (error.code, error.counts_for) == ("fetch.headers", "responder")
    assert str(error).isprintable()


@pytest.mark.parametrize(
    "line",
    [b"X: " + b"a" * MOST_HEADERS, b"X: y\r\n" * MOST_HEADERS, b"a" * (70 * 1024)],
    ids=["long", "many", "endless"],
)
def test_huge_headers(line: bytes) -> None:
    """Status line and headers end at their limit, in one line or in many."""
    assert failure(lambda: answer(OK + line + b"\r\n\r\nhello")).code == "fetch.headers"


def test_endless_interim_responses() -> None:
    """100 Continue for ever ends at the limit of the headers."""
    assert failure(lambda: answer(b"HTTP/1.1 100 Continue\r\n\r\n" * 10000)).code == "fetch.headers"


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Encoding: gzip", b"Content-Encoding: identity", b"content-encoding: br", b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: chunked, gzip", b"Transfer-Encoding:",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked;q=1",
    ],
)  # fmt: skip
def test_gzip_bomb_and_other_encodings(header: bytes) -> None:
    """None was asked for and none is undone: a bomb stays what it is on the wire."""
    bomb = gzip.compress(bytes(10_000_000))
    error = failure(lambda: answer(OK + header + b"\r\n\r\n" + bomb, most_bytes=100_000_000))
    assert error.code == ("fetch.headers" if b"\x0b" in header else "fetch.encoding")


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 1001\r\n\r\n",
        OK + b"Content-Length: 999999999999999999\r\n\r\n",
        OK + b"\r\n" + bytes(1001),
        OK + b"\r\n" + bytes(5_000_000),
        CHUNKED + b"3e9\r\n" + bytes(1001) + b"\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n" + bytes(5_000_000),
        CHUNKED + b"1\r\nx\r\n" * 1001 + b"0\r\n\r\n",
        CHUNKED + b"1;" + b"x" * 60_000 + b"\r\nx\r\n" + (b"1;" + b"x" * 60_000 + b"\r\nx\r\n") * 5 + b"0\r\n\r\n",
        CHUNKED + b"0\r\n" + b"Trailer: x\r\n" * 20_000,
        CHUNKED + b"-1\r\n" + bytes(5_000_000),
    ],
)
def test_huge_bodies(data: bytes) -> None:
    """Stated, sent, or hidden in chunks and trailers: one byte more than allowed, or far more framing, ends it."""
    error = failure(lambda: answer(data))
    assert (error.code, error.counts_for) == ("fetch.too-large", "certificate")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK + b"Content-Length: 5\r\n\r\nhell",
        OK + b"Content-Length: 5\r\n\r\n",
        CHUNKED,
        CHUNKED + b"5\r\nhell",
        CHUNKED + b"5\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"five\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\nhello",
        CHUNKED + b"-2\r\nhello",
    ],
)
def test_short_answers(data: bytes) -> None:
    """What breaks off is no answer, and may be one the next time."""
    error = failure(lambda: answer(data))
    assert (error.code, error.retryable, error.counts_for) == ("fetch.incomplete", True, "responder")


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b""),
        (b"", b"H"),
        (b"HTTP/1.1 200", b" "),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (OK, b"X"),
        (OK, b"X: y\r\n"),
        (OK + b"Content-Length: 900\r\n\r\n", b"x"),
        (OK + b"\r\n", b"x"),
        (CHUNKED, b"0"),
        (CHUNKED + b"5;", b"x"),
        (CHUNKED + b"300\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
    ],
    ids=["silence", "status", "reason", "interim", "name", "headers", "length", "close", "size", "extension", "chunk",
         "chunks", "trailer"],
)  # fmt: skip
def test_drip(start: bytes, piece: bytes) -> None:
    """One byte now and then never lets a single read time out; the one deadline ends it, and the connection."""
    with Server(endless(start, piece)) as server:
        transport = HTTPTransport(destinations=server.destinations)
        began = time.monotonic()
        error = failure(lambda: transport.fetch(Exchange(server.url(), most_bytes=MOST), until=soon(0.5)))
        assert (error.code, error.retryable, error.counts_for) == ("fetch.timeout", True, "responder")
        assert time.monotonic() - began < LIVENESS
        assert server.left.wait(LIVENESS)


def test_a_server_that_does_not_read() -> None:
    """A request that nobody takes ends at the deadline as well."""
    left = threading.Event()

    def deaf(_: Conversation) -> None:
        left.wait(LIVENESS)

    with Server(deaf) as server:
        transport = HTTPTransport(destinations=server.destinations)
        exchange = Exchange(server.url(), body=bytes(64 * 1024 * 1024))
        error = failure(lambda: transport.fetch(exchange, until=soon(0.5)))
        left.set()
        assert error.code == "fetch.timeout"


def test_a_connection_that_is_reset() -> None:
    """A reset before, or in the middle of, the answer is trouble on the way."""

    def reset(talk: Conversation) -> None:
        talk.connection.recv(10)
        talk.reset()

    with Server(reset) as server:
        transport = HTTPTransport(destinations=server.destinations)
        exchange = Exchange(server.url(), body=bytes(64 * 1024 * 1024))
        error = failure(lambda: transport.fetch(exchange, until=soon()))
        assert (error.code, error.retryable) == ("fetch.incomplete", True)


class Recorded(socket.socket):
    """A socket that gives recorded bytes, some at a time: a thousand answers a second, without a network."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._stream = io.BytesIO(data)

    def recv_into(self, buffer: memoryview, *_: object) -> int:  # type: ignore[override]
        """Read at most 100 bytes."""
        return self._stream.readinto(buffer[:100])


HEADS = st.sampled_from(
    [b"", OK, CHUNKED, OK + b"\r\n", GOOD, b"HTTP/1.1 ", b"HTTP/1.0 200 \r\n", OK + b"Content-Length: 3\r\n"]
)
PIECES = st.lists(
    st.binary(max_size=20)
    | st.sampled_from(
        [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b" ", b"\t", b"0\r\n\r\n", b"3\r\nabc\r\n", b"-1\r\n",
         b"Content-Length: 7", b"Transfer-Encoding: chunked", b"From x", b"X: y", b"HTTP/1.1 100 Continue\r\n\r\n",
         b"\xff", b"\x85", b"1_0\r\n"]
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(HEADS, PIECES, st.integers(1, 64), st.sampled_from(["GET", "POST"]))
@example(CHUNKED, b"-1\r\n" + bytes(100), 1, "GET")
def test_any_bytes_are_a_body_or_a_failure(head: bytes, rest: bytes, most: int, method: str) -> None:
    """Any bytes give a body within the limit, or FetchFailed with a code of the table, and nothing else."""
    with Recorded(head + rest) as connection:
        wire = Wire(connection, until=soon(60), origin="http://h.example")
        found = outcome(lambda: read_answer(wire, method=method, most_bytes=most))
    if isinstance(found, FetchFailed):
        assert found.code in CODES
        assert str(found).isprintable()
    else:
        assert len(found) <= most
        assert (head + rest).startswith(b"HTTP/")

"""The bytes of a refused client and the bytes of its answer, without a socket."""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import Decision, NoPeerCertificate, PolicyDenied, PolicyIndeterminate, Verdict, VerificationError
from mtlspolicy.integrations._blocking_answers import MOST_HEAD, HTTPAnswers

DENIED: Final = PolicyDenied(Decision(Verdict.DENY, "name.mismatch", "another name"))
LATER: Final = PolicyIndeterminate(Decision(Verdict.INDETERMINATE, "fact.missing", "no fact"))
NOBODY: Final = NoPeerCertificate(Decision(Verdict.DENY, "path.no-certificate", "nobody"))
GET: Final = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def _reading(parts: Iterable[bytes]) -> Callable[[], bytes]:
    """Return what a connection is read by: a part at a time, then its end, and no further."""
    left = [*parts, b""]
    return lambda: left.pop(0)


def _answer(*parts: bytes, error: VerificationError = DENIED, absent: int = 403) -> bytes | None:
    return HTTPAnswers(absent)(error, _reading(parts))


class _Socket(io.BytesIO):
    def makefile(self, *_: Any) -> Any:
        """Return itself, as `http.client` wants it."""
        return self


def _parsed(octets: bytes | None, method: str = "GET") -> http.client.HTTPResponse:
    assert octets is not None
    response = http.client.HTTPResponse(_Socket(octets), method=method)  # type: ignore[arg-type]
    response.begin()
    return response


def test_an_answer_says_the_code_and_the_end_of_the_connection() -> None:
    """The status of the table, the code as JSON, and a date, which RFC 9110 (6.6.1) wants of a server with a clock."""
    reply = _parsed(_answer(GET))
    assert (reply.status, reply.version, json.loads(reply.read())) == (403, 11, {"error": "name.mismatch"})
    assert reply.getheader("Connection") == "close"
    assert parsedate_to_datetime(str(reply.getheader("Date"))).tzinfo is not None
    assert reply.getheader("Cache-Control") == "no-store"


def test_what_can_be_tried_again_says_when() -> None:
    """503 with Retry-After."""
    reply = _parsed(_answer(GET, error=LATER))
    assert (reply.status, int(str(reply.getheader("Retry-After"))) > 0) == (503, True)


@pytest.mark.parametrize("absent", [400, 401, 403])
def test_the_status_without_a_certificate_is_chosen(absent: int) -> None:
    """401 with the challenge that RFC 9110 (15.5.2) wants; other refusals keep theirs."""
    reply = _parsed(_answer(GET, error=NOBODY, absent=absent))
    assert (reply.status, reply.getheader("WWW-Authenticate") is not None) == (absent, absent == 401)
    assert _parsed(_answer(GET, absent=absent)).status == 403


def test_head_gets_the_head_alone() -> None:
    """Its length is that of the body which GET would get (RFC 9110, 9.3.2)."""
    got, whole = _answer(GET.replace(b"GET", b"HEAD")), _answer(GET)
    assert got is not None
    assert whole is not None
    assert got.endswith(b"\r\n\r\n")
    reply = _parsed(got, "HEAD")
    assert reply.getheader("Content-Length") == str(len(whole.partition(b"\r\n\r\n")[2]))


@pytest.mark.parametrize(
    "head",
    [
        GET,
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST /x?y=%20 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
        b"M-SEARCH http://x/ HTTP/1.1\r\nA: " + b"a" * (MOST_HEAD - 100) + b"\r\n\r\n",
    ],
)
def test_a_request_head_is_answered_however_its_octets_come(head: bytes) -> None:
    """In one piece, and an octet at a time, and with whatever follows it."""
    for parts in ([head], [head[at : at + 1] for at in range(len(head))], [head + GET + b"body"]):
        assert _parsed(_answer(*parts)).status == 403


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n",  # ends before it ends
        b"GET /\r\n\r\n",  # HTTP/0.9
        b"GET / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1 \r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\n\r\n",
        b" GET / HTTP/1.1\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\n\n",
        b"GET / HTTP/1.1\n\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"G\xc3\xa9T / HTTP/1.1\r\n\r\n",
        b"EHLO example.org\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"a" * MOST_HEAD + b"\r\n\r\n",
        b"a" * (2 * MOST_HEAD),
    ],
)
def test_what_is_not_plainly_a_request_gets_no_answer(sent: bytes) -> None:
    """The connection is closed, as it would have been in the handshake."""
    for parts in ([sent], [sent[at : at + 1000] for at in range(0, len(sent), 1000)]):
        assert _answer(*parts) is None


def test_no_more_is_read_than_a_head_may_have() -> None:
    """A head without end is left after 64 KiB, also where it comes in small pieces."""
    reads = 0

    def read() -> bytes:
        nonlocal reads
        reads += 1
        return b"a" * 1000

    assert HTTPAnswers(403)(DENIED, read) is None
    assert reads == MOST_HEAD // 1000 + 1


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_octets_get_one_answer_or_none(parts: list[bytes]) -> None:
    """And nothing else: no exception, and no octet of the client's in the answer."""
    got = _answer(*parts)
    assert got is None or got.startswith(b"HTTP/1.1 403 Forbidden\r\n")

"""Design 7: no refusal is silent, whatever the server, and no flood of refusals floods the log."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from typing import Any

import pytest

from mtlspolicy import tls
from mtlspolicy.tls._log import BURST, Buckets, subject_of


def run(loop: str, main: Any) -> None:
    """Run a coroutine on an event loop of a kind."""
    if loop == "uvloop":
        pytest.importorskip("uvloop").run(main)
    else:
        asyncio.run(main)


async def ask(pki: Any, port: int, name: str | None) -> bytes:
    """Connect as a client and return what comes back; nothing where the connection ends."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=pki.plain_client(name), server_hostname="localhost"
        )
        writer.write(b"hello")
        answer = await reader.read()
        writer.close()
    except OSError:
        return b""
    return answer


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_every_refusal_on_an_event_loop_is_logged(loop: str, pki: Any, lines: Any) -> None:
    """asyncio by itself says nothing: our line has address, code and subject, for our refusals and for OpenSSL's."""
    reached: list[Any] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(tls.peer_of(writer))
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=pki.server()) as server:
            port = server.sockets[0].getsockname()[1]
            for name in ("sam", "stranger", None):
                assert await ask(pki, port, name) == b""

    run(loop, main())
    found = lines()
    assert reached == []
    assert len(found) == 3, found
    assert all(line.startswith("WARNING refused 127.0.0.1:") for line in found)
    assert [line.split(": ")[1] for line in found] == [
        "name.mismatch",
        "tls.openssl-no-issuer",
        "tls.openssl-no-certificate",
    ]
    assert found[0].endswith("subject: CN=sam")
    assert "add its CA to the verifier's trust store" in found[1]
    assert "curl: --cert" in found[2]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_refuses_our_server_is_logged(loop: str, pki: Any, lines: Any) -> None:
    """The alert by which a client refuses our certificate is a line too."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> None:
        client = pki.plain_client()
        strict = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        strict.load_verify_locations(cadata=pki.stranger.der)
        strict.load_cert_chain(*pki.leaf("frodo").files(pki.folder))
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=pki.server()) as server:
            port = server.sockets[0].getsockname()[1]
            loop_now = asyncio.get_running_loop()
            await loop_now.run_in_executor(None, refuse, strict, port)
            assert await ask(pki, port, "frodo") == b""
        del client

    def refuse(context: ssl.SSLContext, port: int) -> None:
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=20), server_hostname="localhost")

    run(loop, main())
    assert [line.split(": ")[1] for line in lines()] == ["tls.openssl-alert-unknown-ca"]
    assert "does not trust the CA of our certificate" in lines()[0]


def test_a_log_record_carries_its_decision(pki: Any, pair: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A handler of the logger has the whole tree of reasons, by identity, and need not read the line."""
    refused = pair(pki.server(), pki.plain_client("sam"), "localhost")
    with pytest.raises(tls.HandshakeRejected) as caught:
        refused.shake()
    foreign = pair(pki.server(), pki.plain_client("stranger"), "localhost")
    with pytest.raises(tls.HandshakeRejected):
        foreign.shake()
    told = pair(pki.plain_server(), pki.client(None), "localhost")
    with pytest.raises(ssl.SSLError):
        told.shake()
    with pytest.raises(ssl.SSLError):
        told.client.read(10)
    records: list[Any] = [record for record in caplog.records if record.name == "mtlspolicy.connection"]
    assert records[0].mtlspolicy_decision is caught.value.decision is tls.decision_of(refused.server)
    assert records[1].mtlspolicy_decision is tls.decision_of(foreign.server)
    assert records[2].mtlspolicy_decision.code == "tls.openssl-alert-certificate-required"
    assert [record.mtlspolicy_code for record in records] == [record.mtlspolicy_decision.code for record in records]


def test_a_client_is_told_why_the_server_refused_it(pki: Any, serving: Any, lines: Any) -> None:
    """In TLS 1.3 the alert comes after the handshake, at the first read: the client's side logs it with its meaning."""
    server_context = pki.plain_server()
    with serving(server_context, lambda connection: connection.recv(10)) as server:
        raw = socket.create_connection(server.address, timeout=20)
        with pki.client(None).wrap_socket(raw, server_hostname="localhost") as client, pytest.raises(ssl.SSLError):
            client.recv(10)
    found = [line for line in lines() if "was refused by" in line]
    assert len(found) == 1
    assert "tls.openssl-alert-certificate-required" in found[0]
    assert "pass credential= to client_context" in found[0]


def test_a_read_after_an_alert_in_memory_is_logged(pki: Any, pair: Any, lines: Any) -> None:
    """The same for a TLS object, and an error that is no alert adds no line."""
    strict = pki.plain_server()
    ends = pair(strict, pki.client(None), "localhost")
    with pytest.raises(ssl.SSLError):
        ends.shake()
    with pytest.raises(ssl.SSLError):
        ends.client.read(10)
    assert [line.split(": ")[1] for line in lines()] == ["tls.openssl-alert-certificate-required"]
    ends = pair(pki.server(), pki.plain_client(), "localhost")
    ends.shake()
    ends.to_server.write(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(ssl.SSLError):
        ends.server.read(10)
    assert len(lines()) == 1


@pytest.mark.parametrize(
    ("sent", "code", "level"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "tls.openssl-plain-http", "WARNING"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "tls.openssl-not-tls", "WARNING"),
        (b"", "tls.peer-gone", "DEBUG"),
        (b"\x16\x03\x01", "tls.peer-gone", "DEBUG"),
    ],
    ids=["http", "ssh", "nothing", "half"],
)
def test_what_is_no_tls_has_a_line_of_its_own(
    sent: bytes, code: str, level: str, pki: Any, serving: Any, lines: Any
) -> None:
    """Plain HTTP and other protocols are refusals with a remedy; a client that goes away is none."""
    with serving(pki.server()) as server:
        with socket.create_connection(server.address, timeout=20) as raw:
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
            assert isinstance(server.result(), OSError)
        found = [line for line in lines() if code in line]
        assert len(found) == 1
        assert found[0].startswith(f"{level} refused 127.0.0.1:")


def test_old_versions_are_named(pki: Any, pair: Any, lines: Any) -> None:
    """A client of an older version of TLS is told from others."""
    modern = pki.server(hardening=tls.Hardening.MODERN)
    ends = pair(modern, pki.plain_client(version=ssl.TLSVersion.TLSv1_2), "localhost")
    with pytest.raises(ssl.SSLError):
        ends.shake()
    assert [line.split(": ")[1] for line in lines()] == ["tls.openssl-protocol-version"]


def test_hostile_names_do_not_reach_the_log(pki: Any, pair: Any, lines: Any) -> None:
    """RULES, names are hostile text: a common name with a terminal escape and a line break is one printable line."""
    leaf = pki.ca.issue_client("sam\x1b[31m\nWARNING forged")
    client = pki.plain_client(None)
    client.load_cert_chain(*leaf.files(pki.folder))
    with pytest.raises(tls.HandshakeRejected):
        pair(pki.server(), client, "localhost").shake()
    assert len(lines()) == 1
    assert lines()[0].isprintable()
    assert "forged" in lines()[0]


def test_the_record_carries_its_parts(pki: Any, pair: Any, caplog: pytest.LogCaptureFixture) -> None:
    """For structured logs the code, address and subject are attributes of the record."""
    with pytest.raises(tls.HandshakeRejected):
        pair(pki.server(), pki.plain_client("sam"), "localhost").shake()
    record = caplog.records[-1]
    assert record.name == "mtlspolicy.connection"
    assert vars(record)["mtlspolicy_code"] == "name.mismatch"
    assert vars(record)["mtlspolicy_address"] is None
    assert vars(record)["mtlspolicy_subject"] == "CN=sam"
    assert "address unknown" in record.getMessage()


@pytest.mark.timeout(300)  # a quarter of a minute on two idle cores
def test_a_flood_of_refusals_does_not_flood_the_log(
    pki: Any, pair: Any, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a burst further lines of one code are counted, and the next line says how many there were."""
    now = [1000.0]
    monkeypatch.setattr("mtlspolicy.tls._log.time.monotonic", lambda: now[0])
    context, client = pki.server(), pki.plain_client("sam")

    def refuse() -> None:
        with pytest.raises(tls.HandshakeRejected):
            pair(context, client, "localhost").shake()

    for _ in range(BURST + 7):
        refuse()
    assert len(lines()) == BURST
    with pytest.raises(tls.HandshakeRejected):
        pair(context, pki.plain_client("stranger"), "localhost").shake()
    assert len(lines()) == BURST + 1  # another code has its own bucket
    now[0] += 1.0
    refuse()
    assert "(7 more refused with this code since the last line)" in lines()[-1]


def test_buckets_are_bounded() -> None:
    """Codes are a user's to choose; the table of buckets does not grow without end."""
    buckets = Buckets(burst=1, rate=1.0)
    for number in range(2000):
        buckets.take(f"code.{number}", 0.0)
    assert len(buckets._held) <= 600
    assert buckets.take("code.new", 0.0) is None
    assert buckets.take("code.new", 5.0) is not None


def test_a_level_that_nobody_listens_to_costs_nothing(pki: Any, pair: Any, lines: Any) -> None:
    """With the logger switched off no line is made, and the refusal stands."""
    logger = logging.getLogger("mtlspolicy.connection")
    logger.setLevel(logging.CRITICAL)
    try:
        with pytest.raises(tls.HandshakeRejected):
            pair(pki.server(), pki.plain_client("sam"), "localhost").shake()
    finally:
        logger.setLevel(logging.DEBUG)
    assert lines() == []


def test_a_handler_that_fails_does_not_admit(pki: Any, pair: Any) -> None:
    """A filter of the application that raises leaves the connection refused and without its TLS object."""

    class Failing(logging.Filter):
        """Raises."""

        def filter(self, _: logging.LogRecord) -> bool:
            """Raise."""
            raise RuntimeError("full disk")

    logger, failing = logging.getLogger("mtlspolicy.connection"), Failing()
    logger.addFilter(failing)
    ends = pair(pki.server(), pki.plain_client("sam"), "localhost")
    try:
        with pytest.raises(RuntimeError):
            ends.shake()
    finally:
        logger.removeFilter(failing)
    with pytest.raises(tls.HandshakeRejected) as caught:
        ends.server.read(10)
    assert caught.value.code == "name.mismatch"
    assert ends.server._sslobj is None


def test_observers_see_each_decision_once(pki: Any, pair: Any) -> None:
    """verifier.observed_by: admissions and refusals, once for a connection; an optional absence is no decision."""
    seen: list[Any] = []
    verifier = pki.clients().observed_by(seen.append)
    context = tls.server_context(credential=pki.credential(), verifier=verifier, client_certificate="optional")
    held = tls.server_context(credential=pki.credential(), verifier=verifier, options=tls.ServerOptions(pending="hold"))
    pair(context, pki.plain_client("frodo"), "localhost").shake()
    with pytest.raises(tls.HandshakeRejected):
        pair(context, pki.plain_client("sam"), "localhost").shake()
    pair(context, pki.plain_client(None), "localhost").shake()
    ends = pair(held, pki.plain_client("frodo"), "localhost")
    ends.shake()
    assert ends.server._latch.claim(("127.0.0.1", 1)) is True
    assert verifier._observer.drain(20)
    assert [decision.code for decision in seen] == ["name.match", "name.mismatch", "name.match"]


def test_the_subject_of_what_cannot_be_read() -> None:
    """A subject that cannot be read is said to be so."""
    from mtlspolicy import PresentedChain

    assert subject_of(None) == "none"
    assert subject_of(PresentedChain((b"\x30\x03\x02\x01\x00",))).startswith("unreadable")

"""A refused connection that a gate answers: it has no peer, it is bounded, and it stays refused."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mtlspolicy import Decision, Resolver, TrustStore, Verdict, Verifier, policies, tls
from mtlspolicy._chain import Limits
from mtlspolicy._judgement import Outcome
from mtlspolicy.errors import (
    ConfigurationError,
    NoPeerCertificate,
    PathValidationError,
    PolicyDenied,
    VerificationError,
)
from mtlspolicy.tls import _answering
from mtlspolicy.tls._answering import answering_listener
from mtlspolicy.tls._gate import answering_gate
from mtlspolicy.tls._latch import Latch

FRODO = policies.CommonName("frodo")


class Answer(asyncio.Protocol):
    """Says the code of the refusal at the first byte of the client, and writes itself down."""

    def __init__(self, error: VerificationError, made: list[Any]) -> None:
        self.error = error
        self.seen: list[str] = []
        self.lost = asyncio.Event()
        made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Answer, and wait for the client to go."""
        self.seen.append(f"data {len(data)}" if len(self.seen) < 9 else "more")
        if len(self.seen) == 1:
            self.transport.write(self.error.code.encode("ascii"))
        if data.endswith(b"close"):
            self.transport.close()

    def eof_received(self) -> bool:
        """Take note."""
        self.seen.append("eof")
        return False

    def pause_writing(self) -> None:
        """Take note."""
        self.seen.append("pause")

    def resume_writing(self) -> None:
        """Take note."""
        self.seen.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note."""
        del exc
        self.lost.set()


class Site:
    """A server with an answering gate; `made` has the applications and `answers` the answers."""

    def __init__(self, site: Any) -> None:
        self.site = site
        self.answers: list[Any] = []
        self.keepers: list[Any] = []

    @property
    def counted(self) -> int:
        """How many connections the gate counts, held and answered."""
        return int(self.gate.args[1].held + self.gate.args[3].held)

    @contextlib.asynccontextmanager
    async def serving(self, context: ssl.SSLContext, answers: Any = None) -> AsyncIterator[int]:
        """Serve the context through its answering listener, and give the port."""
        self.gate: Any = answering_gate(self.site.factory, answers or (lambda error: Answer(error, self.answers)))

        def make() -> Any:
            self.keepers.append(self.gate())
            return self.keepers[-1]

        loop = asyncio.get_running_loop()
        server = await loop.create_server(make, "127.0.0.1", 0, ssl=answering_listener(context))
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for one in (*self.site.made, *self.answers):
                one.transport.abort()
            await asyncio.sleep(0)


@pytest.fixture
def answering(site: Any) -> Site:
    """Give a site for each TLS version."""
    return Site(site)


@pytest.fixture
def answering13(site13: Any) -> Site:
    """Give a site for TLS 1.3."""
    return Site(site13)


async def _told(site: Any, port: int, name: str | None) -> bytes:
    """Connect with a certificate for *name*, ask once, and return everything that came back."""
    async with site.client(port, name) as client:
        client.writer.write(b"request close")
        return bytes(await client.ended())


@pytest.mark.parametrize("pending", ["refuse", "hold"])
def test_who_is_refused_is_told_and_has_no_peer(answering: Site, run: Any, pending: str) -> None:
    """No certificate, the wrong name, the right one: each refusal is answered with its error, and only it."""
    site = answering.site

    async def main() -> None:
        async with answering.serving(site.context(FRODO, pending=pending, resolver=None)) as port:
            assert await _told(site, port, "gollum") == b"name.mismatch"
            assert await _told(site, port, None) == b"path.no-certificate"
            assert [type(answer.error) for answer in answering.answers] == [PolicyDenied, NoPeerCertificate]
            assert site.made == []
            async with site.client(port, "frodo") as client:
                assert await client.ask(b"x", 7) == b"hello x"
            assert len(answering.answers) == 2
            await site.until(lambda: answering.counted == 0)
            assert {keeper._latch.state.value for keeper in answering.keepers[:2]} == {"refused"}

    run(main())


def test_while_it_answers_nothing_tells_of_a_peer(answering: Site, run: Any) -> None:
    """`peer_of` raises the refusal, `decision_of` says it, and nothing that shows identity answers."""
    site = answering.site

    async def main() -> None:
        async with answering.serving(site.context(FRODO, pending="refuse", resolver=None)) as port:
            async with site.client(port, "gollum") as client:
                assert await client.ask(b"request", 13) == b"name.mismatch"
                transport = answering.answers[0].transport
                connection = transport.get_extra_info("ssl_object")
                assert connection._latch.state.value == "answering"
                for ask in (tls.peer_of, tls.presented_by):
                    with pytest.raises(tls.HandshakeRejected, match=r"name\.mismatch"):
                        ask(transport)
                assert tls.decision_of(transport).code == "name.mismatch"
                with pytest.raises(tls.HandshakeRejected):
                    connection.get_channel_binding("tls-unique")
                with pytest.raises(tls.HandshakeRejected):
                    _ = connection.session
                assert not connection._latch.admitted
                connection.do_handshake()  # is over, and opens nothing
                assert connection._latch.state.value == "answering"
                connection._latch.settle(connection._latch.outcome)  # nor does anybody who would settle it again
                assert connection._latch.claim() is False
                assert connection._latch.state.value == "answering"
            await asyncio.wait_for(answering.answers[0].lost.wait(), 30)
            with pytest.raises(ConfigurationError, match=r"name\.mismatch"):
                tls.peer_of(connection)
            with pytest.raises(tls.HandshakeRejected):
                connection.write(b"late")

    run(main())


def test_a_chain_outside_the_limits_is_told_so(answering13: Site, run: Any) -> None:
    """Also what is refused before a path is looked for is answered."""
    site = answering13.site
    issued = site.authority.issue_server("localhost")
    context = tls.server_context(
        credential=tls.Credential.from_pem(issued.chain_pem, issued.key_pem),
        verifier=Verifier.for_clients(
            trust=TrustStore(anchors=[site.authority.certificate]), policy=FRODO, limits=Limits(certificate_bytes=64)
        ),
    )

    async def main() -> None:
        async with answering13.serving(context) as port:
            assert (await _told(site, port, "frodo")).startswith(b"chain.")
            assert isinstance(answering13.answers[0].error, PathValidationError)

    run(main())


def test_a_fact_that_cannot_be_had_is_answered_after_the_hold(answering13: Site, run: Any) -> None:
    """pending="hold": the source fails, and the answer says so; what the client wrote meanwhile is not lost."""
    site = answering13.site
    site.source.answer = OSError("down")

    async def main() -> None:
        site.source.released.set()
        async with answering13.serving(site.context()) as port:
            told = await _told(site, port, "frodo")
            assert told
            assert answering13.answers[0].error.http_status == 503
            assert answering13.answers[0].error.retryable
            assert site.made == []

    run(main())


def test_a_fact_that_is_not_at_hand_is_answered_and_asked_for(answering13: Site, run: Any) -> None:
    """pending="refuse": the first is told to come again, and finds the fact at hand then."""
    site = answering13.site

    async def main() -> None:
        site.source.released.set()
        async with answering13.serving(site.context(pending="refuse")) as port:
            assert await _told(site, port, "frodo")
            assert answering13.answers[0].error.http_status == 503
            await site.until(lambda: bool(site.source.asked))
            for _ in range(200):
                if site.made:
                    break
                async with site.client(port, "frodo") as client:
                    client.writer.write(b"x close")
                    await client.reader.read(5)
            assert site.made

    run(main())
    site.resolver.close()


def test_a_silent_client_that_is_refused_is_closed_at_the_deadline(answering: Site, run: Any) -> None:
    """Who says nothing is not answered and does not stay."""
    site = answering.site

    async def main() -> None:
        context = site.context(FRODO, pending="refuse", resolver=None, handshake_timeout=0.2)
        async with answering.serving(context) as port, site.client(port, "gollum") as client:
            assert await client.ended() == b""
            await site.until(lambda: answering.counted == 0)
            assert answering.answers[0].seen in ([], ["eof"])

    run(main())


def test_a_client_that_is_refused_and_sends_without_end_is_closed(
    answering13: Site, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes are bounded, whatever the server's protocol does with them."""
    monkeypatch.setattr(_answering, "MOST_BYTES", 100_000)
    site = answering13.site

    async def main() -> None:
        async with answering13.serving(site.context(FRODO, pending="refuse", resolver=None)) as port:
            async with site.client(port, "gollum") as client:
                with contextlib.suppress(ConnectionError):
                    for _ in range(1000):
                        client.writer.write(b"y" * 10_000)
                        await client.writer.drain()
                assert await client.ended() in (b"name.mismatch", b"")
            await site.until(lambda: answering13.counted == 0)

    run(main())


def test_refused_clients_do_not_pile_up(answering13: Site, run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Those that are answered have the bounds of those that are held; one more is closed, and logged as what it is."""
    site = answering13.site

    async def main() -> None:
        context = site.context(FRODO, pending="refuse", resolver=None, max_held_per_address=2)
        async with answering13.serving(context) as port, contextlib.AsyncExitStack() as stack:
            for _ in range(2):
                client = await stack.enter_async_context(site.client(port, "gollum"))
                assert await client.ask(b"request", 13) == b"name.mismatch"
            assert answering13.counted == 2
            assert await site.turned_away(port, "gollum") == b""
            assert len(answering13.answers) == 2
            async with site.client(port, "frodo") as good:
                assert await good.ask(b"x", 7) == b"hello x"

    with caplog.at_level(logging.WARNING, logger="mtlspolicy.connection"):
        run(main())
    ours = [record for record in caplog.records if record.name == "mtlspolicy.connection"]
    codes = [record.mtlspolicy_code for record in ours]  # type: ignore[attr-defined]
    assert codes == ["name.mismatch"] * 3


def test_an_answer_that_fails_closes_the_connection(answering13: Site, run: Any) -> None:
    """An exception where the answer is made, or begins, leaves a refused connection and nothing counted."""
    site, told = answering13.site, []

    def fails(_: Any) -> Any:
        raise RuntimeError("no answer")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        async with answering13.serving(site.context(FRODO, pending="refuse", resolver=None), fails) as port:
            assert await site.turned_away(port, "gollum") == b""
            await site.until(lambda: answering13.counted == 0)
            assert answering13.keepers[0]._latch.state.value == "refused"

    run(main())
    assert [str(error) for error in told] == ["no answer"]


def test_the_protocol_that_answers_is_told_of_everything(answering13: Site) -> None:
    """End of file and the pace of writing reach the server's own protocol; the end of the connection once."""
    left: list[int] = []

    class _Latch:
        class outcome:  # noqa: N801 - an attribute
            @staticmethod
            def error() -> VerificationError:
                return PolicyDenied(Decision(Verdict.DENY, "name.mismatch", "", clause="x"))

        def refuse(self, decision: Any) -> None:
            left.append(len(decision.code))

    latch: Any = _Latch()

    async def main() -> None:
        one = _answering.Answering(latch, lambda error: Answer(error, answering13.answers), lambda: left.append(-1), 5)
        inner = answering13.answers[0]
        transport: Any = type("T", (), {"abort": lambda _: None, "is_closing": lambda _: True})()
        one.connection_made(transport)
        one.pause_writing()
        one.resume_writing()
        one.data_received(b"after the end")
        assert one.eof_received() is False
        one.connection_lost(None)
        one.connection_lost(None)
        assert inner.seen == ["pause", "resume", "eof"]
        assert inner.lost.is_set()

    asyncio.run(main())
    assert len(left) == 2


def test_the_listener_is_for_contexts_of_ours_and_for_event_loops(site13: Any) -> None:
    """A foreign context, one for clients, one that was changed, one of pyOpenSSL: refused by name."""
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ConfigurationError) as raised:
        answering_listener(plain)
    assert raised.value.code == "tls.not-ours"
    with pytest.raises(ConfigurationError) as raised:
        answering_listener(object())  # type: ignore[arg-type]
    assert raised.value.code == "tls.wrong-engine"
    context = site13.context(FRODO, pending="refuse", resolver=None)
    listener = answering_listener(context)
    assert isinstance(listener, ssl.SSLContext)
    with pytest.raises(ConfigurationError, match="event loops"):
        listener.wrap_socket(None)  # type: ignore[arg-type]
    assert answering_listener(context) is not listener  # once more is no change
    context.post_handshake_auth = True
    with pytest.raises(ConfigurationError, match="post_handshake_auth"):
        answering_listener(context)


def test_a_source_of_facts_that_is_there_keeps_its_meaning(answering13: Site, run: Any) -> None:
    """The rows of a look-up decide behind an answering gate as behind any other: a row that says no is answered."""
    site = answering13.site
    site.source.answer = False
    resolver = Resolver({"partner.enrolled": site.source})

    async def main() -> None:
        site.source.released.set()
        async with answering13.serving(site.context(resolver=resolver)) as port:
            assert await _told(site, port, "frodo")
            assert answering13.answers[0].error.http_status == 403

    run(main())
    resolver.close()


def test_a_refusal_that_waits_for_its_answer_is_never_undone() -> None:
    """Not by a gate that would settle it with a PERMIT, nor by anything that comes after."""

    class _Owner:
        def _end(self) -> None:
            ended.append(self)

    ended: list[Any] = []
    denied = Decision(Verdict.DENY, "name.mismatch", "", clause="x")
    permitted = Decision(Verdict.PERMIT, "name.match", "", clause="x")
    for answers, state in ((True, "answering"), (False, "refused")):
        owner: Any = _Owner()
        latch = Latch()
        latch.decline(owner, Outcome(denied, None, (), path_valid=True), tls.ServerOptions())
        latch.answers = answers
        assert not latch.claim(("127.0.0.1", 5))
        assert not latch.settle(Outcome(permitted, None, (), path_valid=True))
        assert (latch.state.value, latch.decision) == (state, denied)
        latch.refuse(denied)
        assert ended.pop() is owner

"""pending="refuse": whoever is refused for lack of a fact finds it at hand when he comes again, and nobody waits."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from mtlspolicy import Evidence, Resolver, policies, tls

PATIENCE = 20.0
"""Seconds after which a wait has failed."""


@policies.lookup("test.row", key=lambda path: path.end_entity.common_name, identifies=True)
def enrolled(value: object, _: Evidence) -> bool:
    """Permit whoever is enrolled."""
    return value == "yes"


class Rows:
    """A table that is asked with or without blocking, and keeps what it was asked for."""

    def __init__(self, *, blocking: bool, answer: object = "yes") -> None:
        self.asked: list[str] = []
        self.threads: set[int] = set()
        self._answer = answer
        self.source: Any = self.block if blocking else self.wait
        self.free = threading.Event()

    def block(self, key: str) -> object:
        """Answer when it is let."""
        self.asked.append(key)
        self.threads.add(threading.get_ident())
        assert self.free.wait(PATIENCE)
        return self._answer

    async def wait(self, key: str) -> object:
        """Answer when it is let; on the loop that asks."""
        self.asked.append(key)
        self.threads.add(threading.get_ident())
        await until(self.free.is_set)
        return self._answer


async def until(condition: Callable[[], Any]) -> None:
    """Wait until *condition* is true."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        await asyncio.sleep(0.001)


async def ask(pki: Any, port: int, name: str = "frodo") -> bytes:
    """Connect as a client and return what the server says; nothing where it refuses."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=pki.plain_client(name), server_hostname="localhost"
        )
        answer = await reader.read()
        writer.close()
    except OSError:
        return b""
    return answer


def serve(loop: str, pki: Any, policy: Any, resolver: Resolver, talk: Any) -> None:
    """Serve with *resolver* on an event loop of a kind, while *talk* runs with the port."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    async def main() -> None:
        context = pki.server(policy, options=tls.ServerOptions(resolver=resolver))
        async with await asyncio.start_server(greet, "127.0.0.1", 0, ssl=context) as server:
            await talk(server.sockets[0].getsockname()[1])
        resolver.close()

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(main())
    else:
        asyncio.run(main())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "async"])
def test_a_peer_that_tries_again_finds_its_fact(blocking: bool, loop: str, pki: Any, lines: Any) -> None:
    """The first connection is refused at once, the source is asked once meanwhile, the next one is admitted."""
    rows = Rows(blocking=blocking)
    resolver = Resolver({"test.row": rows.source}, deadline=PATIENCE)

    async def talk(port: int) -> None:
        for _ in range(3):
            assert await ask(pki, port) == b""  # refused while the source has not answered
        await until(lambda: rows.asked)
        assert rows.asked == ["frodo"]
        rows.free.set()
        await until(lambda: resolver.at_hand(needs))
        assert await ask(pki, port) == b"hello"
        assert (threading.get_ident() in rows.threads) is not blocking

    verifier = pki.clients(enrolled)
    needs = verifier.judgement(verifier_chain(pki)).outcome().needs
    assert len(needs) == 1
    serve(loop, pki, enrolled, resolver, talk)
    assert rows.asked == ["frodo"]
    assert {line.split(": ")[1] for line in lines()} == {"fact.missing"}


def verifier_chain(pki: Any) -> Any:
    """Return what frodo presents, as a verifier takes it."""
    from mtlspolicy import PresentedChain

    return PresentedChain((pki.leaf("frodo").der,))


@pytest.mark.parametrize("name", ["sam", "stranger"])
def test_a_peer_that_no_fact_can_save_makes_nobody_ask(name: str, pki: Any, pair: Any) -> None:
    """A client that is denied, or whose path is not valid, cannot have the source asked in its name."""
    rows = Rows(blocking=True)
    with Resolver({"test.row": rows.source}) as resolver:
        policy = policies.CommonName("frodo") & enrolled
        context = pki.server(policy, options=tls.ServerOptions(resolver=resolver))
        with pytest.raises(tls.HandshakeRejected):
            pair(context, pki.plain_client(name), "localhost").shake()
        assert not resolver._desk.board._under_way
    assert rows.asked == []


def test_many_peers_that_try_once_do_not_fill_the_memory(pki: Any, pair: Any) -> None:
    """Over max_pending questions nothing more is asked; whoever comes then is refused all the same."""
    rows = Rows(blocking=True)
    with Resolver({"test.row": rows.source}, max_pending=2, deadline=300.0) as resolver:
        context = pki.server(enrolled, options=tls.ServerOptions(resolver=resolver))
        for name in ("frodo", "sam", "gimli", "legolas"):
            with pytest.raises(tls.HandshakeRejected, match=r"fact\.missing"):
                pair(context, pki.plain_client(name), "localhost").shake()
            assert len(resolver._desk.board._under_way) <= 2
        rows.free.set()
    assert set(rows.asked) <= {"frodo", "sam"}


@pytest.mark.parametrize("blocking", [True, False], ids=["blocking", "async"])
def test_a_loop_of_somebody_elses_finds_its_fact_too(blocking: bool, pki: Any, pair: Any) -> None:
    """Without a running event loop, as under trio, an async source runs on the resolver's own."""
    rows = Rows(blocking=blocking)
    rows.free.set()
    with Resolver({"test.row": rows.source}, deadline=PATIENCE) as resolver:
        context = pki.server(enrolled, options=tls.ServerOptions(resolver=resolver))
        with pytest.raises(tls.HandshakeRejected, match=r"fact\.missing"):
            pair(context, pki.plain_client(), "localhost").shake()
        for flight in tuple(resolver._desk.board._under_way):
            flight.landed.result(PATIENCE)
        ends = pair(context, pki.plain_client(), "localhost")
        ends.shake()
        assert tls.peer_of(ends.server) is not None
    assert rows.asked == ["frodo"]
    assert threading.get_ident() not in rows.threads


ALONE = """
import ssl, sys
from mtlspolicy import Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority
ca = CertificateAuthority("root")
leaf = ca.issue_server("localhost")
enrolled = policies.lookup("test.row", key=lambda path: "x", identifies=True)(lambda value, _: True)
with Resolver({"test.row": lambda key: "yes"}) as resolver:
    context = tls.server_context(
        credential=tls.Credential.of(leaf.chain, leaf.key), options=tls.ServerOptions(resolver=resolver),
        verifier=Verifier.for_clients(trust=TrustStore(anchors=[ca.certificate]), policy=enrolled),
    )
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.load_verify_locations(cadata=ca.der)
    plain.load_cert_chain(*ca.issue_client("frodo").files(sys.argv[1]))
    a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(a, b, server_side=True)
    client = plain.wrap_bio(b, a, server_hostname="localhost")
    refused = None
    while refused is None:
        for end in (client, server):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except tls.HandshakeRejected as error:
                refused = error.code
    print(refused, "asyncio" in sys.modules)
"""


def test_a_program_without_an_event_loop_loads_none(tmp_path: Any) -> None:
    """Asking in the background from a program that never loaded asyncio does not load it."""
    command = [sys.executable, "-c", ALONE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["fact.missing", "False"]

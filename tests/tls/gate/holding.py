"""Programs of `test_gate_many`: a server that holds connections, and a client that opens them and watches them end.

Each runs in a process of its own, so that each has a limit of open files and a memory of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import selectors
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtlspolicy import Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority

THREADS = 8
"""Threads of the client, so that neither end waits for the other."""
SPARE = 300
"""Files that a process needs beside its connections."""


def room_for(number: int) -> bool:
    """Raise the limit of open files for *number* connections; return whether the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = number + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            return False
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return True


def memory() -> int:
    """Return the bytes of memory that this process has in use, Linux; elsewhere the most that it ever had."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/dev/fd").iterdir())


def time_for(number: int) -> float:
    """Return the seconds in which this machine makes *number* whole handshakes, both ends of them."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with tempfile.TemporaryDirectory() as folder:
        server.load_cert_chain(*CertificateAuthority("Example Root").issue_server("localhost").files(Path(folder)))
    began = time.monotonic()
    for _ in range(100):
        one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = server.wrap_bio(one, other, server_side=True), client.wrap_bio(other, one)
        for end in (ends[1], ends[0], ends[1], ends[0]):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return (time.monotonic() - began) / 100 * number


def context(folder: Path, number: int, hold_timeout: float) -> ssl.SSLContext:
    """Build a context that holds every client, for whom nobody ever answers; write what a client needs to *folder*."""
    authority = CertificateAuthority("Example Root")
    leaf = authority.issue_server("localhost")
    authority.issue_client("frodo").files(folder, name="frodo")

    @policies.lookup("partner.enrolled", key=lambda _: "row", identifies=True)
    def enrolled(row: object, _: Any) -> bool:
        return row is True

    async def silence(_: object) -> None:
        await asyncio.Event().wait()

    return tls.server_context(
        credential=tls.Credential.of(leaf.chain, leaf.key),
        verifier=Verifier.for_clients(trust=TrustStore(anchors=[authority.certificate]), policy=enrolled),
        options=tls.ServerOptions(
            pending="hold",
            hold_timeout=hold_timeout,
            resolver=Resolver({"partner.enrolled": silence}, deadline=600.0),
            max_held=number,
            max_held_per_address=number,
        ),
    )


async def serve(folder: Path, number: int) -> dict[str, Any]:
    """Hold *number* connections until their deadline; return what they cost and what is left."""
    made: list[object] = []

    class Application(asyncio.Protocol):
        """What must never come into being."""

        def __init__(self) -> None:
            made.append(self)

    # Long enough for all to come before the first has to go, and no longer.
    hold_timeout = 5.0 + 1.5 * time_for(number)
    factory: Any = tls.gate(Application)
    register = factory.args[1]
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        factory, "127.0.0.1", 0, ssl=context(folder, number, hold_timeout), backlog=1024, ssl_handshake_timeout=120
    )
    before, files = memory(), open_files()
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    peak = memory_then = files_then = 0
    began = held_at = time.monotonic()
    while (register.held or not peak) and time.monotonic() < began + 200:
        await asyncio.sleep(0.05)
        if register.held >= min(number, peak + 200) and register.held != peak:
            peak, held_at = register.held, time.monotonic()
            memory_then, files_then = memory(), open_files()
    took = time.monotonic() - held_at
    server.close()
    await server.wait_closed()
    end = time.monotonic() + 60
    while open_files() > files and time.monotonic() < end:  # noqa: ASYNC110 - the system tells nobody
        await asyncio.sleep(0.1)
    return {
        "peak": peak,
        "each": (memory_then - before) / peak,
        "files_each": (files_then - files) / peak,
        "files_left": open_files() - files,
        "held_left": register.held,
        "origins_left": len(register._by_origin),
        "made": len(made),
        "hold_timeout": hold_timeout,
        "took": took,
    }


def dial(folder: Path, port: int, number: int) -> list[socket.socket]:
    """Shake hands *number* times, several at once, and keep the sockets alone, since this side is not what is measured.

    All but the first resume a session of TLS 1.2, which costs an attacker the least.
    """
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.check_hostname = False
    plain.verify_mode = ssl.CERT_NONE
    plain.maximum_version = ssl.TLSVersion.TLSv1_2
    plain.load_cert_chain(folder / "frodo.pem", folder / "frodo.key")
    kept: list[socket.socket] = []
    left = iter(range(number - 1))

    def one(session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        raw = socket.create_connection(("127.0.0.1", port), 60)
        connection = plain.wrap_socket(raw, server_hostname="localhost", session=session)
        session = connection.session
        kept.append(socket.socket(fileno=connection.detach()))
        return session

    def run(session: ssl.SSLSession | None) -> None:
        for _ in left:
            one(session)

    first = one(None)
    threads = [threading.Thread(target=run, args=(first,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return kept


def watch(connections: list[socket.socket]) -> dict[str, int]:
    """Wait until the server has ended every connection; count them, and the bytes that it sent in them."""
    ended = received = 0
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.settimeout(0.0)
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map() and (ready := selector.select(120)):
            for key, _ in ready:
                one: Any = key.fileobj
                try:
                    data = one.recv(1000)
                except ConnectionError:
                    data = b""
                received += len(data)
                if not data:
                    selector.unregister(one)
                    one.close()
                    ended += 1
    return {"ended": ended, "received": received}


def main(role: str, folder: str, number: str, argument: str) -> None:
    """Run one of the two programs and print what it found as JSON; nothing where the system has not enough files.

    Args:
        role: ``serve`` or ``dial``.
        folder: Where the server writes the client's certificate and key.
        number: How many connections.
        argument: The event loop, ``asyncio`` or ``uvloop``; or the port to dial.
    """
    count = int(number)
    if not room_for(count):
        return
    if role == "dial":
        sys.stdout.write(json.dumps(watch(dial(Path(folder), int(argument), count))))
        return
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if argument == "uvloop":
        import uvloop

        new_loop = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(serve(Path(folder), count))))


if __name__ == "__main__":
    main(*sys.argv[1:])

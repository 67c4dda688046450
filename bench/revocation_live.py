"""A thousand clients at once, none of whom was asked about before, and a responder that takes its time.

Measured is the longest pause of the server's event loop; the clients are a process of their own.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench._harness import Row, Scale
from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.revocation import Destinations, Refresher
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate, OCSPResponder

DELAY = 0.3
"""Seconds that the responder takes."""
KINDS = ("without revocation", "threads", "httpx")
SECONDS = 60.0


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group: medians of runs by turns."""
    clients = scale.size(1000, 20)
    kinds = [kind for kind in KINDS if kind != "httpx" or find_spec("httpx") is not None]
    found: dict[str, list[tuple[float, float, int]]] = {kind: [] for kind in kinds}
    with TemporaryDirectory(prefix="mtlspolicy-bench-") as directory:
        for _ in range(scale.rounds(5)):
            for kind in kinds:
                found[kind].append(_run(kind, clients, Path(directory)))
    for kind in KINDS:
        name = f"{clients} clients at once, {kind}: longest pause of the loop"
        if kind not in kinds:
            yield Row(name, None, "ms", note="httpx is not installed (dependency group tests)")
            continue
        pauses, seconds, requests = zip(*found[kind], strict=True)
        note = (
            f"all answered in {median(seconds):.2f} s by a responder of {DELAY * 1000:g} ms, {max(requests)} request(s)"
        )
        yield Row(name, median(pauses) * 1000, "ms", note=f"{note}, {len(pauses)} rounds")


def _run(kind: str, clients: int, folder: Path) -> tuple[float, float, int]:
    """Return the longest pause, the seconds until everybody was answered, and the requests to the responder."""
    authority = CertificateAuthority("bench CA")
    (folder / "ca.pem").write_bytes(authority.pem)
    with authority.ocsp_responder() as responder:
        responder.answer(delay=DELAY)
        authority.issue_client("client", ocsp_url=responder.url).files(folder, name="client")
        policy = policies.CommonName("client")
        rule = policy if kind == KINDS[0] else policy & policies.NotRevoked()
        verifier = Verifier.for_clients(trust=TrustStore(anchors=[authority.certificate]), policy=rule)
        served = authority.intermediate("bench issuing CA").issue_server("localhost")
        pause, words = asyncio.run(_serve(verifier, served, responder, (kind, clients, folder)))
    admitted, seconds = words.split()
    if int(admitted) != clients:
        raise RuntimeError(f"only {admitted} of {clients} clients were admitted")
    return pause, float(seconds), responder.requests


async def _serve(
    verifier: Verifier, served: IssuedCertificate, responder: OCSPResponder, what: tuple[str, int, Path]
) -> tuple[float, str]:
    """Return the longest pause of the loop while the clients come, and what they say of it."""
    kind, clients, folder = what
    port = int(responder.url.rsplit(":", 1)[1].partition("/")[0])
    async with AsyncExitStack() as stack:
        options: dict[str, Any] = {"deadline": SECONDS / 3}
        if kind == "httpx":
            import httpx

            options["client"] = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        where = Destinations(ports=[port], addresses=["127.0.0.0/8"])
        refresher = await stack.enter_async_context(Refresher(destinations=where, **options))
        context = tls.server_context(
            credential=tls.Credential.from_pem(served.chain_pem, served.key_pem),
            verifier=verifier,
            options=tls.ServerOptions(
                resolver=refresher.resolver(deadline=SECONDS / 2), pending="hold", hold_timeout=SECONDS,
                handshake_timeout=SECONDS,
            ),
        )  # fmt: skip
        server = await tls.start_server(_answer, "127.0.0.1", 0, ssl=context, backlog=clients)
        await stack.enter_async_context(server)
        pauses = asyncio.create_task(_pauses(stop := asyncio.Event()))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.revocation_live", str(server.sockets[0].getsockname()[1]), str(clients),
            str(folder), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        words, _ = await child.communicate()
        stop.set()
        return await pauses, words.decode()


async def _answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"in")
    writer.close()


async def _pauses(stop: asyncio.Event) -> float:
    """Return the longest time between two turns of the loop that should be a millisecond apart."""
    longest, last = 0.0, time.perf_counter()
    while not stop.is_set():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest - 0.001


async def _come(port: int, clients: int, folder: Path) -> str:
    """Connect so many times at once, and say how many were let in, and in how many seconds."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "client.pem", folder / "client.key")

    async def one() -> bool:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost", ssl_handshake_timeout=SECONDS
            )
            said = await reader.read()
            writer.close()
        except OSError:
            return False
        return said == b"in"

    began = time.perf_counter()
    let_in = sum(await asyncio.gather(*(one() for _ in range(clients))))
    return f"{let_in} {time.perf_counter() - began}"


if __name__ == "__main__":
    print(asyncio.run(_come(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))

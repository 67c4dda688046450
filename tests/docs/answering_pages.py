"""What the page about answers to the refused needs before its Python blocks run, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from mtlspolicy.testing import CertificateAuthority

from .revocation_tools import stand_in, until  # noqa: TID252 - tests are no package that could be named

if TYPE_CHECKING:
    from tests.docs.conftest import Lab


def _answer_refusals(lab: Lab) -> Iterator[None]:
    processor, public = CertificateAuthority("Processor"), CertificateAuthority("Public")
    Path("processor-ca.pem").write_bytes(processor.pem)
    public.issue_server("localhost").files(".", name="server")
    running: list[uvicorn.Server] = []
    threads: list[threading.Thread] = []
    run = uvicorn.Server.run

    def on_a_thread(server: uvicorn.Server, *_: Any) -> None:
        threads.append(threading.Thread(target=lambda: asyncio.run(server.serve())))
        running.append(server)
        threads[-1].start()
        until(lambda: server.started)

    uvicorn.Server.run = on_a_thread  # type: ignore[method-assign, assignment]
    try:
        with processor.ocsp_responder() as responder:
            stand_in(lab, responder)
            hooks, later = (processor.issue_client("hooks.processor.example", ocsp_url=responder.url) for _ in range(2))
            other = processor.issue_client("shop.processor.example", ocsp_url=responder.url)
            yield
            _asked(lab, public, (hooks, None, other, later), lambda: responder.answer(http_status=503))
    finally:
        uvicorn.Server.run = run  # type: ignore[method-assign]
        for server in running:
            server.should_exit = True
        for thread in threads:
            thread.join()
    asyncio.run(_hypercorn(lab, public, hooks))


def _asked(lab: Lab, public: CertificateAuthority, clients: tuple[Any, ...], silence: Callable[[], None]) -> None:
    good, none, other, later = clients
    assert lab.get(good, public) == (200, "hello hooks.processor.example\n")
    for client, code in ((none, "path.no-certificate"), (other, "name.mismatch")):
        status, text = lab.get(client, public)
        assert (status, json.loads(text)) == (403, {"error": code})
    silence()
    status, text = lab.get(later, public)
    assert (status, json.loads(text)) == (503, {"error": "ocsp.unavailable"})


async def _hypercorn(lab: Lab, public: CertificateAuthority, good: Any) -> None:
    stop = asyncio.Event()
    serving = asyncio.ensure_future(lab.namespace["serve"](stop))
    try:
        for _ in range(200):
            await asyncio.sleep(0.05)
            try:
                status, _text = await asyncio.to_thread(lab.get, None, public)
            except ConnectionError:
                continue
            assert status == 403
            assert (await asyncio.to_thread(lab.get, good, public))[0] == 200
            break
        else:
            raise AssertionError("it does not serve")
    finally:
        stop.set()
        await serving


ANSWERING_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {
    "docs/howto/answer-refusals.md": _answer_refusals,
}

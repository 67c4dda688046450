"""aiosmtpd on an event loop of a thread, over STARTTLS with a context of ours and nothing else of ours."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from aiosmtpd.smtp import SMTP

from mtlspolicy import tls

HOST: Final = "127.0.0.1"
_PATIENCE: Final = 20.0


class _Box:
    """What aiosmtpd calls: ``NOOP`` is answered with who asks."""

    async def handle_NOOP(self, server: SMTP, *_: Any) -> str:  # noqa: N802 - its name
        """Answer."""
        peer = tls.peer_of(server.transport)  # type: ignore[arg-type]  # typed as any transport
        return f"250 {peer and peer.common_name}"


@contextmanager
def mail_serving(context: ssl.SSLContext) -> Generator[int, None, None]:
    """Serve mail, STARTTLS first, and lend the port.

    Args:
        context: Of the server.
    """
    ready = threading.Event()
    found: list[Any] = []

    def session() -> SMTP:
        return SMTP(_Box(), hostname="localhost", tls_context=context, require_starttls=True)

    async def serve() -> None:
        loop, end = asyncio.get_running_loop(), asyncio.Event()
        made = await loop.create_server(session, HOST, 0, backlog=200)
        found.extend([made.sockets[0].getsockname()[1], loop, end])
        ready.set()
        await end.wait()
        made.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(_PATIENCE)
    try:
        yield found[0]
    finally:
        found[1].call_soon_threadsafe(found[2].set)
        thread.join(_PATIENCE)
        assert not thread.is_alive()

"""What the pages about integrations need before their Python blocks run, and what must be true afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.testing import CertificateAuthority

from .answering_pages import ANSWERING_SETUPS  # noqa: TID252 - tests are no package that could be named

if TYPE_CHECKING:
    from tests.docs.conftest import Lab


def _behind_a_proxy(lab: Lab) -> Iterator[None]:
    root = CertificateAuthority("Clients")
    Path("clients-ca.pem").write_bytes(root.pem)
    yield
    pem = quote(root.issue_client("frodo").certificate_pem.decode("ascii"), safe="")
    headers = [(b"x-ssl-client-cert", pem.encode("ascii")), (b"x-ssl-client-verify", b"SUCCESS")]
    accepted = Accepted(None, unix=True, uid=33)
    for path, status in (("/users/frodo", 200), ("/users/sam", 403)):
        scope = {"type": "http", "http_version": "1.1", "path": path, "headers": headers, ACCEPTED: accepted}
        assert _status(lab.namespace["app"], scope) == status


def _status(app: Any, scope: dict[str, Any]) -> int:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return int(sent[0]["status"])


INTEGRATION_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {
    "docs/howto/behind-a-proxy.md": _behind_a_proxy,
    **ANSWERING_SETUPS,
}

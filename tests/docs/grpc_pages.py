"""What the page about gRPC needs before its blocks run, and what must be true afterwards.

Its blocks only define things here. They are run again as a module in a process of its own, where the servers are
started and asked: other tests fork, and gRPC's threads do not survive that.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from mtlspolicy.testing import CertificateAuthority

from .conftest import blocks  # noqa: TID252 - tests are no package that could be named

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

_PAGE: Final = "docs/howto/grpc.md"
_ASKED: Final = """
    import asyncio, json

    import grpc
    import page

    def asked(port, method, message=b""):
        try:
            return page.ask(f"localhost:{port}", method, message).decode()
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}"

    async def greeted():
        server, port = await page.serve_async("127.0.0.1:0")
        try:
            return await asyncio.to_thread(asked, port, "/shire.Greeter/Hello")
        finally:
            await server.stop(None)

    found = {}
    server, port = page.serve("127.0.0.1:0")
    found["sync"] = asked(port, "/shire.Greeter/Hello")
    server.stop(None).wait()
    found["aio"] = asyncio.run(greeted())
    server, port = page.serve_parts("127.0.0.1:0")
    found["own"], found["other"] = (asked(port, "/shire.Letters/Read", name) for name in (b"frodo", b"sam"))
    server.stop(None).wait()
    server, port = page.serve("127.0.0.1:0")
    target, method = f"localhost:{port}", "/shire.Greeter/Hello"
    found["from aio"] = asyncio.run(page.ask_async(target, method, b"")).decode()
    found["refused"] = "name.absent" in page.why_not(target, method, "spiffe://example.org/db")
    server.stop(None).wait()
    print(json.dumps(found))
"""


def _grpc(lab: Lab) -> Iterator[None]:
    """The servers of the page greet frodo, who reads his letters and nobody else's."""
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("a channel goes over a Unix socket")
    public, clients = CertificateAuthority("Public"), CertificateAuthority("Clients")
    public.issue_server("localhost").files(".", name="server")
    clients.issue_client("frodo").files(".", name="frodo")
    Path("server-ca.pem").write_bytes(public.pem)
    Path("clients-ca.pem").write_bytes(clients.pem)
    yield
    frodo: Any = lab.namespace["changing"].decide(clients.issue_client("frodo").der)
    assert frodo
    Path("page.py").write_text("\n".join(blocks(_PAGE, "python")), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_ASKED)], env=environment, capture_output=True, text=True, timeout=55,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "sync": "hello frodo",
        "aio": "hello frodo",
        "own": "the letters of frodo",
        "other": "PERMISSION_DENIED name.mismatch",
        "from aio": "hello frodo",
        "refused": True,
    }


GRPC_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {_PAGE: _grpc}

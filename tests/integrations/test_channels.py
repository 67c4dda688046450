"""Channels, the web sockets of Django, in a process of its own: a consumer knows its peer, and asks for more."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import connect

from mtlspolicy.testing import IssuedCertificate
from tests.integrations.serving import HOST, PATIENCE, REPOSITORY, ROOT, listening

pytest.importorskip("channels", reason="Channels is not installed")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the server takes over a descriptor")


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Generator[int, None, None]:
    """Serve the site."""
    folder = tmp_path_factory.mktemp("channels")
    ROOT.issue_server("localhost", HOST).files(folder, name="server")
    (folder / "root.pem").write_bytes(ROOT.pem)
    search = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src"), *filter(None, sys.path)])
    with listening() as listener:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integrations.channels_site", str(listener.fileno())],
            cwd=folder, env={**os.environ, "PYTHONPATH": search}, pass_fds=[listener.fileno()],
        )  # fmt: skip
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait(PATIENCE)


def entered(port: int, folder: Path, path: str, who: IssuedCertificate | None) -> Any:
    """Return a connection to *path*, of *who*."""
    context = ssl.create_default_context(cadata=ROOT.pem.decode("ascii"))
    if who is not None:
        context.load_cert_chain(*who.files(folder))
    origin: Any = f"https://localhost:{port}"
    return connect(f"wss://localhost:{port}/{path}", ssl=context, origin=origin, open_timeout=PATIENCE)


FRODO = ROOT.issue_client("frodo")


@pytest.mark.parametrize("kind", ["room", "threaded"])
def test_a_consumer_knows_its_peer_and_asks_before_it_accepts(kind: str, port: int, tmp_path: Path) -> None:
    """The one in the path is let in; to another the answer is 403 in place of the upgrade."""
    with entered(port, tmp_path, f"{kind}/frodo", FRODO) as connection:
        assert connection.recv(PATIENCE) == "frodo"
    with pytest.raises(InvalidStatus) as caught, entered(port, tmp_path, f"{kind}/sam", FRODO):
        pass
    assert caught.value.response.status_code == 403


def test_a_question_in_the_middle_of_a_conversation_ends_it(port: int, tmp_path: Path) -> None:
    """A message for somebody else closes the socket with 1008 and the code."""
    with entered(port, tmp_path, "room/frodo", FRODO) as connection:
        assert connection.recv(PATIENCE) == "frodo"
        connection.send("frodo")
        assert connection.recv(PATIENCE) == "frodo"
        connection.send("sam")
        with pytest.raises(ConnectionClosed) as caught:
            connection.recv(PATIENCE)
    closing = caught.value.rcvd
    assert closing is not None
    assert (closing.code, closing.reason) == (1008, "name.mismatch")


@pytest.mark.parametrize("who", [ROOT.issue_client("gollum"), None], ids=["gollum", "none"])
def test_no_consumer_runs_for_who_is_not_meant(who: IssuedCertificate | None, port: int, tmp_path: Path) -> None:
    """Whom the policy of the connection refuses gets no answer to the upgrade."""
    with pytest.raises((OSError, InvalidMessage, ConnectionClosed)), entered(port, tmp_path, "room/gollum", who):
        pass

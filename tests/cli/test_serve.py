"""``mtlspolicy serve``: real curl against the real server, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Call, plain_environment  # noqa: TID252 - tests are no package that could be named

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the signals that end the server are POSIX's")


class Served:
    """A running server: its process, what it printed so far, and the curl commands by the remark above each."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self.commands: dict[str, list[str]] = {}
        remark = ""
        while not self.lines or "a refused client sees" not in self.lines[-1]:
            line = self.line()
            if line.startswith("# "):
                remark = line[2:]
            elif line.startswith("curl "):
                self.commands[remark] = shlex.split(line)
        self.port = int(re.findall(r"localhost:(\d+)/", self.lines[0])[0])

    def line(self) -> str:
        """Wait for the next line of its output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the server ended"
        self.lines.append(line.rstrip("\n"))
        return self.lines[-1]

    def until(self, text: str) -> list[str]:
        """Wait for a line with *text* and return the lines up to it."""
        found = [self.line()]
        while text not in found[-1]:
            found.append(self.line())
        return found

    def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end and return the exit status."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        assert err == ""
        self.lines += out.splitlines()
        return self.process.returncode


@contextmanager
def serving(*flags: object) -> Generator[Served, None, None]:
    """Run the server on a free port."""
    command = [sys.executable, "-m", "mtlspolicy", "serve", "--port", "0", *map(str, flags)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=plain_environment()
    ) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


def curl(served: Served, remark: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run one of the printed curl commands."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = [*served.commands[remark], *more, "--silent", "--show-error", "--max-time", "20"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_curl_is_told_who_it_is_and_refusals_are_explained(tmp_path: Path) -> None:
    """The good client gets its identity as JSON; each other one gets nothing, and its tree is printed; Ctrl-C ends."""
    with serving("--dir", tmp_path / "files") as served:
        good = curl(served, "admitted")
        assert good.returncode == 0, good.stderr
        answer = json.loads(good.stdout)
        assert (answer["common_name"], answer["issuer"]) == ("frodo", "CN=Demo Issuing CA 1")
        assert answer["path"] == "CN=frodo < CN=Demo Issuing CA 1 < CN=Demo Root"
        assert answer["admitted_by"] == ["CommonName('frodo', 'sam')", "IssuerPin(CN=Demo Issuing CA 1)"]
        assert ": CN=frodo, policy.all" in served.until("admitted 127.0.0.1:")[-1]
        for remark, code, reason in (
            ("refused: another issuing CA", "issuer.not-pinned", "direct issuer is CN=Demo Issuing CA 2"),
            ("refused: a name that is not allowed", "name.mismatch", "presented 'gollum'"),
            ("refused: expired yesterday", "tls.openssl-expired", "has expired"),
            ("refused: self-signed", "tls.openssl-self-signed", "is self-signed"),
            ("refused: no certificate", "tls.openssl-no-certificate", "presented no certificate"),
        ):
            refused = curl(served, remark)
            assert refused.returncode != 0
            assert refused.stdout == ""
            assert served.until("refused 127.0.0.1:")[-1].endswith(f": {code}")
            served.until(reason)
        assert served.end(signal.SIGINT) == 0
        assert served.lines[-1] == "stopped"
        assert all(len(line) <= 100 for line in served.lines if str(tmp_path) not in line)


def test_only_get_and_head(tmp_path: Path) -> None:
    """HEAD has no body, and other methods are told that they are not served."""
    with serving("--dir", tmp_path / "files") as served:
        head = curl(served, "admitted", "--head")
        assert head.stdout.startswith("HTTP/1.1 200 OK")
        assert "frodo" not in head.stdout
        posted = curl(served, "admitted", "--data", "x", "--write-out", "%{http_code}")
        assert posted.stdout.endswith("405")
        assert served.end(signal.SIGTERM) == 0


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """The clients' files are readable by their owner alone; a directory of one's own stays, a temporary one goes."""
    own = tmp_path / "own"
    with serving("--dir", own) as served:
        assert served.end(signal.SIGTERM) == 0
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in own.iterdir()} == {0o600}
    with serving() as served:
        given = Path(served.commands["admitted"][2]).parent
        assert stat.S_IMODE(given.stat().st_mode) == 0o700
        assert served.end(signal.SIGINT) == 0
    assert not given.exists()


def test_loopback_alone() -> None:
    """The server listens on 127.0.0.1 and on no other address of this machine."""
    with serving() as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=5):
            pass
        other = socket.socket()
        other.settimeout(5)
        assert other.connect_ex(("127.0.0.2", served.port)) != 0
        other.close()
        assert served.end(signal.SIGTERM) == 0


def test_a_port_that_is_taken(call: Call, tmp_path: Path) -> None:
    """A port that somebody else has is an error that names it and the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = call("serve", "--port", port, "--dir", tmp_path / "files")
    assert answer.status == 2
    assert f"port {port} of 127.0.0.1 cannot be had" in answer.err
    assert "--port" in answer.err


def test_a_directory_with_files(call: Call, tmp_path: Path) -> None:
    """A directory that is not empty is refused before anything listens."""
    (tmp_path / "mine").write_text("x")
    answer = call("serve", "--port", "0", "--dir", tmp_path)
    assert (answer.status, answer.out) == (2, "")
    assert "is not empty" in answer.err

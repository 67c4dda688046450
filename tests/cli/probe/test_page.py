"""The page of a probe in a real browser: grade and rows are there, and nothing in it runs or is loaded."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mtlspolicy.cli.probe._html import as_html
from mtlspolicy.cli.probe._judge import judge
from mtlspolicy.cli.probe._seen import Attempt, End

from .probing import Served, listening  # noqa: TID252 - tests are no package that could be named
from .test_judge import GOOD  # noqa: TID252 - the same

Show = Callable[[str], str]
"""Opens a page and returns its document after scripts had their time."""


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Return a function that opens a page in Chromium, which can reach nothing but loopback."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed: on Debian, apt-get install chromium")

    def run(page: str) -> str:
        path = tmp_path / "page.html"
        path.write_text(page, encoding="utf-8")
        command = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--disable-features=LocalNetworkAccessChecks",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=2000", "--dump-dom", path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _serve(connection: socket.socket, served: Served) -> None:
    with suppress(OSError):
        served.requests.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _attack(port: int) -> str:
    """Return markup that would rename the page and load something, where it were markup."""
    rename = "document.title='taken'"
    return f"<script>{rename}</script><img src='http://127.0.0.1:{port}/x' onerror=\"{rename}\">"


def test_the_page_shows_the_report(show: Show) -> None:
    """Title, grade, reasons and rows are in the document."""
    none = Attempt("none", End.ANSWERED, "HTTP/1.1 200 OK", 200)
    attempts = tuple((key, none if key == "none" else old) for key, old in GOOD.attempts)
    document = show(as_html(judge(replace(GOOD, attempts=attempts))))
    assert "<title>api.example.com port 443: grade F</title>" in document
    assert '<div class="grade F" aria-hidden="true">F</div>' in document
    assert "<code>probe.none-served</code>" in document
    assert document.count("<tr") == 6 + 4 + 10
    assert (
        '<tr class="bad"><td class="mark" title="not as it should be">✕</td><th scope="row">no certificate</th>'
        in document
    )


def test_the_browser_would_run_it(show: Show) -> None:
    """On a page without our defences the same markup runs and loads: otherwise the tests below would prove nothing."""
    with listening(_serve) as served:
        document = show(f"<!doctype html><title>mine</title>{_attack(served.port)}")
        assert served.requests
    assert "<title>taken</title>" in document


def test_hostile_names_stay_text(show: Show) -> None:
    """Names and banners of a hostile server are shown as they are, run nothing and load nothing."""
    with listening(_serve) as served:
        attack = _attack(served.port)
        rows = ({**GOOD.chain.reports[0], "subject": attack, "names": {"dns": [attack]}},)
        attempts = tuple(
            (key, replace(old, text=attack) if isinstance(old, Attempt) else old) for key, old in GOOD.attempts
        )
        seen = replace(
            GOOD, place=replace(GOOD.place, host=attack), chain=replace(GOOD.chain, reports=rows), attempts=attempts,
            authorities=(attack,), cipher=attack,
        )  # fmt: skip
        document = show(as_html(judge(seen)))
        assert served.requests == []
    assert "<script>" not in document
    assert "<img" not in document
    assert document.count("&lt;script&gt;document.title='taken'") >= 10
    assert "<title>&lt;script&gt;" in document


def test_the_policy_of_the_page_holds_by_itself(show: Show) -> None:
    """Were an escape missing, the page's policy would still let nothing run or load."""
    with listening(_serve) as served:
        attack = f"{_attack(served.port)}<link rel=stylesheet href='http://127.0.0.1:{served.port}/y'>"
        document = show(as_html(judge(GOOD)).replace("</main>", f"{attack}</main>"))
        assert served.requests == []
    assert "<title>api.example.com port 443: grade A</title>" in document
    assert "<script>" in document

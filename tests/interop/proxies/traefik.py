"""Traefik with the two files that the how-to page prints."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from .front import Run, Setup, in_front  # noqa: TID252 - tests are no package that could be named
from .pages import Page, filled  # noqa: TID252 - the same
from .programs import running  # noqa: TID252 - the same
from .rules import Proxied  # noqa: TID252 - the same

PAGE: Final = Page("proxy-traefik.md")
_CLIENTS: Final = "/etc/traefik/clients.yml"


@contextmanager
def _running(entry: str, text: str, folder: Path, port: int) -> Generator[None, None, None]:
    clients, start = folder / "clients.yml", folder / "traefik.yml"
    clients.write_text(text, encoding="utf-8")
    start.write_text(filled(entry, folder, {8443: port}).replace(_CLIENTS, str(clients)), encoding="utf-8")
    with running("traefik", f"--configFile={start}", folder=folder, ports=(port,)):
        yield


def traefik(text: str, folder: Path, port: int) -> AbstractContextManager[None]:
    """Run Traefik with *text* as the file of routers and TLS options."""
    return _running(PAGE.configuration("/etc/traefik/traefik.yml"), text, folder, port)


@contextmanager
def traefik_that_trusts_headers(text: str, folder: Path, port: int) -> Generator[None, None, None]:
    """Run Traefik with an entry point that keeps what clients send in ``X-Forwarded-*``."""
    entry = PAGE.configuration("/etc/traefik/traefik.yml")
    line = '    address: "0.0.0.0:8443"\n'
    assert entry.count(line) == 1
    with _running(entry.replace(line, f"{line}    forwardedHeaders: {{insecure: true}}\n"), text, folder, port):
        yield


def behind_traefik(setup: Setup, run: Run = traefik) -> AbstractContextManager[Proxied]:
    """Run Traefik as its page says, with a program behind it."""
    return in_front(PAGE, _CLIENTS, run, setup)

"""Caddy with the Caddyfile that the how-to page prints."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from .front import Setup, in_front  # noqa: TID252 - tests are no package that could be named
from .pages import Page  # noqa: TID252 - the same
from .programs import running  # noqa: TID252 - the same
from .rules import Proxied  # noqa: TID252 - the same

PAGE: Final = Page("proxy-caddy.md")


@contextmanager
def _caddy(text: str, folder: Path, port: int) -> Generator[None, None, None]:
    (folder / "Caddyfile").write_text(text, encoding="utf-8")
    arguments = ("run", "--config", folder / "Caddyfile", "--adapter", "caddyfile")
    homes = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    with running("caddy", *arguments, folder=folder, ports=(port,), variables=homes):
        yield


def behind_caddy(setup: Setup) -> AbstractContextManager[Proxied]:
    """Run Caddy as its page says, with a program behind it."""
    return in_front(PAGE, "/etc/caddy/Caddyfile", _caddy, setup)

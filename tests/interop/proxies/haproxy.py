"""HAProxy with the configuration that the how-to page prints."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from .front import Setup, in_front  # noqa: TID252 - tests are no package that could be named
from .pages import Page  # noqa: TID252 - the same
from .programs import running  # noqa: TID252 - the same
from .rules import Proxied  # noqa: TID252 - the same

PAGE: Final = Page("proxy-haproxy.md")


@contextmanager
def haproxy(text: str, folder: Path, port: int) -> Generator[None, None, None]:
    """Run HAProxy with the configuration *text*."""
    configuration = folder / "haproxy.cfg"
    configuration.write_text(text, encoding="utf-8")
    with running("haproxy", "-db", "-f", configuration, folder=folder, ports=(port,)):
        yield


def behind_haproxy(setup: Setup) -> AbstractContextManager[Proxied]:
    """Run HAProxy as its page says, with a program behind it."""
    return in_front(PAGE, "/etc/haproxy/haproxy.cfg", haproxy, setup)

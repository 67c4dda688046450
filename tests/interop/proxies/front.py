"""Puts a proxy in front of a program of ours, both as the how-to page of the proxy prints them."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .backend import serving  # noqa: TID252 - tests are no package that could be named
from .pages import Page, filled  # noqa: TID252 - the same
from .programs import free_port  # noqa: TID252 - the same
from .rules import Proxied  # noqa: TID252 - the same

Run = Callable[[str, Path, int], AbstractContextManager[None]]
"""Runs a proxy with a configuration, in a folder, until it listens on a port."""
_SECONDS: Final = 20.0
"""How long it may take until a proxy forwards requests; none comes near it."""


@dataclass(frozen=True)
class Setup:
    """What is done with the page of a proxy.

    Attributes:
        certificates: Folder of certificates and keys.
        folder: Of the proxy's own files.
        change: Of the configuration, in the words of the page.
        blocks: How many Python blocks of the page are run.
    """

    certificates: Path
    folder: Path
    change: Callable[[str], str] = str
    blocks: int = 1


@contextmanager
def in_front(page: Page, path: str, run: Run, setup: Setup) -> Generator[Proxied, None, None]:
    """Run a proxy as its page says, with a program behind it.

    Args:
        page: How to set it up.
        path: Of the configuration on the page.
        run: Starts it.
        setup: What is done with the page.
    """
    names = page.namespace(setup.certificates, blocks=setup.blocks)
    with serving(names["source"], names["verifier"]) as backend:
        port = free_port()
        text = setup.change(page.configuration(path))
        with run(filled(text, setup.certificates, {8443: port, 8000: backend.port}), setup.folder, port):
            proxied = Proxied(port, setup.certificates, backend)
            _until_it_forwards(proxied)
            yield proxied


def _until_it_forwards(proxied: Proxied) -> None:
    """Return when a request reaches the program: Traefik listens before it has read what it does with requests."""
    end = time.monotonic() + _SECONDS
    while (answer := proxied.ask("frodo")).told is None:
        assert time.monotonic() < end, f"the proxy forwards nothing: {answer}"
        time.sleep(0.05)

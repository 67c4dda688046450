"""Apache httpd with the virtual host that the how-to page prints, in as little of a main configuration as it needs."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import pytest

from .front import Setup, in_front  # noqa: TID252 - tests are no package that could be named
from .pages import Page  # noqa: TID252 - the same
from .programs import require, running  # noqa: TID252 - the same
from .rules import Proxied  # noqa: TID252 - the same

PAGE: Final = Page("proxy-apache.md")
_MODULES: Final = Path("/usr/lib/apache2/modules")
_LOADED: Final = ("mpm_event", "authz_core", "socache_shmcb", "ssl", "headers", "proxy", "proxy_http")
_MAIN: Final = """
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/apache.pid
Mutex file:{folder} default
ErrorLog {folder}/error.log
LogLevel info
StartServers 1
ServerName localhost
"""


@contextmanager
def apache(block: str, folder: Path, port: int) -> Generator[None, None, None]:
    """Run Apache with a virtual host."""
    require("apache2")
    if not _MODULES.is_dir():
        pytest.skip(f"modules of Apache are not in {_MODULES}")
    lines = [_MAIN.format(folder=folder)]
    lines += [f"LoadModule {name}_module {_MODULES}/mod_{name}.so\n" for name in _LOADED]
    if os.geteuid() == 0:
        lines.append("User www-data\nGroup www-data\n")
    configuration = folder / "apache.conf"
    configuration.write_text("".join(lines) + block, encoding="utf-8")
    with running("apache2", "-D", "FOREGROUND", "-f", configuration, folder=folder, ports=(port,)):
        yield


def behind_apache(setup: Setup) -> AbstractContextManager[Proxied]:
    """Run Apache as its page says, with a program behind it."""
    return in_front(PAGE, "/etc/apache2/sites-available/clients.conf", apache, setup)

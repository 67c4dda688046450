"""nginx with the ``server`` block that the how-to page prints, in as little of a main configuration as it needs."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from .front import Setup, in_front  # noqa: TID252 - tests are no package that could be named
from .pages import Page  # noqa: TID252 - the same
from .programs import running  # noqa: TID252 - the same
from .rules import Proxied  # noqa: TID252 - the same

PAGE: Final = Page("proxy-nginx.md")
_MAIN: Final = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    access_log off;
    {block}
}}
"""


@contextmanager
def nginx(block: str, folder: Path, port: int) -> Generator[None, None, None]:
    """Run nginx with *block* inside ``http``."""
    configuration = folder / "nginx.conf"
    configuration.write_text(_MAIN.format(folder=folder, block=block), encoding="utf-8")
    log = folder / "error.log"
    with running("nginx", "-p", folder, "-c", configuration, "-e", log, folder=folder, ports=(port,)):
        yield


def behind_nginx(setup: Setup) -> AbstractContextManager[Proxied]:
    """Run nginx as its page says, with a program behind it."""
    return in_front(PAGE, "/etc/nginx/conf.d/clients.conf", nginx, setup)

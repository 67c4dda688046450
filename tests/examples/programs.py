"""Runs a program of ``examples/`` as its user does: a process of its own, with its port changed and nothing else."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final, NamedTuple

HOST: Final = "127.0.0.1"
PATIENCE: Final = 20.0
"""Seconds after which something has failed to come; none comes near it."""


class Program(NamedTuple):
    """A program that listens: its process, its port on loopback, and the file of what it prints."""

    process: subprocess.Popen[bytes]
    port: int
    said: Path


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.create_server((HOST, 0)) as listening:
        return int(listening.getsockname()[1])


@contextlib.contextmanager
def running(folder: Path, name: str = "app.py", *, printed: int, **variables: str) -> Generator[Program, None, None]:
    """Run the file *name* in *folder* until the block ends; it begins when the program listens.

    Args:
        folder: Where a copy of it lies, with what it reads.
        name: Of the file.
        printed: The port that stands in it, once, as ``port=``.
        **variables: Further environment.
    """
    path, said, port = folder / name, folder / f"{name}.said", free_port()
    text = path.read_text(encoding="utf-8")
    assert text.count(f"port={printed}") == 1
    path.write_text(text.replace(f"port={printed}", f"port={port}"), encoding="utf-8")
    search = os.pathsep.join(filter(None, sys.path))
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, name], cwd=folder, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": search, **variables},
        )  # fmt: skip
        try:
            _until_listening(process, port, said)
            yield Program(process, port, said)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _until_listening(process: subprocess.Popen[bytes], port: int, said: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, f"it ended by itself: {said.read_text(errors='replace')}"
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((HOST, port), timeout=PATIENCE).close()
            return
        assert time.monotonic() < end, f"it does not listen: {said.read_text(errors='replace')}"
        time.sleep(0.02)

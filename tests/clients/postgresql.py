"""A real PostgreSQL on loopback that asks for a certificate; skipped where it is not installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from tests.interop.redis_server import free_port

_SECONDS: Final = 30.0
_TRIES: Final = 5
"""A port that was free may be taken before the server has it."""


class Postgres(NamedTuple):
    """A server that runs. Its user ``frodo`` may connect over TLS, with a certificate of that common name."""

    port: int
    ca: CertificateAuthority
    frodo: IssuedCertificate


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        newest = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        if not newest:
            pytest.skip(f"{name} is not installed: on Debian, apt-get install postgresql")
        found = str(newest[-1])
    return found


def _user() -> dict[str, Any]:
    """Return whom to run it as: PostgreSQL does not run as root."""
    if os.name != "posix":
        pytest.skip("PostgreSQL is driven on POSIX systems only")
    if os.geteuid() != 0:
        return {}
    import pwd

    try:
        entry = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


@contextmanager
def running_postgres(
    ca: CertificateAuthority | None = None, leaf: IssuedCertificate | None = None
) -> Generator[Postgres, None, None]:
    """Run a server with a data base of its own.

    Args:
        ca: Of its clients; ``None``: one of its own.
        leaf: Its certificate; ``None``: one for localhost.
    """
    initdb, user, ca = _program("initdb"), _user(), ca or CertificateAuthority("Data Bases")
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        folder = Path(name)
        data = folder / "data"
        (leaf or ca.issue_server("localhost")).files(folder, name="server")
        (folder / "ca.pem").write_bytes(ca.pem)
        (folder / "hba").write_text("hostssl all all 127.0.0.1/32 cert\n", encoding="ascii")
        if user:
            for path in (folder, *folder.iterdir()):
                os.chown(path, user["user"], user["group"])
        run: Any = {"cwd": folder, "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}, **user}
        arguments = ["-D", str(data), "-U", "frodo", "--no-sync", "--auth=trust", "--encoding=UTF8"]
        subprocess.run([initdb, *arguments], check=True, capture_output=True, timeout=_SECONDS, **run)
        for _ in range(_TRIES):
            port = free_port()
            process = subprocess.Popen(
                [_program("postgres"), "-D", str(data), *_settings(folder, port)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                **run,
            )
            try:
                if _ready(process, data):
                    yield Postgres(port, ca, ca.issue_client("frodo"))
                    return
            finally:
                process.terminate()
                process.wait(_SECONDS)
        pytest.fail("PostgreSQL does not start")


def _settings(folder: Path, port: int) -> list[str]:
    settings = {
        "fsync": "off", "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "ssl": "on",
        "ssl_cert_file": folder / "server.pem", "ssl_key_file": folder / "server.key", "ssl_ca_file": folder / "ca.pem",
        "hba_file": folder / "hba",
    }  # fmt: skip
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _ready(process: subprocess.Popen[Any], data: Path) -> bool:
    """Wait until the server says in its own file that it is ready; false: it has ended."""
    end = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < end:
        told = data / "postmaster.pid"
        if told.exists() and told.read_text(encoding="utf-8").rstrip().endswith("ready"):
            return True
        time.sleep(0.01)
    return False

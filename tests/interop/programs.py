"""Real programs that the tests here drive: where they are, what to install where one is missing, and running them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import pytest

PACKAGES: Final = {
    "curl": "curl",
    "java": "default-jdk-headless",
    "javac": "default-jdk-headless",
    "nginx": "nginx-light",
    "node": "nodejs",
    "openssl": "openssl",
    "redis-server": "redis-server",
}
"""The Debian package of each program."""
_SECONDS: Final = 50.0
"""How long a program may take; none comes near it."""


def require(name: str) -> str:
    """Return the path of the program *name*; where it is missing, skip the test and name its package."""
    if os.name != "posix":
        pytest.skip(f"{name} is driven on POSIX systems only")
    # Debian keeps nginx where only root's search path leads.
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed: on Debian, apt-get install {PACKAGES[name]}")
    return found


def run(
    name: str, *arguments: object, given: str = "", folder: Path | None = None, good: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed.

    Args:
        name: The program, one of `PACKAGES`.
        arguments: Of any kind, passed on as text.
        given: What it reads from standard input.
        folder: Where it runs; the present folder by default.
        good: Whether anything but exit status 0 fails the test.
    """
    done = subprocess.run(
        [require(name), *map(str, arguments)], input=given, cwd=folder, env=environment(), timeout=_SECONDS,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or not good, f"{name}: exit status {done.returncode}: {done.stderr}"
    return done


def environment() -> dict[str, str]:
    """Return an environment in which nobody's proxy, configuration or language changes what a program does."""
    foreign = ("_PROXY", "JAVA_TOOL_OPTIONS", "NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "SSL_CERT_", "CURL_", "OPENSSL_")
    kept = {name: value for name, value in os.environ.items() if not any(part in name.upper() for part in foreign)}
    return {**kept, "LC_ALL": "C", "NO_PROXY": "*"}


def require_java() -> None:
    """Skip where there is no Java that runs a source file: no compiler, or a stand-in that asks for one."""
    require("java")
    require("javac")
    if run("javac", "-version").returncode != 0:
        pytest.skip("javac does not run: on Debian, apt-get install default-jdk-headless")


@cache
def openssl_version() -> str:
    """Return what the openssl of this machine calls itself; skip where it is missing, or another of that name."""
    text = run("openssl", "version").stdout.strip()
    if not text.startswith("OpenSSL "):
        pytest.skip(f"OpenSSL's own openssl is needed, and this one is: {text}")
    return text


def require_curl_with_openssl() -> None:
    """Skip where curl is missing, or speaks TLS by a library that reads other files of keys and prints other errors."""
    version = run("curl", "--version").stdout.splitlines()[0]
    if "OpenSSL/" not in version:
        pytest.skip(f"a curl with OpenSSL is needed, and this one is: {version}")

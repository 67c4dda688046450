"""What the tests of the command line share: calls in this process and in a real one, an authority, a CA on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import pytest

from mtlspolicy.cli import main
from mtlspolicy.testing import CertificateAuthority, OCSPResponder


class Answer(NamedTuple):
    """What a command gave: exit status, standard output, standard error."""

    status: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def ca(tmp_path: Path) -> CertificateAuthority:
    """Return an authority whose certificate is in a file."""
    made = CertificateAuthority("Root")
    (tmp_path / "ca.pem").write_bytes(made.pem)
    return made


@pytest.fixture
def responder(ca: CertificateAuthority) -> Generator[OCSPResponder, None, None]:
    """Return its server of OCSP responses and lists, running."""
    with ca.ocsp_responder() as running:
        yield running


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command in this process."""

    def run(*words: object) -> Answer:
        capsys.readouterr()
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Answer(status, out, err)

    return run


@pytest.fixture(scope="session")
def program() -> Call:
    """Return a function that runs ``python -m mtlspolicy`` as a real process, with bytes for its standard input."""

    def run(*words: object, stdin: bytes = b"") -> Answer:
        command = [sys.executable, "-m", "mtlspolicy", *map(str, words)]
        ended = subprocess.run(
            command, input=stdin, capture_output=True, timeout=50, check=False, env=plain_environment()
        )
        return Answer(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


def plain_environment(**more: str) -> dict[str, str]:
    """Return the environment for a command: UTF-8, and nothing of the terminal that the tests run in."""
    return {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}} | {
        "PYTHONIOENCODING": "utf-8",
        **more,
    }


@pytest.fixture(scope="session")
def authority() -> CertificateAuthority:
    """Return an issuing CA below a root."""
    return CertificateAuthority("Root").intermediate("Issuing CA")


@pytest.fixture(scope="session")
def trust(authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PEM file of the root and the issuing CA."""
    path = tmp_path_factory.mktemp("trust") / "ca.pem"
    issued = authority.issue_client("any")
    path.write_bytes(issued.root_pem + authority.pem)
    return path


@pytest.fixture(scope="session")
def frodo(authority: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the chain file of a good client: CN=frodo, frodo.test, spiffe://example.test/frodo."""
    issued = authority.issue_client("frodo", dns=["frodo.test"], uris=["spiffe://example.test/frodo"])
    return issued.files(tmp_path_factory.mktemp("frodo"), name="frodo")[0]


@pytest.fixture(scope="session")
def _pki_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "pki"
    assert main(["pki", "new", str(directory)]) == 0
    return directory


@pytest.fixture
def pki(_pki_made: Path, tmp_path: Path) -> Path:
    """Return a directory of ``pki new``, a copy for one test."""
    directory = tmp_path / "pki"
    directory.mkdir(mode=0o700)
    for path in _pki_made.iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
    return directory


def require_printable(text: str) -> None:
    """Fail where *text* holds a character that a terminal could obey, other than the line feed."""
    assert {c for c in text if not c.isprintable()} <= {"\n"}

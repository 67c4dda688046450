"""A PKI whose clients and servers have different authorities, its files for other programs, and the lines logged."""

from __future__ import annotations

import logging
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from mtlspolicy import Evidence, Policy, Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.tls import _log

PASSWORD: Final = b"for a test"
_PATIENCE: Final = 15.0
"""Seconds after which a line has failed to come; none comes near it."""

Lines = Callable[[], list[str]]
Until = Callable[..., list[str]]


@policies.lookup("interop.enrolled", key=lambda path: path.end_entity.spki_sha256)
def enrolled(row: object, _evidence: Evidence) -> bool:
    """Admit keys that were looked up and found."""
    return row is True


class Site:
    """Two trees: server certificates come from one authority, and clients are judged on another.

    The clients: ``frodo`` is meant, ``gollum`` is of the same authority and is not, ``stranger`` is a frodo of an
    authority that nobody knows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.servers = CertificateAuthority("Web Root").intermediate("Web Issuing CA")
        self.root = CertificateAuthority("Partner Root")
        self.issuing = self.root.intermediate("Partner Issuing CA")
        self.trust = TrustStore(anchors=[self.root.certificate])
        self.server_leaf = self.servers.issue_server("localhost", "127.0.0.1")
        self.clients = {
            "frodo": self.issuing.issue_client("frodo"),
            "gollum": self.issuing.issue_client("gollum"),
            "stranger": CertificateAuthority("Stranger Root").issue_client("frodo"),
        }
        self.web_root = folder / "web-root.pem"
        self.web_root.write_bytes(self.server_leaf.root_pem)
        for name, leaf in self.clients.items():
            leaf.files(folder, name=name)
            (folder / f"{name}.p12").write_bytes(leaf.pkcs12(PASSWORD))

    def files(self, name: str) -> tuple[Path, Path]:
        """Return the files of a client: chain and key, PEM."""
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"

    def credential(self, name: str | None = None) -> tls.Credential:
        """Return the credential of a client, or that of the server."""
        leaf = self.server_leaf if name is None else self.clients[name]
        return credential_of(leaf)

    def server(self, kind: str) -> ssl.SSLContext:
        """Return a context for servers of *kind* that admits frodo alone; behind a gate, by a look-up as well."""
        policy: Policy = policies.CommonName("frodo")
        options = tls.ServerOptions()
        if kind == "gate":
            policy = policy & enrolled
            options = tls.ServerOptions(pending="hold", resolver=Resolver({"interop.enrolled": _look_up}))
        verifier = Verifier.for_clients(trust=self.trust, policy=policy)
        return tls.server_context(credential=self.credential(), verifier=verifier, options=options)


async def _look_up(_key: object) -> bool:
    return True


def credential_of(leaf: IssuedCertificate) -> tls.Credential:
    """Return *leaf* with its key and chain as a credential."""
    return tls.Credential.of(leaf.chain, leaf.key)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return the PKI of the whole run."""
    return Site(tmp_path_factory.mktemp("interop"))


@pytest.fixture(autouse=True)
def every_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test full buckets, so that no line is left out because of a test before, and no address either."""
    _log.LIMITER.clear()
    monkeypatch.setattr(_log, "SEARCHES", _log.Searches(pause=0.0, most_blocks=sys.maxsize))


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """Return a function that gives the lines on ``mtlspolicy.connection`` so far."""
    caplog.set_level(logging.INFO, logger="mtlspolicy.connection")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.connection"]


@pytest.fixture
def until(lines: Lines) -> Until:
    """Return a function that waits until the log has a line for each code, and returns the lines.

    A client can have seen its end a moment before the server's thread has written the line.
    """

    def wait(*codes: str) -> list[str]:
        end = time.monotonic() + _PATIENCE
        while True:
            found = lines()
            if all(any(f": {code}: " in line for line in found) for code in codes):
                return found
            assert time.monotonic() < end, f"no line for one of {codes}: {found}"
            time.sleep(0.01)

    return wait

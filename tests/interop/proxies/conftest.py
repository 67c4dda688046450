"""The files of a proxy's clients and of the proxy itself, for the whole run."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from mtlspolicy.testing import MARKER_OID, CertificateAuthority, IssuedCertificate
from mtlspolicy.testing._hand_made import HandMade

from .rules import Proxied, ProxyRules  # noqa: TID252 - tests are no package that could be named


def _unmarked(authority: CertificateAuthority, issuer: CertificateAuthority) -> bytes:
    """Return the certificate of *authority* without the mark of a test CA.

    The mark has the OID of a UUID, whose 128 bits are more than older programs in Go read in an OID: the Caddy of
    Debian 12 does not start with such a CA.
    """
    return HandMade.of(authority.certificate).without(MARKER_OID).signed_by(issuer.key)


def _plain(authority: CertificateAuthority) -> CertificateAuthority:
    der = _unmarked(authority, authority)
    made = CertificateAuthority.__new__(CertificateAuthority)
    made._take(der, authority.key, (), der)
    return made


class Site:
    """Server certificates come from one authority; clients have a root and an issuing CA of another.

    ``frodo`` and ``sam`` are meant, ``gollum`` is of the same authority and is not, ``stranger`` is a frodo of an
    authority that nobody knows.

    Attributes:
        issuing: The CA that issues clients.
        clients: Their certificates, by name.
        folder: ``server.pem``, ``server.key``, ``server-and-key.pem``; ``clients-root.pem`` (root alone),
            ``clients-ca.pem`` (root and issuing CA); for each client ``NAME.pem`` (with the issuing CA) and
            ``NAME.key``; ``web.pem``, which clients trust; ``proxies-ca.pem``, ``edge.pem`` and ``edge.key``, with
            which a proxy shows itself to the next one; ``intruder.pem`` and ``intruder.key`` of the same authority.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        web, root, proxies = (_plain(CertificateAuthority(name)) for name in ("Web Root", "Device Root", "Proxies"))
        issuing = root.intermediate("Device Issuing CA")
        issuing = self.issuing = root.adopt(_unmarked(issuing, root), issuing.key)
        server = web.issue_server("localhost", "127.0.0.1")
        self.clients: dict[str, IssuedCertificate] = {
            **{name: issuing.issue_client(name) for name in ("frodo", "sam", "gollum")},
            "stranger": _plain(CertificateAuthority("Stranger Root")).issue_client("frodo"),
        }
        others = {
            "server": server,
            "edge": proxies.issue_client("edge", dns=["edge.example.com"]),
            "intruder": proxies.issue_client("intruder", dns=["intruder.example.com"]),
        }
        for name, leaf in {**self.clients, **others}.items():
            leaf.files(folder, name=name)
        for name, content in {
            "server-and-key.pem": server.chain_pem + server.key_pem,
            "clients-root.pem": root.pem,
            "clients-ca.pem": root.pem + issuing.pem,
            "web.pem": web.pem,
            "proxies-ca.pem": proxies.pem,
        }.items():
            (folder / name).write_bytes(content)


@pytest.fixture(scope="session", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return the files of the whole run."""
    return Site(tmp_path_factory.mktemp("proxies"))


@pytest.fixture(scope="class", name="proxied")
def _proxied(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Proxied, None, None]:
    """Lend the running proxy of a class of rules."""
    rules: type[ProxyRules] | None = request.cls
    assert rules is not None
    with rules.behind(site.folder, tmp_path_factory.mktemp(rules.__name__.lower())) as running:
        yield running

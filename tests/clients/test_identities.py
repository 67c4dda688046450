"""Whom a client expects, in each client library: DNS name, address, URI, the name dialed, common name by name."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any, Final

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import ReferenceIdentifier
from tests.clients.libraries import LIBRARIES, Library
from tests.clients.serving import HOST, Secure, Site, running

SERVER: Final = [ExtendedKeyUsageOID.SERVER_AUTH]
KINDS: Final[dict[str, tuple[dict[str, Any], Any, Any, str, str]]] = {
    # what is in the certificate, whom it is, whom it is not, the host that is dialed, and how another is refused
    "DNS": ({"dns": ["localhost"]}, "localhost", "other.test", "localhost", "tls.name-mismatch"),
    "IP": ({"ips": [HOST]}, HOST, "127.0.0.2", HOST, "tls.name-mismatch"),
    "URI": (
        {"uris": ["spiffe://example.org/db"]}, "spiffe://example.org/db", "spiffe://example.org/web", "localhost",
        "identity.mismatch",
    ),
    "CN": (
        {}, ReferenceIdentifier.common_name("db-1"), ReferenceIdentifier.common_name("db-2"), "localhost",
        "identity.mismatch",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def servers(site: Site) -> Generator[dict[str, Secure], None, None]:
    """Run a server for each kind of identity, whose certificate has that identity and no other."""
    with ExitStack() as stack:
        made = {}
        for kind, (names, *_) in KINDS.items():
            leaf = site.ca.issue_client("db-1" if kind == "CN" else "someone", eku=SERVER, **names)
            made[kind] = Secure(site.server_context(leaf))
            stack.enter_context(running(made[kind]))
        yield made


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_server_that_is_expected_is_asked_and_another_is_not(
    kind: str, library: Library, servers: dict[str, Secure], site: Site
) -> None:
    """The library reaches the server by its identity, whatever name was dialed, and refuses every other identity."""
    _, expected, other, dialed, code = KINDS[kind]
    url = servers[kind].url(dialed)
    assert library.ask(url, site.context(expected))["peer"] == "frodo"
    with pytest.raises(library.error, match=code.replace(".", r"\.")):
        library.ask(url, site.context(other))


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
def test_dialed_is_the_name_in_the_url(library: Library, servers: dict[str, Secure], site: Site) -> None:
    """With DIALED one context asks by name and by address, and refuses a server that has not the one dialed."""
    context = site.context(ReferenceIdentifier.DIALED)
    assert library.ask(servers["DNS"].url(), context)["peer"] == "frodo"
    assert library.ask(servers["IP"].url(HOST), context)["peer"] == "frodo"
    with pytest.raises(library.error, match=r"tls\.openssl-name-mismatch"):
        library.ask(servers["DNS"].url(HOST), context)

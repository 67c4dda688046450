"""Redirects: a library that follows one asks another server over the same context, and that server is verified too."""

from __future__ import annotations

import pytest
import requests

from mtlspolicy import ReferenceIdentifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations.requests import mount
from tests.clients.libraries import LIBRARIES, Library
from tests.clients.serving import HOST, Secure, Site, running

FOLLOWING = {name: library for name, library in LIBRARIES.items() if name != "http.client"}
EVERY = pytest.mark.parametrize("library", FOLLOWING.values(), ids=FOLLOWING)


@EVERY
def test_a_redirect_to_a_host_that_is_not_expected_is_refused(library: Library, site: Site) -> None:
    """The expected name is the context's: a redirect elsewhere is refused before the certificate is shown."""
    url = site.server.url(path=f"/to?{site.server.url(HOST)}")
    with pytest.raises(library.error, match=r"tls\.name-mismatch"):
        library.ask(url, site.context())


@EVERY
def test_with_dialed_a_redirect_is_followed_to_a_server_of_that_name(library: Library, site: Site) -> None:
    """Where whoever is dialed is expected, the server behind a redirect is verified by its own name."""
    context = site.context(ReferenceIdentifier.DIALED)
    told = library.ask(site.server.url(path=f"/to?{site.server.url(HOST)}"), context)
    assert told["peer"] == "frodo"
    assert told["host"].startswith(HOST)
    stranger = Secure(site.server_context(site.other.issue_server("localhost")))
    with running(stranger), pytest.raises(library.error, match=r"unknown-ca|no-issuer|openssl"):
        library.ask(site.server.url(path=f"/to?{stranger.url()}"), context)


def test_requests_does_not_follow_a_redirect_out_of_tls(site: Site) -> None:
    """A redirect to the same place without TLS is refused; it would send the request, and its body, in the clear."""
    with requests.Session() as session:
        mount(session, site.context())
        with pytest.raises(ConfigurationError, match="without TLS"):
            session.get(site.server.url(path=f"/to?http://localhost:{site.server.server_port}/"), timeout=20)

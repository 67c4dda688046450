"""`integrations.requests`: what else requests could be told about TLS is refused by name, or has no effect."""

from __future__ import annotations

import copy
import pickle
import ssl
from pathlib import Path
from typing import Any

import pytest
import requests

from mtlspolicy import TrustStore, policies
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations.requests import Adapter, mount
from tests.clients.serving import Site


@pytest.fixture
def session(site: Site) -> Any:
    """Lend a session over a context that expects the server."""
    with requests.Session() as made:
        mount(made, site.context())
        yield made


def test_requests_sends_over_the_context(site: Site, session: requests.Session) -> None:
    """The server sees our certificate, and one connection serves two requests."""
    told = [session.get(site.server.url(), timeout=20).json() for _ in range(2)]
    assert [row["peer"] for row in told] == ["frodo", "frodo"]
    assert told[0]["connection"] == told[1]["connection"]


def test_nothing_is_loaded_into_the_context(site: Site) -> None:
    """requests adds certifi's CAs to a context of its own adapters; here it adds none, and changes no setting."""
    context = site.context()
    with requests.Session() as session:
        mount(session, context)
        assert session.get(site.server.url(), timeout=20).status_code == 200
    assert len(context.get_ca_certs()) == 1
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("verify", [False, "/nowhere/ca.pem", 1, None])
def test_verify_is_refused_by_name(verify: Any, site: Site) -> None:
    """Verification is neither switched off nor moved to another CA, and the context goes on working."""
    context = site.context()
    with requests.Session() as session:
        adapter = Adapter(context)
        mount(session, context, adapter=adapter)
        request = requests.Request("GET", site.server.url()).prepare()
        with pytest.raises(ConfigurationError, match=r"verify=.*TrustStore"):
            adapter.send(request, verify=verify)
        assert session.get(site.server.url(), timeout=20).status_code == 200


def test_verify_false_of_a_session_is_refused(site: Site, session: requests.Session) -> None:
    """``session.verify = False`` is the same."""
    session.verify = False
    with pytest.raises(ConfigurationError, match="verify=False"):
        session.get(site.server.url(), timeout=20)


def test_another_credential_is_refused(site: Site, session: requests.Session, tmp_path: Path) -> None:
    """``cert=`` would load another certificate into a context that others use."""
    chain, key = site.ca.issue_client("gollum").files(tmp_path)
    with pytest.raises(ConfigurationError, match=r"cert=.*tls\.client_context"):
        session.get(site.server.url(), cert=(str(chain), str(key)), timeout=20)
    assert session.get(site.server.url(), timeout=20).json()["peer"] == "frodo"


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_cas_of_the_environment_change_nothing(
    name: str, site: Site, session: requests.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable for all programs neither adds a CA to the verifier's nor takes its own away."""
    bundle = tmp_path / "other.pem"
    bundle.write_bytes(site.other.pem)
    monkeypatch.setenv(name, str(bundle))
    assert session.get(site.server.url(), timeout=20).json()["peer"] == "frodo"
    with requests.Session() as distrusting:
        mount(distrusting, site.context(trust=_only(site.other)))
        monkeypatch.setenv(name, str(bundle.with_name("ca.pem")))
        bundle.with_name("ca.pem").write_bytes(site.ca.pem)
        with pytest.raises(requests.exceptions.SSLError):
            distrusting.get(site.server.url(), timeout=20)


def _only(authority: Any) -> Any:

    return TrustStore(anchors=[authority.certificate])


def test_a_context_that_somebody_switched_off_is_refused(site: Site) -> None:
    """What another adapter over the same context has changed is seen at the handshake, and on kept connections."""
    context = site.context()
    with requests.Session() as session:
        mount(session, context)
        assert session.get(site.server.url(), timeout=20).status_code == 200
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with pytest.raises(requests.exceptions.SSLError, match=r"tls\.context-changed"):
            session.get(site.server.url(), timeout=20)


def test_a_prefix_ends_with_a_slash(site: Site) -> None:
    """RULES 60: a context mounted for a host is not used for a host whose name begins alike."""
    with requests.Session() as session:
        mount(session, site.context(), "https://api.example.com")
        assert isinstance(session.get_adapter("https://api.example.com/v1"), Adapter)
        assert not isinstance(session.get_adapter("https://api.example.com.evil.test/"), Adapter)
        assert isinstance(session.get_adapter("http://api.example.com/v1"), Adapter)


def test_a_url_without_tls_is_refused(site: Site, session: requests.Session) -> None:
    """Where a context is mounted, nothing goes out in the clear; hostile text in the URL is escaped."""
    with pytest.raises(ConfigurationError, match=r"http://localhost.*without TLS"):
        session.get(site.server.url().replace("https", "http"), timeout=20)


@pytest.mark.parametrize("place", ["http://", "api.example.com", "HTTP://api.example.com/"])
def test_a_place_without_tls_is_refused(place: str, site: Site) -> None:
    """A context is mounted for https alone."""
    with requests.Session() as session, pytest.raises(ConfigurationError, match="https://"):
        mount(session, site.context(), place)


def test_an_adapter_of_another_context_is_refused(site: Site) -> None:
    """What is mounted is over the context that is named."""
    with requests.Session() as session, pytest.raises(ConfigurationError, match="another context"):
        mount(session, site.context(), adapter=Adapter(site.context()))


def test_a_context_without_a_verifier_of_servers_is_refused(site: Site) -> None:
    """An ordinary context, a server's, and what is none."""
    for context in (ssl.create_default_context(), site.server_context(site.leaf), True):
        with pytest.raises(ConfigurationError, match=r"tls\.client_context"):
            Adapter(context)  # type: ignore[arg-type]


def test_an_adapter_is_not_copied(site: Site) -> None:
    """A copy would come back without its context."""
    for copied in (copy.copy, pickle.dumps):
        with pytest.raises(ConfigurationError, match="mount it anew"):
            copied(Adapter(site.context()))


def test_two_contexts_do_not_share_connections(site: Site) -> None:
    """A connection that one policy admitted is not used under another, in one session and at one host."""
    with requests.Session() as session:
        mount(session, site.context(), site.server.url("127.0.0.1"))
        mount(session, site.context())
        assert session.get(site.server.url(), timeout=20).status_code == 200
        wrong = site.context(policy=policies.SPKIPin.of(site.frodo.certificate))
        mount(session, wrong)
        with pytest.raises(requests.exceptions.SSLError, match=r"pin\.mismatch"):
            session.get(site.server.url(), timeout=20)


def test_the_adapter_tells_its_context(site: Site) -> None:
    """The context of an adapter is the one that it was made over."""
    context = site.context()
    adapter = Adapter(context, pool_connections=2, max_retries=1)
    assert adapter.context is context
    assert adapter.max_retries.total == 1
    assert isinstance(adapter.context, ssl.SSLContext)

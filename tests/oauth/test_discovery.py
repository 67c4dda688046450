"""Metadata of servers and clients (RFC 8705, sections 3.3, 3.4 and 5)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import ConfigurationError, oauth

ALIAS = "https://mtls.as.test/token"


def test_the_servers_metadata_are_those_of_the_rfc() -> None:
    """Members by their registered names, ready to be written as JSON."""
    made = oauth.server_metadata(
        methods=["private_key_jwt", "tls_client_auth"], bound_tokens=True, aliases={"token_endpoint": ALIAS}
    )
    assert json.loads(json.dumps(made)) == {
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "tls_client_auth"],
        "tls_client_certificate_bound_access_tokens": True,
        "mtls_endpoint_aliases": {"token_endpoint": ALIAS},
    }
    plain = oauth.server_metadata(bound_tokens=False)
    assert plain == {
        "token_endpoint_auth_methods_supported": ["tls_client_auth", "self_signed_tls_client_auth"],
        "tls_client_certificate_bound_access_tokens": False,
    }


@pytest.mark.parametrize(
    "options",
    [
        {"methods": "tls_client_auth"},
        {"methods": []},
        {"methods": ["tls_client_auth", 3]},
        {"methods": [""]},
        {"bound_tokens": "false"},
        {"bound_tokens": None},
        {"aliases": [ALIAS]},
        {"aliases": {"token_endpoint": "http://as.test/token"}},
        {"aliases": {"token_endpoint": "https://"}},
        {"aliases": {"token_endpoint": "https://as.test/to ken"}},
        {"aliases": {"token_endpoint": "https://as.test/\r\nx"}},
        {"aliases": {"token_endpoint": None}},
        {"aliases": {"token": ALIAS}},
        {"aliases": {3: ALIAS}},
    ],
)
def test_metadata_that_nobody_could_use_are_not_made(options: Any) -> None:
    """An alias is an https URL under the name of an endpoint."""
    with pytest.raises(ConfigurationError) as raised:
        oauth.server_metadata(**options)
    assert raised.value.code == "oauth.metadata"


def test_a_client_goes_to_the_alias_where_there_is_one() -> None:
    """Section 5: the alias, and for endpoints without one the endpoint itself."""
    metadata = {
        "token_endpoint": "https://as.test/token",
        "revocation_endpoint": "https://as.test/revoke",
        "mtls_endpoint_aliases": {"token_endpoint": ALIAS, "revocation_endpoint": None},
    }
    assert oauth.mtls_endpoint(metadata, "token_endpoint") == ALIAS
    assert oauth.mtls_endpoint(metadata, "revocation_endpoint") == "https://as.test/revoke"
    assert oauth.mtls_endpoint({"token_endpoint": ALIAS, "mtls_endpoint_aliases": None}, "token_endpoint") == ALIAS


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        [],
        {"token_endpoint": 3},
        {"token_endpoint": "http://as.test"},
        {"token_endpoint": "https://as.test", "mtls_endpoint_aliases": []},
        {"token_endpoint": "https://as.test", "mtls_endpoint_aliases": {"token_endpoint": "file:///etc"}},
    ],
)
def test_a_client_goes_nowhere_else(metadata: Any) -> None:
    """An alias that is wrong does not fall back to the endpoint, where the certificate would not be asked for."""
    with pytest.raises(ConfigurationError):
        oauth.mtls_endpoint(metadata, "token_endpoint")


@pytest.mark.parametrize(("member", "wants"), [(True, True), (False, False), (None, False)])
def test_whether_a_client_wants_bound_tokens(member: Any, wants: bool) -> None:
    """Left out it is false (section 3.4)."""
    assert oauth.wants_bound_tokens({"tls_client_certificate_bound_access_tokens": member}) is wants
    assert oauth.wants_bound_tokens({}) is False


@pytest.mark.parametrize("member", ["true", "false", 1, 0, [], {}])
def test_something_else_is_not_guessed_at(member: Any) -> None:
    """The text ``"false"`` is neither."""
    with pytest.raises(ConfigurationError, match="true or false"):
        oauth.wants_bound_tokens({"tls_client_certificate_bound_access_tokens": member})


@given(st.dictionaries(st.sampled_from(["token_endpoint", "mtls_endpoint_aliases"]), st.text() | st.none()))
def test_any_metadata_give_an_https_url_or_our_error(metadata: dict[str, Any]) -> None:
    """What another server says is hostile text."""
    try:
        assert oauth.mtls_endpoint(metadata, "token_endpoint").startswith("https://")
    except ConfigurationError as error:
        assert error.code == "oauth.metadata"  # noqa: PT017 - nothing else may come of it

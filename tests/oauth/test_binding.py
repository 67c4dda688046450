"""Bound tokens: the thumbprint, the ``cnf`` member, and who may use a token (RFC 8705, section 3; RULES 54)."""

from __future__ import annotations

import hashlib
import hmac
from collections import UserDict
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import ConfigurationError, MTLSPolicyError, PolicyDenied, Possession, PresentedChain, Verdict, oauth
from mtlspolicy import testing as mtls_testing
from mtlspolicy.oauth._binding import THUMBPRINT
from tests.oauth.pki import FRODO, SAM, base64url, shown

OURS: Final = base64url(hashlib.sha256(FRODO.der).digest())
THEIRS: Final = base64url(hashlib.sha256(SAM.der).digest())


def refused(claims: object, presented: Any, code: str, **options: Any) -> None:
    """Hold that the token is refused for the reason *code*, as RFC 6750 wants it."""
    with pytest.raises(oauth.TokenBindingError) as raised:
        oauth.confirm(claims, presented, **options)
    error = raised.value
    assert (error.code, error.http_status, error.grpc_status) == (code, 401, "UNAUTHENTICATED")
    assert dict(error.http_headers) == {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    assert not error.retryable
    assert error.decision.verdict is not Verdict.PERMIT


def test_thumbprint_is_the_digest_of_the_certificate() -> None:
    """Base64url of the SHA-256 of the DER, 43 characters, whatever form the certificate is in."""
    assert oauth.thumbprint(FRODO.certificate) == OURS
    assert oauth.thumbprint(FRODO.der) == OURS
    assert oauth.thumbprint(FRODO.certificate_pem) == OURS
    assert len(OURS) == 43


def test_thumbprint_of_what_is_no_certificate() -> None:
    """A mistake of the caller is said to be one."""
    with pytest.raises(ConfigurationError, match="thumbprint"):
        oauth.thumbprint(b"certificate")


@pytest.mark.parametrize("possession", [Possession.TLS, Possession.PROXY])
def test_cnf_of_who_was_seen_to_hold_the_key(possession: Possession) -> None:
    """A verified peer and an unverified chain (section 4) are bound alike, by TLS or by the proxy's TLS."""
    assert oauth.cnf(shown(FRODO, possession)) == {THUMBPRINT: OURS}
    peer = mtls_testing.peer("pippin", possession=possession)
    assert oauth.cnf(peer) == {THUMBPRINT: peer.thumbprint}


def test_cnf_of_a_certificate_that_somebody_posted() -> None:
    """No token is bound to a certificate whose holder nobody saw."""
    for presented in (shown(FRODO, Possession.NONE), mtls_testing.peer("frodo", possession=Possession.NONE)):
        with pytest.raises(PolicyDenied) as raised:
            oauth.cnf(presented)
        assert raised.value.code == "peer.no-possession"


@pytest.mark.parametrize("something", [None, FRODO.der, FRODO.certificate, "frodo", PresentedChain((), Possession.TLS)])
def test_what_is_no_sender_is_the_callers_mistake(something: Any) -> None:
    """Bytes, however good the certificate in them, are nobody; and so is an empty chain."""
    with pytest.raises(ConfigurationError):
        oauth.cnf(something)
    if something is not None:
        with pytest.raises(ConfigurationError):
            oauth.confirm({"cnf": {THUMBPRINT: OURS}}, something)


@pytest.mark.parametrize("claims", [{}, {"active": True}, {"sub": "frodo"}, UserDict({"iss": "https://as.test"})])
def test_bound_and_unbound_tokens_in_both_directions(claims: Any) -> None:
    """A bound token needs its certificate; an unbound one is refused unless the resource takes those too."""
    bound = {**claims, "cnf": {THUMBPRINT: OURS}}
    assert oauth.confirm(bound, shown(FRODO)) == oauth.Confirmation(OURS, frozenset())
    assert oauth.confirm(bound, shown(FRODO), required=False) == oauth.Confirmation(OURS, frozenset())
    for required in (True, False):
        refused(bound, None, "oauth.no-certificate", required=required)
        refused(bound, shown(SAM), "oauth.other-certificate", required=required)
    for presented in (None, shown(FRODO)):
        refused(claims, presented, "oauth.unbound")
        assert oauth.confirm(claims, presented, required=False) == oauth.Confirmation(None, frozenset())


def test_a_verified_peer_is_confirmed() -> None:
    """Where the chain was validated besides, the peer itself is the sender."""
    peer = mtls_testing.peer("frodo")
    assert oauth.confirm({"cnf": oauth.cnf(peer)}, peer).thumbprint == peer.thumbprint
    refused({"cnf": oauth.cnf(peer)}, mtls_testing.peer("frodo"), "oauth.other-certificate")


@pytest.mark.parametrize("claims", [{"cnf": {THUMBPRINT: OURS}}, {"cnf": {"jkt": "x"}}, {}])
@pytest.mark.parametrize("required", [True, False])
def test_a_sender_without_possession_is_refused_for_every_token(claims: Any, required: bool) -> None:
    """So that the mistake shows on the first day, and not when the first bound token comes."""
    offline = shown(FRODO, Possession.NONE)
    refused(claims, offline, "peer.no-possession", required=required)
    peer = mtls_testing.peer("frodo", possession=Possession.NONE)
    refused({"cnf": {THUMBPRINT: peer.thumbprint}}, peer, "peer.no-possession", required=required)


@pytest.mark.parametrize(
    ("cnf", "code"),
    [
        (None, "oauth.malformed-cnf"),
        ([], "oauth.malformed-cnf"),
        ([THUMBPRINT, OURS], "oauth.malformed-cnf"),
        ("", "oauth.malformed-cnf"),
        (OURS, "oauth.malformed-cnf"),
        (0, "oauth.malformed-cnf"),
        (False, "oauth.malformed-cnf"),
        ({}, "oauth.other-confirmation"),
        ({"jkt": OURS}, "oauth.other-confirmation"),
        ({"x5t#s256": OURS}, "oauth.other-confirmation"),
        ({"x5t": OURS}, "oauth.other-confirmation"),
        ({3: 4}, "oauth.other-confirmation"),
        ({THUMBPRINT: None}, "oauth.malformed-cnf"),
        ({THUMBPRINT: ""}, "oauth.malformed-cnf"),
        ({THUMBPRINT: [OURS]}, "oauth.malformed-cnf"),
        ({THUMBPRINT: {"": OURS}}, "oauth.malformed-cnf"),
        ({THUMBPRINT: 43}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS.encode()}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS + "="}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS + "\n"}, "oauth.malformed-cnf"),
        ({THUMBPRINT: " " + OURS}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS[:-1]}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS[:-1] + "+"}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS[:-1] + "/"}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS[:-1] + "\u212a"}, "oauth.malformed-cnf"),
        ({THUMBPRINT: "\uff21" * 43}, "oauth.malformed-cnf"),
        ({THUMBPRINT: "\ud800" * 43}, "oauth.malformed-cnf"),
        ({THUMBPRINT: hashlib.sha256(FRODO.der).hexdigest()}, "oauth.malformed-cnf"),
        ({THUMBPRINT: OURS.swapcase()}, "oauth.other-certificate"),
        ({THUMBPRINT: THEIRS}, "oauth.other-certificate"),
        ({THUMBPRINT: THEIRS, "jkt": OURS}, "oauth.other-certificate"),
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_whatever_stands_under_cnf_makes_a_token_bound(cnf: Any, code: str, required: bool) -> None:
    """No value of ``cnf`` turns a bound token into a bearer token, and none but ours is the sender's."""
    refused({"cnf": cnf}, shown(FRODO), code, required=required)


@pytest.mark.parametrize("cnf", [None, [], {}, {"jkt": "x"}, {THUMBPRINT: None}, {THUMBPRINT: "\u00e9" * 43}])
@pytest.mark.parametrize("required", [True, False])
def test_a_strange_cnf_without_a_certificate_is_refused_too(cnf: Any, required: bool) -> None:
    """What cannot be confirmed is not, whether or not there is a certificate."""
    with pytest.raises(oauth.TokenBindingError):
        oauth.confirm({"cnf": cnf}, None, required=required)


def test_another_spelling_of_our_own_digest_is_refused() -> None:
    """The last character carries two unused bits; a lenient decoder takes four spellings for one digest."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twins = [OURS[:-1] + alphabet[alphabet.index(OURS[-1]) + more] for more in (1, 2, 3)]
    for twin in twins:
        refused({"cnf": {THUMBPRINT: twin}}, shown(FRODO), "oauth.other-certificate")


def test_dpop_bound_token_is_no_bearer_token() -> None:
    """``cnf: {"jkt": ...}`` is bound, also where binding is not required; the caller says who verifies it."""
    dpop = {"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}
    for presented in (None, shown(FRODO)):
        refused(dpop, presented, "oauth.other-confirmation", required=False)
        confirmed = oauth.confirm(dpop, presented, also_confirmed_by={"jkt"})
        assert confirmed == oauth.Confirmation(None, frozenset({"jkt"}))
    refused({"cnf": {"jkt": "x", "kid": "y"}}, None, "oauth.other-confirmation", also_confirmed_by={"jkt"})
    refused({"cnf": {}}, None, "oauth.other-confirmation", also_confirmed_by={"jkt"})
    refused({}, None, "oauth.unbound", also_confirmed_by={"jkt"})


def test_unknown_members_beside_the_right_thumbprint_are_passed_over() -> None:
    """RFC 7800, section 3.1: what is not understood is ignored; what the caller verifies is handed to it."""
    claims = {"cnf": {THUMBPRINT: OURS, "jkt": "x", "new": None}}
    assert oauth.confirm(claims, shown(FRODO)) == oauth.Confirmation(OURS, frozenset())
    both = oauth.confirm(claims, shown(FRODO), also_confirmed_by=["jkt"])
    assert both == oauth.Confirmation(OURS, frozenset({"jkt"}))
    refused(claims, None, "oauth.no-certificate", also_confirmed_by={"jkt"})


@pytest.mark.parametrize("active", [False, None, 0, 1, "true", "True", [], [True], {"": 1}, 1.0])
def test_a_token_that_introspection_does_not_call_active(active: Any) -> None:
    """Present and not exactly true: refused, with the right thumbprint too."""
    bound = {"active": active, "cnf": {THUMBPRINT: OURS}}
    for required in (True, False):
        refused(bound, shown(FRODO), "oauth.inactive", required=required)
        refused({"active": active}, None, "oauth.inactive", required=required)


@pytest.mark.parametrize("claims", [None, [], "eyJhbGciOiJub25lIn0", b"{}", 7, True, [("cnf", None)]])
def test_claims_that_are_no_object(claims: Any) -> None:
    """A token that was not parsed, or is something else, is refused and not taken for unbound."""
    refused(claims, shown(FRODO), "oauth.malformed-claims", required=False)


def test_the_envelope_of_an_introspection_response_is_not_taken_for_an_unbound_token() -> None:
    """RFC 9701 puts the members one level deeper, where nobody would see that the token is bound."""
    envelope = {"iss": "https://as.test", "token_introspection": {"active": True, "cnf": {THUMBPRINT: THEIRS}}}
    refused(envelope, shown(FRODO), "oauth.malformed-claims", required=False)
    refused(envelope["token_introspection"], shown(FRODO), "oauth.other-certificate", required=False)


@pytest.mark.parametrize("required", [None, 0, 1, "no", "false"])
def test_required_is_true_or_false(required: Any) -> None:
    """The text ``"false"`` out of a file of settings is neither."""
    with pytest.raises(ConfigurationError, match="required"):
        oauth.confirm({}, None, required=required)


@pytest.mark.parametrize("others", ["jkt", None, {THUMBPRINT}, {3}, {""}, 7])
def test_also_confirmed_by_is_a_set_of_other_names(others: Any) -> None:
    """A bare text would be a set of letters, and the thumbprint is nobody else's to verify."""
    with pytest.raises(ConfigurationError, match="also_confirmed_by"):
        oauth.confirm({}, None, required=False, also_confirmed_by=others)


def test_the_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two texts meet in `hmac.compare_digest` alone, and its answer is the one that counts."""
    asked: list[tuple[str, str]] = []
    compare = hmac.compare_digest

    def spy(one: Any, other: Any) -> bool:
        asked.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    oauth.confirm({"cnf": {THUMBPRINT: OURS}}, shown(FRODO))
    refused({"cnf": {THUMBPRINT: THEIRS}}, shown(FRODO), "oauth.other-certificate")
    assert asked == [(OURS, OURS), (OURS, THEIRS)]


def test_hostile_names_of_members_are_escaped_in_the_message() -> None:
    """What a token says does not write into a log."""
    with pytest.raises(oauth.TokenBindingError) as raised:
        oauth.confirm({"cnf": {"\x1b[2J\n": 1}}, None)
    assert str(raised.value).isprintable()


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([OURS, THEIRS]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["cnf", "active", THUMBPRINT, "jkt"]) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(claims=_JSON, presented=st.sampled_from([None, shown(FRODO)]), required=st.booleans())
def test_any_json_gives_an_answer_or_our_error(claims: Any, presented: Any, required: bool) -> None:
    """And a token is confirmed for this sender only if it says so, letter by letter."""
    try:
        confirmed = oauth.confirm(claims, presented, required=required)
    except MTLSPolicyError as error:
        assert isinstance(error, oauth.TokenBindingError)  # noqa: PT017 - nothing else may come of a token
        return
    assert isinstance(claims, dict)
    assert claims.get("active", True) is True
    if confirmed.thumbprint is None:
        assert not required
        assert "cnf" not in claims
    else:
        assert claims["cnf"][THUMBPRINT] == confirmed.thumbprint == OURS
        assert presented is not None

"""Certificates that a client registers by a JWK Set (RFC 8705, section 2.2): ``x5c[0]``, whose key is the JWK's."""

from __future__ import annotations

import base64
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import ConfigurationError, MTLSPolicyError, oauth, testing
from mtlspolicy.oauth._jwks import LONGEST, MOST_KEYS, certificates_in
from tests.oauth.pki import FRODO, ISSUING, SAM, jwk_of, jwks_of

GOOD: Final = jwk_of(FRODO.certificate)


def refused(key: Any, match: str) -> None:
    """Hold that a JWK Set with this key is refused, a good one beside it or not."""
    for keys in ([key], [GOOD, key], [key, GOOD]):
        with pytest.raises(ConfigurationError, match=match) as raised:
            certificates_in({"keys": keys})
        assert raised.value.code == "oauth.jwks"


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ec-p521", "ed25519", "ed448", "rsa-2048"])
def test_every_kind_of_key_that_a_jwk_describes(kind: str) -> None:
    """RSA by n and e, elliptic curves by crv, x and y, Edwards curves by crv and x; one changed parameter refuses."""
    key = testing.pooled_key("rsa-2048", 0) if kind == "rsa-2048" else kind
    leaf = ISSUING.issue_client("a", key=key)
    jwk = jwk_of(leaf.certificate)
    assert [one.der for one in certificates_in({"keys": [jwk]})] == [leaf.der]
    for name in jwk.keys() - {"x5c"}:
        refused({**jwk, name: "AQAC"}, repr(name))
        refused({**jwk, name: None}, repr(name))
        refused({other: value for other, value in jwk.items() if other != name}, repr(name))


def test_keys_of_kinds_that_no_jwk_describes() -> None:
    """A curve that RFC 7518 does not name is refused when it is registered, not when it is used."""
    leaf = testing.broken("secp256k1", ISSUING)
    refused({**GOOD, "x5c": [base64.b64encode(leaf.der).decode()]}, "kind that no JWK")


def test_the_first_certificate_alone_is_registered() -> None:
    """What follows it, its CA or another client's certificate, is no credential and no anchor."""
    jwk = jwk_of(FRODO.certificate, SAM)
    assert [one.der for one in certificates_in({"keys": [jwk]})] == [FRODO.der]
    refused({**GOOD, "x5c": [*jwk_of(SAM.certificate)["x5c"], *GOOD["x5c"]]}, "'x'|'y'")


def test_several_certificates_for_rotation() -> None:
    """Each key of the set; the same one twice is one."""
    both = jwks_of(FRODO, SAM, FRODO)
    assert [one.der for one in certificates_in(both)] == [FRODO.der, SAM.der]


def test_keys_for_something_else_are_passed_over() -> None:
    """Keys without certificate sign requests, keys for encryption authenticate nobody."""
    plain = {name: value for name, value in jwk_of(SAM.certificate).items() if name != "x5c"}
    encrypting = {**jwk_of(SAM.certificate), "use": "enc"}
    signing = {**GOOD, "use": "sig", "kid": "1", "alg": "ES256"}
    assert [one.der for one in certificates_in({"keys": [plain, encrypting, signing]})] == [FRODO.der]
    for keys in ([], [plain], [encrypting], [{**GOOD, "x5c": None}]):
        with pytest.raises(ConfigurationError, match="no key of the JWK Set has a certificate"):
            certificates_in({"keys": keys})


def test_a_thumbprint_in_the_jwk_must_be_that_of_the_certificate() -> None:
    """RFC 7517, section 4.9."""
    assert certificates_in({"keys": [{**GOOD, "x5t#S256": oauth.thumbprint(FRODO.certificate)}]})
    refused({**GOOD, "x5t#S256": oauth.thumbprint(SAM.certificate)}, "x5t#S256")


@pytest.mark.parametrize("secret", ["d", "p", "k"])
def test_a_private_key_in_the_set_is_refused(secret: str) -> None:
    """Who published it has to make a new one; its value is not repeated."""
    refused({**GOOD, secret: "c2VjcmV0"}, "private parts")
    with pytest.raises(ConfigurationError) as raised:
        certificates_in({"keys": [{**GOOD, secret: "c2VjcmV0"}]})
    assert "c2VjcmV0" not in str(raised.value)


@pytest.mark.parametrize(
    ("x5c", "match"),
    [
        ([], "array of certificates"),
        ("", "array of certificates"),
        (GOOD["x5c"][0], "array of certificates"),
        ([None], "array of certificates"),
        ([FRODO.der], "array of certificates"),
        ([""], r"x5c\[0\]"),
        (["AAAA"], r"x5c\[0\]"),
        (["MAA"], "not base64"),
        (["-_-_"], "not base64"),
        (["\u00e9"], "not base64"),
        ([GOOD["x5c"][0] + "\n"], "not base64"),
        ([GOOD["x5c"][0].rstrip("=") + "==="], "not base64"),
        ([GOOD["x5c"][0][:64] + "\n" + GOOD["x5c"][0][64:]], "not base64"),
        ([FRODO.certificate_pem.decode()], "not base64"),
        ([base64.b64encode(FRODO.der + b"\0").decode()], r"x5c\[0\]"),
        ([base64.b64encode(FRODO.der[:-1]).decode()], r"x5c\[0\]"),
        (["A" * (LONGEST + 4)], "characters"),
    ],
)
def test_what_is_no_certificate(x5c: Any, match: str) -> None:
    """One line of padded base64 of one certificate's DER, not base64url, and within the limit on what is presented."""
    refused({**GOOD, "x5c": x5c}, match)


@pytest.mark.parametrize("jwks", [None, [], {}, {"keys": None}, {"keys": {}}, {"keys": "x"}, "{}", [GOOD], GOOD])
def test_what_is_no_jwk_set(jwks: Any) -> None:
    """An object with an array; a lone JWK is none."""
    with pytest.raises(ConfigurationError, match="JWK Set"):
        certificates_in(jwks)


def test_what_is_no_key() -> None:
    """Each element is an object."""
    refused("x", "is an object")


def test_a_set_of_many_keys_is_refused_before_they_are_read() -> None:
    """The set comes from the client."""
    with pytest.raises(ConfigurationError, match="at most"):
        certificates_in({"keys": ["x"] * (MOST_KEYS + 1)})


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(list(GOOD.values())),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["keys", *GOOD, "use"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(jwks=_JSON | _JSON.map(lambda one: {"keys": [GOOD, one]}))
def test_any_json_gives_certificates_or_our_error(jwks: Any) -> None:
    """And the only certificate in all of it is the one that is there."""
    try:
        found = certificates_in(jwks)
    except MTLSPolicyError as error:
        assert isinstance(error, ConfigurationError)  # noqa: PT017 - nothing else may come of it
    else:
        assert [one.der for one in found] == [FRODO.der]

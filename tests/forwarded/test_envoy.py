"""Envoy's XFCC: the identity comes from the forwarded certificate, never from the text beside it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from mtlspolicy import MTLSPolicyError, Possession, forwarded
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from mtlspolicy.forwarded import JoinedHeaders
from tests.forwarded.writing import (
    FRODO,
    ISSUING,
    OTHER,
    PROXY,
    ROOT,
    SAM,
    STRANGER,
    TRUSTED,
    VERIFIER,
    digest,
    element,
    escaped,
    pem,
)

NAME = "x-forwarded-client-cert"
SOURCE = forwarded.envoy(trusted=TRUSTED)
WORDS = forwarded.envoy(trusted=TRUSTED, text_claims=True)
HASH = f"Hash={digest(FRODO.der)}"
CERT = f'Cert="{escaped(FRODO.der)}"'
CHAIN = f'Chain="{escaped(FRODO.der, ISSUING.der)}"'
BOTH = (FRODO.der, ISSUING.der)


def ders(value: str, source: forwarded.ForwardedSource = SOURCE) -> tuple[bytes, ...]:
    """Return the certificates that the source reads in *value*."""
    chain = source.read([("X-Forwarded-Client-Cert", value)], peer=PROXY)
    assert chain is not None
    assert chain.possession is Possession.PROXY
    return chain.ders


def refused(value: str, source: forwarded.ForwardedSource = SOURCE) -> MalformedEvidence:
    """Return the error with which the source refuses *value*."""
    with pytest.raises(MalformedEvidence) as caught:
        source.request([(NAME, value)], peer=PROXY)
    return caught.value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (f"{HASH};{CERT};{CHAIN}", BOTH),
        (f"{HASH};{CHAIN};{CERT}", BOTH),
        (f"{HASH};{CHAIN}", BOTH),
        (f"{HASH};{CERT}", BOTH[:1]),
        (f"{HASH};{CERT};{CERT.replace('Cert', 'Chain', 1)}", BOTH[:1]),
        (f"{CERT};{CHAIN}", BOTH),
        (f"hash={digest(FRODO.der).upper()};CERT={escaped(FRODO.der)};chain={escaped(*BOTH)}", BOTH),
        (f'{HASH};Cert="{quote(pem(FRODO.der))}";{CHAIN}', BOTH),
        (f'{HASH};Cert="{escaped(FRODO.der)}%0A";{CHAIN}', BOTH),
    ],
)
def test_certificate_and_chain(value: str, read: tuple[bytes, ...]) -> None:
    """Cert, Chain or both, in any order and case of keys, with any escapes; with or without Hash."""
    assert ders(value) == read


def test_what_a_real_envoy_writes_is_admitted() -> None:
    """All fields switched on: the chain goes to our own verifier, and the peer is the client."""
    more = ';Subject="CN=admin,O=\\"a;b\\"";URI=;DNS=a.test;DNS=b.test'
    chain = SOURCE.read([(NAME, element(FRODO.der, ISSUING.der, more=more))], peer=PROXY)
    assert chain is not None
    assert VERIFIER.verify(chain).common_name == "frodo"


def test_no_header_is_no_certificate() -> None:
    """Envoy leaves the header out where the client presented nothing."""
    assert SOURCE.read([("host", "a.test")], peer=PROXY) is None


def test_attack_a_client_that_no_ca_of_ours_knows() -> None:
    """Envoy may forward what it did not validate: our verifier refuses it."""
    chain = SOURCE.read([(NAME, element(STRANGER.der))], peer=PROXY)
    assert chain is not None
    assert VERIFIER.decide(chain).code == "path.no-issuer"


def test_attack_a_direct_connection_with_a_forged_header() -> None:
    """A header from somebody who is not the proxy is refused, whatever is in it."""
    for value in (element(FRODO.der, ISSUING.der), "garbage", ""):
        with pytest.raises(VerificationError) as caught:
            SOURCE.read([(NAME, value)], peer=OTHER)
        assert caught.value.code == "forwarded.untrusted-proxy"


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_attack_more_or_fewer_elements_than_hops(hops: int, number: int) -> None:
    """The header has exactly as many elements as there are proxies, and the client's is the first of them."""
    source = forwarded.envoy(trusted=TRUSTED, hops=hops)
    value = ",".join([element(FRODO.der, ISSUING.der), *[element(SAM.der)] * (number - 1)])
    if number == hops:
        assert ders(value, source) == BOTH
    else:
        assert refused(value, source).code == "forwarded.hops"


def test_attack_an_element_of_ones_own_at_the_left() -> None:
    """With APPEND_FORWARD at the edge the client's own header stands at the left: one element too many."""
    forged = "By=spiffe://a/proxy;URI=spiffe://a/evil"
    error = refused(f"{forged},{element(FRODO.der, ISSUING.der)}")
    assert (error.code, error.http_status) == ("forwarded.hops", 400)
    assert "SANITIZE_SET" in str(error)


def test_attack_an_anonymous_client_behind_an_inner_proxy_with_a_certificate() -> None:
    """Where the edge wrote nothing, the inner hop's element is that of the edge proxy, which is not the client."""
    assert refused(element(SAM.der, ISSUING.der), forwarded.envoy(trusted=TRUSTED, hops=2)).code == "forwarded.hops"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (f"Hash={digest(SAM.der)};{CERT}", "Hash is not that"),
        (f"Hash={digest(SAM.der)};{CHAIN}", "Hash is not that"),
        (f"Hash=;{CERT}", "hexadecimal SHA-256"),
        (f"Hash={digest(FRODO.der)[:40]};{CERT}", "hexadecimal SHA-256"),
        (f'Hash="{digest(FRODO.der)}00";{CERT}', "hexadecimal SHA-256"),
        (f'{HASH};Cert="{escaped(FRODO.der)}";Chain="{escaped(ISSUING.der, FRODO.der)}"', "first of Chain"),
        (f'{HASH};Cert="{escaped(*BOTH)}";{CHAIN}', "first of Chain"),
        (f'{HASH};Cert="{escaped(*BOTH)}"', "more than one"),
        (f'{HASH};Cert="{escaped(*BOTH)}";Chain="{escaped(*BOTH)}"', "first of Chain"),
        (f'{HASH};Cert="{escaped(*BOTH).replace("-", "%2D")}";Chain="{escaped(*BOTH).replace("-", "%2D")}"', "first"),
        (f'{HASH};Cert="";{CHAIN}', "not PEM"),
        (f'{HASH};Cert="";Chain=""', "not PEM"),
        (f'{HASH};Cert="{escaped(FRODO.der)[:-9]}";{CHAIN}', "not PEM"),
        (f"{HASH};{HASH};{CERT}", "'Hash' twice"),
        (f"{HASH};{CERT};{CERT}", "'Cert' twice"),
        (f"{HASH};{CHAIN};{CHAIN}", "'Chain' twice"),
        (f'{HASH};{CERT[:-1]};URI="', "not PEM"),
        (f"{HASH};{CERT[:-1]}", "does not end"),
        (f"{HASH};{CERT};", "at the end"),
        (f"{HASH};{CERT},", "at the end"),
        ("", "empty"),
        (escaped(FRODO.der), "neither Key=value"),
    ],
)
def test_what_contradicts_itself_is_malformed(value: str, why: str) -> None:
    """Hash, Cert and Chain speak of one certificate, once each."""
    error = refused(value)
    assert error.code == "forwarded.malformed"
    assert why in str(error)


@pytest.mark.parametrize("end", ["%", "%0", "%0A%", "%2", "%2D"])
def test_attack_an_escape_cut_in_two(end: str) -> None:
    """Cert that stops within an escape of Chain, or with one that is not Chain's, is not its first certificate."""
    chain = escaped(FRODO.der).removesuffix("%0A") + "%0A%0A" + escaped(ISSUING.der).replace("-", "%2D", 1)
    cert = escaped(FRODO.der).removesuffix("%0A") + end
    assert refused(f'{HASH};Cert="{cert}";Chain="{chain}"').code == "forwarded.malformed"


@pytest.mark.parametrize(
    "chain",
    [
        escaped(FRODO.der).replace("MII", "M%II", 1) + escaped(SAM.der),
        escaped(FRODO.der).replace("MII", "M", 1) + escaped(SAM.der),
        "junk%0A" + escaped(FRODO.der),
        escaped(FRODO.der)[30:] + escaped(SAM.der),
        escaped(b"") + escaped(SAM.der),
        escaped(b"0\x00") + escaped(SAM.der),
        escaped(FRODO.der) + "junk" + escaped(SAM.der),
        escaped(FRODO.der) + escaped(SAM.der)[:-20],
        escaped(FRODO.der).replace("CERTIFICATE", "PRIVATE%20KEY"),
        pem(FRODO.der).replace("\n", " ").replace("=", "%3D"),
    ],
)
def test_attack_a_damaged_first_certificate_promotes_nobody(chain: str) -> None:
    """A certificate that does not read makes the whole header malformed; no other one takes its place."""
    assert refused(f'Chain="{chain}"').code == "forwarded.malformed"


def test_attack_plus_is_no_space() -> None:
    """A plus sign of base64 that a proxy left as it is stays one."""
    left = quote(pem(FRODO.der), safe="+/=")
    assert ders(f'{HASH};Cert="{left}"') == BOTH[:1]


@pytest.mark.parametrize("key", ["URI", "DNS", "X-Later"])
def test_attack_a_certificate_put_there_by_an_unquoted_name(key: str) -> None:
    """A name ``x;Cert=...`` reads like a key of Envoy's: Hash unmasks it, and without Hash it comes too late."""
    forged = f"{key}=x;Cert={escaped(SAM.der)}"
    assert "Hash is not that" in str(refused(f"By=a;{HASH};{forged}"))
    assert "unquoted name" in str(refused(f"By=a;{forged}"))
    assert "'Hash' twice" in str(refused(f"By=a;{HASH};{key}=x;Hash={digest(SAM.der)};Cert={escaped(SAM.der)}"))
    assert "first of Chain" in str(refused(f"By=a;{HASH};{CERT};{key}=x;Chain={escaped(SAM.der)}"))
    assert "unquoted name" in str(refused(f"{CERT};{key}=x;Chain={escaped(FRODO.der, SAM.der)}"))


def test_attack_an_element_put_there_by_an_unquoted_name() -> None:
    """A name ``x,By=...`` makes one element more than there are proxies."""
    assert refused(f"{element(FRODO.der)};URI=x,{element(SAM.der)}").code == "forwarded.hops"


def test_attack_text_beside_the_certificate_is_not_its_identity() -> None:
    """Subject, URI and DNS are passed over where there is a certificate, also by a source that accepts words."""
    value = f'{element(FRODO.der, ISSUING.der)};Subject="CN=admin";URI=spiffe://a/admin;DNS=admin.test'
    for source in (SOURCE, WORDS):
        found = source.request([(NAME, value)], peer=PROXY)
        assert found.claims is None
        assert found.chain is not None
        assert found.chain.end_entity.der == FRODO.der


def test_words_alone_are_refused_with_the_setting_that_mends_it() -> None:
    """Without Cert and Chain there is nothing to verify."""
    error = refused(f'By=a;{HASH};Subject="CN=frodo";URI=spiffe://a/frodo')
    assert (error.code, error.http_status) == ("forwarded.text-only", 400)
    assert "set_current_client_cert_details: {cert: true, chain: true}" in str(error)


def test_words_by_an_explicit_choice_are_never_a_chain() -> None:
    """What the proxy says in words is a plain value; nothing that verifies takes it, and `read` refuses as ever."""
    headers = [(NAME, f'By=a;{HASH.upper()};Subject="CN=a\\"b";URI=spiffe://a/frodo;DNS=a.test;URI=;DNS=b.test')]
    found = WORDS.request(headers, peer=PROXY)
    assert found.chain is None
    assert found.claims == forwarded.TextClaims(
        sha256=digest(FRODO.der), subject='CN=a\\"b', uris=("spiffe://a/frodo",), dns_names=("a.test", "b.test")
    )
    with pytest.raises(MalformedEvidence) as caught:
        WORDS.read(headers, peer=PROXY)
    assert caught.value.code == "forwarded.text-only"
    assert not VERIFIER.decide(found.claims)  # type: ignore[arg-type]  # on purpose
    assert WORDS.request([(NAME, "URI=u")], peer=PROXY).claims == forwarded.TextClaims(uris=("u",))


@pytest.mark.parametrize("value", ["By=a", 'By=a;Subject="";URI=;DNS=', "By=a;Hash=12"])
def test_words_that_say_nothing_are_malformed(value: str) -> None:
    """An element without one name or hash is no statement about a certificate."""
    assert refused(value, WORDS).code == "forwarded.malformed"


def test_attack_words_from_a_stranger() -> None:
    """Words pass the same gate as certificates."""
    with pytest.raises(VerificationError) as caught:
        WORDS.request([(NAME, "URI=spiffe://a/admin")], peer=OTHER)
    assert caught.value.code == "forwarded.untrusted-proxy"


def test_attack_two_copies() -> None:
    """A second header is somebody else's, also where there are two proxies: Envoy appends to the first."""
    source = forwarded.envoy(trusted=TRUSTED, hops=2)
    with pytest.raises(MalformedEvidence) as caught:
        source.read([(NAME, element(FRODO.der)), (NAME, element(SAM.der))], peer=PROXY)
    assert caught.value.code == "forwarded.duplicate"


def test_attack_two_copies_joined_under_wsgi() -> None:
    """Under WSGI a second element may be the client's own copy, whatever the number of hops."""
    one, two = element(FRODO.der, ISSUING.der), f"{element(SAM.der)},{element(FRODO.der, ISSUING.der)}"
    chain = SOURCE.read(JoinedHeaders({NAME: one}), peer=PROXY)
    assert chain is not None
    assert chain.ders == BOTH
    for source, code in ((SOURCE, "forwarded.hops"), (forwarded.envoy(trusted=TRUSTED, hops=2), "forwarded.duplicate")):
        with pytest.raises(MalformedEvidence) as caught:
            source.read(JoinedHeaders({NAME: two}), peer=PROXY)
        assert caught.value.code == code


def test_attack_a_copy_whose_quote_swallows_the_proxys_own() -> None:
    """Joined to a quote that does not end, the proxy's element has quotes where none may be."""
    for opened in (f'{element(SAM.der)};Subject="', f'{element(SAM.der)};Subject="\\', 'X="', "X=", '"'):
        for own in (element(FRODO.der), f'By=a;{HASH};{CERT};Subject=""', f"{HASH};{CERT};URI="):
            with pytest.raises(MTLSPolicyError):
                SOURCE.read(JoinedHeaders({NAME: f"{opened},{own}"}), peer=PROXY)


def test_more_certificates_than_the_limit() -> None:
    """The limits of a chain hold for a forwarded one."""
    chain = escaped(FRODO.der, ISSUING.der, ROOT.der, SAM.der, STRANGER.der, *[FRODO.der] * 2)
    assert refused(f'Chain="{chain}"').code == "forwarded.too-large"


def test_the_name_of_the_header_is_a_choice() -> None:
    """Another header carries it, and the usual one is then not read."""
    source = forwarded.envoy(header="X-Client", trusted=TRUSTED)
    chain = source.read([("x-client", element(FRODO.der)), (NAME, "garbage")], peer=PROXY)
    assert chain is not None
    assert chain.ders == BOTH[:1]


@pytest.mark.parametrize(
    "options",
    [
        {"hops": 0},
        {"hops": -1},
        {"hops": True},
        {"hops": "1"},
        {"hops": 17},
        {"text_claims": 1},
        {"text_claims": None},
        {"header": "x_forwarded_client_cert"},
        {"header": "connection"},
        {"secrets": ("a", "b")},
        {"trusted": []},
        {"trusted": ["0.0.0.0/0"]},
    ],
)
def test_construction_fails_closed(options: dict[str, object]) -> None:
    """No hops, a truthy word for a choice, a name with two spellings, a misspelt option, the whole world."""
    with pytest.raises(ConfigurationError):
        forwarded.envoy(**{"trusted": TRUSTED, **options})  # type: ignore[arg-type]  # on purpose


def test_who_is_trusted_is_never_left_out() -> None:
    """There is no default for whom to believe."""
    with pytest.raises(ConfigurationError, match="say who the proxy is"):
        forwarded.envoy()  # type: ignore[call-arg]  # on purpose

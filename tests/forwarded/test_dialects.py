"""What holds of every dialect in which the certificate has a header of its own, attack by attack, over one table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mtlspolicy import Possession
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, VerificationError
from mtlspolicy.forwarded import ForwardedSource, JoinedHeaders
from tests.forwarded.certificate_forms import FORMS, pem_safe
from tests.forwarded.dialects import (
    BY_NAME,
    EVERY,
    KNOWING,
    SECRET,
    SHARED,
    WITH_DIGEST,
    WITH_FAILURE,
    WITH_VERDICT,
    Headers,
    Row,
    alias,
)
from tests.forwarded.writing import FRODO, ISSUING, OTHER, PROXY, SAM, TRUSTED

SOURCES = {name: row.source() for name, row in BY_NAME.items()}
LEAVES = (FRODO.der, ISSUING.der)
JUNK = ("(null)", "NONE", "-", "null", "undefined", "SUCCESS", "0", ",", ":", "::", "-----BEGIN CERTIFICATE-----", "=")
every = pytest.mark.parametrize("row", [BY_NAME[name] for name in EVERY], ids=EVERY)
with_verdict = pytest.mark.parametrize("row", [BY_NAME[name] for name in WITH_VERDICT], ids=WITH_VERDICT)


def refusal(row: Row, headers: Headers | JoinedHeaders, source: ForwardedSource | None = None) -> str:
    """Return the code with which the source of *row* refuses *headers*, whichever of our two errors it is."""
    with pytest.raises((MalformedEvidence, VerificationError)) as caught:
        (SOURCES[row.name] if source is None else source).read(headers, peer=PROXY)
    assert isinstance(caught.value, MalformedEvidence | VerificationError)
    return caught.value.code


@every
def test_what_the_proxy_writes_is_read(row: Row) -> None:
    """The end entity comes first, the proxy saw the proof of possession, and our own verifier admits the path."""
    chain = SOURCES[row.name].read(row.headers(*LEAVES), peer=PROXY)
    assert chain is not None
    assert (chain.ders, chain.possession) == (row.told(*LEAVES), Possession.PROXY)
    assert KNOWING.verify(chain).common_name == "frodo"


@every
def test_no_header_is_no_certificate(row: Row) -> None:
    """A request without any header of the dialect has no certificate: that is an answer and no error.

    But where the proxy is known to have written it, by its secret, and states absence as well: then something is lost.
    """
    source = SOURCES[row.name]
    if source.gate.secret is None or not source.dialect.states_absence:
        assert source.read(row.sent(), peer=PROXY) is None
        return
    with pytest.raises(MalformedEvidence) as caught:
        source.read(row.sent(), peer=PROXY)
    assert caught.value.code == "forwarded.companion"


@every
def test_attack_connection_takes_back_what_the_proxy_wrote(row: Row) -> None:
    """RULES 35: a marked request without the verdict that this proxy always writes is a loss, and not anonymous."""
    marked = replace(SOURCES[row.name], marker=("x-edge", "1"))
    headers = [*row.sent(), ("x-edge", "1")]
    if not marked.dialect.states_absence:
        assert marked.read(headers, peer=PROXY) is None
        return
    with pytest.raises(MalformedEvidence) as caught:
        marked.read(headers, peer=PROXY)
    assert caught.value.code == "forwarded.companion"


@every
def test_what_the_proxy_writes_for_no_certificate_is_no_certificate(row: Row) -> None:
    """The words and the empty header with which this proxy says that there is none are not an error."""
    assert SOURCES[row.name].read(row.sent(*row.none), peer=PROXY) is None


@every
def test_attack_the_client_sends_the_header_directly(row: Row) -> None:
    """From anybody but the proxy the headers are refused, with 403, and not ignored."""
    with pytest.raises(VerificationError) as caught:
        SOURCES[row.name].read(row.headers(*LEAVES), peer=OTHER)
    assert (caught.value.code, caught.value.http_status) == ("forwarded.untrusted-proxy", 403)


@every
def test_attack_underscore_alias_of_each_header(row: Row) -> None:
    """A second spelling is refused, alone and beside the real one, whichever header it is of."""
    real = row.headers(*LEAVES)
    for name, value in real[1:]:
        assert refusal(row, [*real, (alias(name), value)]) == "forwarded.alias"
        assert refusal(row, [(alias(name), value), *(field for field in real if field[0] != name)]) == "forwarded.alias"
    assert refusal(row, row.sent((alias(row.leaf), row.write(SAM.der)))) == "forwarded.alias"


@every
@pytest.mark.parametrize("empty", [False, True], ids=["two copies", "one empty"])
def test_attack_each_header_twice(row: Row, empty: bool) -> None:
    """Two copies are refused in either order, also when one of them is empty."""
    real = row.headers(*LEAVES)
    for name, value in real[1:]:
        copy = (name.upper(), "" if empty else value)
        assert refusal(row, [copy, *real]) == "forwarded.duplicate"
        assert refusal(row, [*real, copy]) == "forwarded.duplicate"


@every
def test_attack_connection_names_each_header(row: Row) -> None:
    """A client that has a hop remove what the proxy added is refused before that can matter."""
    for name in SOURCES[row.name].names:
        headers = [("connection", f"close, {name.title()}"), *row.headers(*LEAVES)]
        assert refusal(row, headers) == "forwarded.connection"


@every
def test_attack_gateway_joined_two_copies(row: Row) -> None:
    """Under WSGI two copies are one value with a comma in it; neither of them becomes the certificate."""
    evil, real = row.write(SAM.der), row.write(FRODO.der)
    for value in (f"{evil},{real}", f"{evil}, {real}", f",{real}", f"{real},", f"{evil}, "):
        fields = dict(row.headers(FRODO.der, leaf=value))
        assert refusal(row, JoinedHeaders(fields, http_version="HTTP/1.1")) in (
            "forwarded.duplicate",
            "forwarded.malformed",
        )


@every
def test_one_certificate_is_read_from_joined_headers(row: Row) -> None:
    """What has no comma in it is one copy, and is read under WSGI as well."""
    chain = SOURCES[row.name].read(JoinedHeaders(dict(row.headers(FRODO.der))), peer=PROXY)
    assert chain is not None
    assert chain.ders == (FRODO.der,)


@every
def test_attack_corrupt_first_certificate_promotes_the_second(row: Row) -> None:
    """A spoilt, truncated or empty first certificate makes the header malformed; the second is nobody's identity."""
    first, second = row.write(FRODO.der), row.write(SAM.der)
    middle = len(first) // 2
    broken = [first[:middle], first[:-9], first[9:], f"{first[:middle]}!{first[middle:]}", "", "junk", first.swapcase()]
    whole = {second, "%0A" + second}  # white space alone before it: that is no spoilt certificate
    values = [part + glue + second for part in broken for glue in ("", ",", ", ", " ", ";", "%0A", "%00")]
    for value in values:
        if value.strip(" ") not in whole:
            assert refusal(row, row.headers(FRODO.der, leaf=value)) == "forwarded.malformed", value


@pytest.mark.parametrize("name", [name for name in EVERY if BY_NAME[name].several])
def test_attack_one_byte_of_the_first_certificate_removed(name: str) -> None:
    """Whichever character of the first of two certificates is lost, the second one is not promoted."""
    row = BY_NAME[name]
    first, both = row.write(FRODO.der), row.write(FRODO.der, SAM.der)
    for place in range(0, len(first) - 1, 7):
        value = both[:place] + both[place + 1 :]
        try:
            chain = SOURCES[name].read(row.headers(FRODO.der, leaf=value), peer=PROXY)
        except MalformedEvidence:
            continue
        assert chain is not None
        assert chain.ders[0] == FRODO.der, place


@every
@pytest.mark.parametrize("word", JUNK)
def test_attack_a_word_in_place_of_the_certificate(row: Row, word: str) -> None:
    """What is no certificate is refused, and is never taken for absence; Apache alone writes ``(null)`` for that."""
    expected = {"forwarded.malformed"}
    if word == "(null)" and row.name.startswith("apache"):
        expected = {"forwarded.companion"}  # together with SUCCESS it contradicts itself
    assert refusal(row, row.headers(FRODO.der, leaf=word)) in expected


@every
@pytest.mark.parametrize("form", FORMS)
def test_attack_another_encoding_is_not_guessed(row: Row, form: str) -> None:
    """A certificate in the encoding of another proxy is malformed, except where both are the same text."""
    text = FORMS[form](FRODO.der)
    right = text == row.write(FRODO.der) or (form == "pem-percent" and row.write is pem_safe)
    headers = row.headers(FRODO.der, leaf=text)
    if right:
        assert SOURCES[row.name].read(headers, peer=PROXY) is not None
    else:
        assert refusal(row, headers) == "forwarded.malformed"


@every
def test_attack_huge_header(row: Row) -> None:
    """More characters than the bound are refused with 431, before anything is decoded."""
    with pytest.raises(MalformedEvidence) as caught:
        SOURCES[row.name].read(row.headers(FRODO.der, leaf="A" * 200_000), peer=PROXY)
    assert (caught.value.code, caught.value.http_status) == ("forwarded.too-large", 431)


@every
def test_attack_many_certificates(row: Row) -> None:
    """More certificates than the limit are refused by their number, before one is parsed: here none of them is one."""
    parts = [b"\x30\x03\x02\x01" + bytes([number]) for number in range(7)]
    code = refusal(row, row.headers(*parts, leaf=row.write(*parts)))
    assert code == ("forwarded.too-large" if row.several else "forwarded.malformed")


@every
def test_attack_der_that_is_no_certificate(row: Row) -> None:
    """What decodes and is no certificate is malformed."""
    assert refusal(row, row.headers(b"\x30\x03\x02\x01\x01")) == "forwarded.malformed"


@with_verdict
def test_attack_a_hop_removes_a_verdict(row: Row) -> None:
    """A certificate without one of its companions is malformed: what says nothing is not read as fine."""
    for name, _ in row.good:
        headers = [field for field in row.headers(*LEAVES) if field[0] != name]
        assert refusal(row, headers) == "forwarded.companion"


@with_verdict
def test_attack_a_hop_removes_the_certificate(row: Row) -> None:
    """A verdict whose certificate is gone is malformed, and the client is not anonymous."""
    headers = [field for field in row.headers(*LEAVES) if field[0] != row.leaf]
    assert refusal(row, headers) == "forwarded.companion"


@with_verdict
def test_attack_a_certificate_where_the_proxy_says_there_is_none(row: Row) -> None:
    """A header that survived from the client beside the proxy's own word that there is no certificate is refused."""
    said = dict(row.none)
    headers = row.sent((row.leaf, row.write(FRODO.der)), *((k, v) for k, v in said.items() if k != row.leaf))
    if not row.name.startswith("haproxy"):  # whose 0 also goes with a certificate
        assert refusal(row, headers) == "forwarded.companion"
    else:
        assert SOURCES[row.name].read(headers, peer=PROXY) is not None


@with_verdict
@pytest.mark.parametrize("word", ["success", "SUCCESS,SUCCESS", "Success", "ok", "00", "TRUE", "FAILED", "2", "1,1"])
def test_a_word_that_the_proxy_does_not_have_is_no_verdict(row: Row, word: str) -> None:
    """A verdict counts by the letter; what is nearly one is refused."""
    first, _ = row.good[-1]
    headers = [(key, word if key == first else value) for key, value in row.headers(*LEAVES)]
    known = {"custom-chain", "haproxy", "haproxy-chain"}  # for which all other words, or numbers, are failures
    allowed = {"forwarded.malformed"} | ({"forwarded.not-verified"} if row.name in known else set[str]())
    assert refusal(row, headers) in allowed


@pytest.mark.parametrize("name", WITH_FAILURE)
def test_attack_optional_verification_forwards_what_failed(name: str) -> None:
    """What the proxy says did not verify is refused, with its reason, though the certificate may be a good one."""
    row = BY_NAME[name]
    with pytest.raises(VerificationError) as caught:
        SOURCES[name].read(row.headers(*LEAVES, bad=True), peer=PROXY)
    assert (caught.value.code, caught.value.http_status) == ("forwarded.not-verified", 403)
    assert all(repr(value) in str(caught.value) for _, value in row.bad)


@pytest.mark.parametrize("name", WITH_DIGEST)
def test_attack_the_digest_is_of_another_certificate(name: str) -> None:
    """Two headers that were not written for the same client are malformed; a missing or empty digest is half of it."""
    row = BY_NAME[name]
    assert row.digest is not None
    header, write = row.digest
    headers = row.headers(*LEAVES)
    for value in (write(SAM.der), write(FRODO.der)[1:], "0" * 64, "x"):
        assert refusal(row, [(k, value if k == header else v) for k, v in headers]) == "forwarded.malformed"
    assert refusal(row, [(k, "" if k == header else v) for k, v in headers]) == "forwarded.companion"
    assert refusal(row, [field for field in headers if field[0] != header]) == "forwarded.companion"
    rest = dict(row.none) | {header: write(FRODO.der)}
    assert refusal(row, row.sent(*rest.items())) == "forwarded.companion"


@pytest.mark.parametrize("name", [name for name in EVERY if BY_NAME[name].chain])
def test_a_chain_without_its_certificate_is_refused(name: str) -> None:
    """Intermediates belong to an end entity: alone they are half of what the proxy wrote."""
    row = BY_NAME[name]
    rest = dict(row.none) | {row.chain[0]: row.write(ISSUING.der)}
    assert refusal(row, row.sent(*rest.items())) == "forwarded.companion"


@every
def test_attack_cdn_of_another_customer_in_front_of_the_origin(row: Row) -> None:
    """Where the proxy's addresses serve others, they alone are no gate; elsewhere they are."""
    if row.name in SHARED:
        with pytest.raises(ConfigurationError, match="secret="):
            row.make(trusted=TRUSTED)
    else:
        assert row.make(trusted=TRUSTED).gate.secret is None


@pytest.mark.parametrize("name", SHARED)
def test_the_secret_is_required_with_the_headers(name: str) -> None:
    """From the shared addresses, headers without the operator's own secret are another customer's."""
    row = BY_NAME[name]
    headers = [field for field in row.headers(*LEAVES) if field != SECRET]
    assert refusal(row, headers) == "forwarded.untrusted-proxy"
    assert refusal(row, [*headers, (SECRET[0], "x" + SECRET[1][1:])]) == "forwarded.untrusted-proxy"


@every
def test_the_application_sees_none_of_the_headers(row: Row) -> None:
    """What only the proxy may write is removed, in any spelling, whoever sent it."""
    headers = row.headers(*LEAVES)
    spelt = [*headers, *((alias(name).upper(), value) for name, value in headers[1:])]
    assert SOURCES[row.name].without_ours(spelt) == [("host", "a.test")]


@every
def test_construction_fails_closed(row: Row) -> None:
    """Nobody trusted, an option that is none, and a header that is the secret's as well are errors at once."""
    with pytest.raises(ConfigurationError, match="trusted"):
        row.make(secret=SECRET)
    with pytest.raises(ConfigurationError, match="no such option"):
        row.source(trust="10.0.0.1")
    with pytest.raises(ConfigurationError, match="one thing"):
        row.source(secret=(row.leaf, SECRET[1]))

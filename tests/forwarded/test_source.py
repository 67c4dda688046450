"""A source: absent, malformed and not from the proxy are three answers, and nothing is remembered of a connection."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import (
    Connection,
    Limits,
    PolicyIndeterminate,
    Possession,
    PresentedChain,
    TrustStore,
    Verifier,
    policies,
)
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy.errors import ConfigurationError, MalformedEvidence, MTLSPolicyError, VerificationError
from mtlspolicy.forwarded import (
    ForwardedSource,
    ImmediatePeer,
    JoinedHeaders,
    Request,
    SourceOptions,
    TextClaims,
    real_ip,
    x_forwarded_for,
)
from mtlspolicy.forwarded._encodings import base64_der
from mtlspolicy.forwarded._options import source_of
from tests.forwarded.writing import FRODO, ISSUING, OTHER, PROXY, ROOT, SAM, TRUSTED, VERIFIER

SECRET = ("x-origin-secret", "GxTn3kQ0hW_5mZbR8yLc2A")
MARKER = ("x-edge", "mtls")
Headers = list[tuple[str, str]]
Sent = Iterable[tuple[str, str]] | JoinedHeaders


@dataclass(frozen=True, slots=True)
class Plain:
    """The least dialect: base64 DER with commas between, ``-`` for none, ``?`` for words, and a verdict beside it."""

    name: str = "plain"
    names: frozenset[str] = frozenset({"x-cert", "x-verify"})
    lists: frozenset[str] = frozenset({"x-cert"})
    states_absence: bool = False

    def advice(self, header: str | None = None) -> str:
        """Return what to set in the proxy."""
        return f"write {header or 'x-cert'}"

    def parse(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...] | TextClaims | None:
        """Return the certificates."""
        if values.get("x-verify") == "FAILED":
            raise VerificationError(Decision(Verdict.DENY, "forwarded.not-verified", "the proxy says so"))
        text = values.get("x-cert", "")
        if joined and "," in text:
            raise MalformedEvidence("a comma may be a join", code="forwarded.duplicate")
        if text in ("-", "?"):
            return None if text == "-" else TextClaims(subject="CN=frodo")
        return tuple(base64_der(part.strip()) for part in text.split(","))


def source(**options: object) -> ForwardedSource:
    """Return a source of the least dialect."""
    return source_of(Plain(), SourceOptions(**{"trusted": TRUSTED, **options}))  # type: ignore[typeddict-item]


def cert(*ders: bytes) -> tuple[str, str]:
    """Return the header for certificates."""
    return "X-Cert", ", ".join(base64.b64encode(der).decode("ascii") for der in ders)


def code_of(made: ForwardedSource, headers: Sent, peer: ImmediatePeer = PROXY) -> str:
    """Return the code with which a request is refused."""
    with pytest.raises(MTLSPolicyError) as caught:
        made.read(headers, peer=peer)
    assert isinstance(caught.value, MalformedEvidence | VerificationError)
    return caught.value.code


def test_chain_of_the_proxy() -> None:
    """What the client presented, with possession PROXY, for our own verifier to judge."""
    chain = source().read([("host", "a"), cert(FRODO.der, ISSUING.der)], peer=PROXY)
    assert chain == PresentedChain((FRODO.der, ISSUING.der), Possession.PROXY)
    assert chain is not None
    assert VERIFIER.verify(chain).possession is Possession.PROXY


def test_absent_malformed_and_untrusted_are_three_answers() -> None:
    """None, an error about the bytes, an error about the sender; never one for another."""
    assert source().read([("host", "a")], peer=PROXY) is None
    assert source().read([("x-cert", "-")], peer=PROXY) is None
    assert code_of(source(), [("x-cert", "%%%")]) == "forwarded.malformed"
    assert code_of(source(), [cert(FRODO.der)], OTHER) == "forwarded.untrusted-proxy"


@pytest.mark.parametrize("name", ["X-Cert", "x-verify", "X_Cert", "x.cert", "X-Cert "])
@pytest.mark.parametrize("value", ["", "-", "NONE", "junk", "\r\n", cert(FRODO.der)[1]])
def test_client_that_sends_the_header_directly(name: str, value: str) -> None:
    """From anybody but the proxy a header of ours, in any spelling and with any value, is refused and not ignored."""
    assert code_of(source(), [("host", "a"), (name, value)], OTHER) == "forwarded.untrusted-proxy"
    assert code_of(source(), [(name, value)], ImmediatePeer()) == "forwarded.untrusted-proxy"


def test_stranger_who_forwards_nothing() -> None:
    """A request without a header of ours claims nothing, whoever sends it; its address is nobody's word."""
    made = source(client_address=x_forwarded_for())
    headers = [("host", "a"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "\r\n"), ("connection", "x-cert")]
    assert made.request(headers, peer=OTHER) == Request(None, None)


def test_scope_client_rewritten_from_x_forwarded_for() -> None:
    """The peer is what the socket says: an address in a header never satisfies the gate."""
    headers = [
        ("x-forwarded-for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
        cert(FRODO.der),
    ]
    made = source(client_address=real_ip())
    assert code_of(made, headers, OTHER) == "forwarded.untrusted-proxy"
    assert code_of(made, headers, ImmediatePeer(unix=True)) == "forwarded.untrusted-proxy"


def test_header_of_the_proxy_beside_the_clients() -> None:
    """Two copies, an alias, a name in Connection, a folded line: refused also when the proxy itself sends them on."""
    real = cert(FRODO.der)
    assert code_of(source(), [("X-Verify", "A"), ("X-Verify", "B"), real]) == "forwarded.duplicate"
    assert code_of(source(), [("X_Cert", real[1]), real]) == "forwarded.alias"
    assert code_of(source(), [("connection", "x-verify"), real]) == "forwarded.connection"
    assert code_of(source(), [("x-verify", "A\r\n B"), real]) == "forwarded.malformed"


def test_joined_copies_are_no_list() -> None:
    """Under WSGI the copies EVIL and REAL read as a list with EVIL as the end entity; a list is then refused."""
    evil_and_real = cert(SAM.der, FRODO.der)[1]
    assert code_of(source(), JoinedHeaders({"x-cert": evil_and_real})) == "forwarded.duplicate"
    assert source().read(JoinedHeaders({"x-cert": cert(FRODO.der)[1]}), peer=PROXY) is not None


def test_kept_chain_is_not_taken_for_a_joined_one() -> None:
    """What was read of header lines is not the answer for the same text out of a gateway that joins."""
    made, both = source(), cert(FRODO.der, ISSUING.der)
    assert made.read([both], peer=PROXY) is not None
    assert code_of(made, JoinedHeaders({"x-cert": both[1]})) == "forwarded.duplicate"


def test_kept_chain_passes_the_gate_first() -> None:
    """That a header was read from the proxy a moment ago admits it from nobody else."""
    made = source(secret=SECRET)
    assert made.read([cert(FRODO.der), SECRET], peer=PROXY) is made.read([cert(FRODO.der), SECRET], peer=PROXY)
    assert code_of(made, [cert(FRODO.der), SECRET], OTHER) == "forwarded.untrusted-proxy"
    assert code_of(made, [cert(FRODO.der)]) == "forwarded.untrusted-proxy"


def test_kept_chain_does_not_keep_the_verdict() -> None:
    """The companion belongs to the request: a certificate read with one verdict is judged anew with another."""
    made = source()
    assert made.read([cert(FRODO.der), ("x-verify", "SUCCESS")], peer=PROXY) is not None
    assert code_of(made, [cert(FRODO.der), ("x-verify", "FAILED")]) == "forwarded.not-verified"
    assert made.read([cert(FRODO.der), ("x-verify", "SUCCESS")], peer=PROXY) is not None


def test_two_clients_interleaved_on_one_connection() -> None:
    """Nothing is kept on the proxy's connection: each request is its own, with another client and with none."""
    made = source()
    for headers, wanted in [
        ([cert(FRODO.der, ISSUING.der)], (FRODO.der, ISSUING.der)),
        ([cert(SAM.der, ISSUING.der)], (SAM.der, ISSUING.der)),
        ([("host", "a")], None),
        ([cert(FRODO.der, ISSUING.der)], (FRODO.der, ISSUING.der)),
        ([("x-cert", "-")], None),
    ]:
        chain = made.read(headers, peer=PROXY)
        assert (None if chain is None else chain.ders) == wanted


def test_memory_is_bounded() -> None:
    """Neither many clients nor long headers make the memory grow, and answers stay right."""
    made = source(limits=Limits(certificates=80, chain_bytes=200_000), most_characters=300_000)
    for number in range(600):
        assert made.read([cert(FRODO.der), ("x-verify", str(number))], peer=PROXY) is not None
    assert len(made._memo) <= 256
    long = [cert(*[FRODO.der] * 40)]
    before = len(made._memo)
    assert made.read(long, peer=PROXY) == PresentedChain((FRODO.der,), Possession.PROXY)
    assert len(made._memo) == before


def test_secret_of_a_shared_proxy() -> None:
    """Without the secret, with a wrong one or with two, the request is not the proxy's; it is never handed on."""
    made = source(secret=SECRET)
    real = cert(FRODO.der)
    assert made.read([real, ("X-Origin-Secret", SECRET[1])], peer=PROXY) is not None
    assert code_of(made, [real]) == "forwarded.untrusted-proxy"
    assert code_of(made, [real, (SECRET[0], SECRET[1] + "x")]) == "forwarded.untrusted-proxy"
    assert code_of(made, [real, SECRET, SECRET]) == "forwarded.duplicate"
    assert code_of(made, [real, ("X_Origin_Secret", "x"), SECRET]) == "forwarded.alias"
    assert code_of(made, [real, SECRET], OTHER) == "forwarded.untrusted-proxy"
    assert SECRET[1] not in repr(made)
    assert SECRET[1] not in repr(made._memo)


def test_request_without_secret_and_without_certificate() -> None:
    """It claims nothing and is anonymous; but an address in it is not the proxy's word either."""
    made = source(secret=SECRET, client_address=x_forwarded_for())
    address = ("x-forwarded-for", "192.0.2.1")
    assert made.request([address], peer=PROXY) == Request(None, None)
    assert made.request([address, SECRET], peer=PROXY) == Request(None, "192.0.2.1")
    assert code_of(made, [address, (SECRET[0], "wrong")]) == "forwarded.untrusted-proxy"
    assert code_of(made, [(SECRET[0], "wrong")], OTHER) == "forwarded.untrusted-proxy"


def test_marker_makes_absence_a_statement() -> None:
    """With a marker the proxy says that there is no certificate; without it somebody else may have removed one."""
    made = source(marker=("X-Edge", "mtls"))
    assert made.marker == MARKER
    assert made.read([MARKER], peer=PROXY) is None
    assert made.read([MARKER, cert(FRODO.der)], peer=PROXY) is not None
    for headers in ([], [("host", "a")], [cert(FRODO.der)], [("x-edge", "MTLS"), cert(FRODO.der)], [("x-edge", "")]):
        assert code_of(made, headers) == "forwarded.marker"
    assert code_of(made, [MARKER, MARKER]) == "forwarded.duplicate"


def test_marker_of_a_stranger() -> None:
    """Where each request bears the mark, one that did not pass through the proxy is refused, with it and without."""
    made = source(marker=MARKER)
    assert code_of(made, [MARKER], OTHER) == "forwarded.untrusted-proxy"
    assert code_of(made, [], OTHER) == "forwarded.untrusted-proxy"
    both = source(marker=MARKER, secret=SECRET)
    assert code_of(both, [MARKER]) == "forwarded.untrusted-proxy"
    assert both.read([MARKER, SECRET], peer=PROXY) is None


@pytest.mark.parametrize("name", ["x-verify", "X-Edge", "x-origin-secret", "X-Forwarded-For"])
def test_connection_deletes_nothing_of_the_proxy(name: str) -> None:
    """Neither verdict, marker, secret nor address can be removed on the way by a client that names them."""
    made = source(marker=MARKER, secret=SECRET, client_address=x_forwarded_for())
    assert code_of(made, [MARKER, SECRET, ("Connection", f"close, {name}")]) == "forwarded.connection"


def test_address_that_the_proxy_states() -> None:
    """Counted from the right, with a certificate and without one; several lines are one list."""
    made = source(client_address=x_forwarded_for())
    spoofed = [("x-forwarded-for", "10.9.9.9"), ("X-Forwarded-For", "192.0.2.1")]
    assert made.request(spoofed, peer=PROXY) == Request(None, "192.0.2.1")
    found = made.request([*spoofed, cert(FRODO.der, ISSUING.der)], peer=PROXY)
    assert found.client_address == "192.0.2.1"
    assert source().request(spoofed, peer=PROXY) == Request(None, None)
    assert made.request([], peer=PROXY).client_address is None


def test_second_real_ip() -> None:
    """A header that the proxy sets is there once; two of them were not written by it alone."""
    made = source(client_address=real_ip())
    assert made.request([("x-real-ip", "192.0.2.1")], peer=PROXY).client_address == "192.0.2.1"
    assert code_of(made, [("x-real-ip", "10.9.9.9"), ("x-real-ip", "192.0.2.1")]) == "forwarded.duplicate"


def test_addresses_behind_a_proxy() -> None:
    """The allow list of the client's network asks what the proxy states; that of the socket does not answer at all."""
    made = source(client_address=x_forwarded_for())
    found = made.request([("x-forwarded-for", "10.9.9.9, 192.0.2.1"), cert(FRODO.der, ISSUING.der)], peer=PROXY)
    assert found.chain is not None
    connection = Connection(transport_address=PROXY.address, client_address=found.client_address)
    for network, policy in (("192.0.2.0/24", policies.ClientAddress), ("10.0.0.0/8", policies.PeerAddress)):
        verifier = Verifier.for_clients(
            trust=TrustStore(anchors=[ROOT.certificate]), policy=policies.CommonName("frodo") & policy(network)
        )
        if policy is policies.ClientAddress:
            assert verifier.verify(found.chain, connection=connection).common_name == "frodo"
        else:
            with pytest.raises(PolicyIndeterminate) as caught:
                verifier.verify(found.chain, connection=connection)
            assert caught.value.code == "address.of-proxy"


def test_proxys_own_certificate_is_never_the_clients() -> None:
    """An anonymous client through a proxy that authenticates with mTLS is anonymous."""
    gateway = VERIFIER.verify(PresentedChain((SAM.der, ISSUING.der), Possession.TLS))
    made = source_of(Plain(), {"trusted": VERIFIER})
    peer = ImmediatePeer("192.0.2.1", proxy=gateway)
    assert made.read([("host", "a")], peer=peer) is None
    chain = made.read([cert(FRODO.der, ISSUING.der)], peer=peer)
    assert chain is not None
    assert chain.ders[0] == FRODO.der


@pytest.mark.parametrize("version", ["1.0", "0.9", "HTTP/1.0", "HTTP/0.9", "", "1", "HTTP/9", "\n"])
def test_http_1_0_from_the_proxy(version: str) -> None:
    """A certificate in HTTP/1.0 is refused: where a request ends is a guess. Probes may speak it."""
    with pytest.raises(MalformedEvidence, match="proxy_http_version") as caught:
        source().read([cert(FRODO.der)], peer=PROXY, http_version=version)
    assert caught.value.code == "forwarded.http-version"
    assert code_of(source(), JoinedHeaders(dict([cert(FRODO.der)]), http_version=version)) == "forwarded.http-version"
    assert source().read([("host", "a")], peer=PROXY, http_version=version) is None


@pytest.mark.parametrize("version", ["1.1", "2", "2.0", "3", "HTTP/1.1", "HTTP/2", None])
def test_http_versions_with_framing(version: str | None) -> None:
    """From HTTP/1.1 on a certificate may be forwarded."""
    assert source().read([cert(FRODO.der)], peer=PROXY, http_version=version) is not None
    assert source().read(JoinedHeaders(dict([cert(FRODO.der)]), http_version=version), peer=PROXY) is not None


def test_header_in_a_trailer() -> None:
    """Proxies rewrite headers and pass trailers on; one of ours there, in any spelling, refuses the request."""
    made = source(secret=SECRET)
    made.require_no_trailers([("expires", "0")])
    for name in ("x-cert", "X_Cert", "X-Origin-Secret"):
        with pytest.raises(MalformedEvidence) as caught:
            made.require_no_trailers([("expires", "0"), (name, "EVIL")])
        assert caught.value.code == "forwarded.trailer"


def test_more_certificates_than_the_limit() -> None:
    """Their number is held before any is read, copies of one included; their size before any is verified."""
    assert code_of(source(), [cert(*[FRODO.der] * 7)]) == "forwarded.too-large"
    assert code_of(source(), [cert(*[b"junk"] * 7)]) == "forwarded.too-large"
    small = source(limits=Limits(certificate_bytes=300))
    assert code_of(small, [cert(FRODO.der)]) == "forwarded.too-large"
    with pytest.raises(MalformedEvidence) as caught:
        source(most_characters=100).read([cert(FRODO.der)], peer=PROXY)
    assert (caught.value.code, caught.value.http_status) == ("forwarded.too-large", 431)


@pytest.mark.parametrize("damaged", [b"junk", FRODO.der[:-1], FRODO.der + b"\x00", b"\x30\x00", b"-----BEGIN "])
def test_corrupt_first_certificate_promotes_nobody(damaged: bytes) -> None:
    """One damaged certificate, first or last, refuses the header: the next one never becomes the peer's."""
    assert code_of(source(), [cert(damaged, FRODO.der)]) == "forwarded.malformed"
    assert code_of(source(), [cert(FRODO.der, damaged)]) == "forwarded.malformed"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_certificate_damaged_within(place: int) -> None:
    """What looks like a certificate and is none refuses the chain in the verifier, at any place: nobody is promoted."""
    ders = [FRODO.der, ISSUING.der]
    ders.insert(place, b"\x30\x06\x30\x00\x30\x00\x03\x00")
    chain = source().read([cert(*ders)], peer=PROXY)
    assert chain is not None
    assert VERIFIER.decide(chain).code == "chain.malformed"


def test_no_certificate_where_some_were_said_to_be() -> None:
    """A dialect that finds none says None; an empty tuple is a mistake and no anonymous client."""
    with pytest.raises(MalformedEvidence) as caught:
        source()._chain(())
    assert caught.value.code == "chain.malformed"


def test_words_are_no_certificate() -> None:
    """Claims in words never come out of ``read``, and never as an absent certificate either."""
    made = source()
    assert made.request([("x-cert", "?")], peer=PROXY) == Request(None, None, TextClaims(subject="CN=frodo"))
    assert code_of(made, [("x-cert", "?")]) == "forwarded.text-only"
    assert code_of(made, [("x-cert", "?")]) == "forwarded.text-only"


@dataclass(frozen=True, slots=True)
class Careless(Plain):
    """A dialect whose reader fails with a code of the core."""

    def parse(self, values: Mapping[str, str], *, joined: bool) -> tuple[bytes, ...]:
        """Raise as a reader of certificates does."""
        raise MalformedEvidence(f"no certificate{joined}", code=values["x-cert"])


@pytest.mark.parametrize(
    ("raised", "told"), [("chain.malformed", "forwarded.malformed"), ("chain.too-large", "forwarded.too-large")]
)
def test_codes_of_the_core_become_those_of_the_header(raised: str, told: str) -> None:
    """A header that is malformed is answered with 400 or 431, and not with the 403 of a TLS peer."""
    assert code_of(source_of(Careless(), {"trusted": TRUSTED}), [("x-cert", raised)]) == told


def test_what_an_application_may_see() -> None:
    """Headers that only the proxy may write are removed in every spelling; text stays text and bytes stay bytes."""
    made = source(secret=SECRET, marker=MARKER, client_address=x_forwarded_for())
    seen = [("host", "a"), ("X-Forwarded-For", "192.0.2.1")]
    ours = [("X-Cert", ""), ("X_Cert", ""), ("x.verify", ""), ("X-Origin-Secret", ""), ("x-edge", ""), ("x-cert ", "")]
    assert made.without_ours([*ours, *seen, *ours]) == seen
    assert made.without_ours([(b"x-cert", b"v"), (b"host", b"a")]) == [(b"host", b"a")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"secert": SECRET}, "secert"),
        ({"marker": ("x-cert", "v")}, "one thing"),
        ({"secret": ("x-cert", SECRET[1])}, "one thing"),
        ({"secret": SECRET, "marker": (SECRET[0], "v")}, "one thing"),
        ({"client_address": real_ip("x-cert")}, "one thing"),
        ({"client_address": "x-forwarded-for"}, "x_forwarded_for"),
        ({"marker": ("x_edge", "v")}, "marker"),
        ({"marker": ("x-edge", "")}, "marker"),
        ({"marker": ("x-edge", "é")}, "marker"),
        ({"marker": ("x-edge", " v")}, "marker"),
        ({"marker": ("x-edge", "a\nb")}, "marker"),
        ({"marker": "x-edge"}, "marker"),
        ({"marker": ("x-edge", 1)}, "marker"),
        ({"limits": 6}, "Limits"),
        ({"most_characters": 0}, "most_characters"),
        ({"most_characters": True}, "most_characters"),
        ({"most_characters": "9"}, "most_characters"),
    ],
)
def test_options_that_are_none(options: dict[str, object], said: str) -> None:
    """A misspelt option is not left out, a header is read as one thing, and values are what they should be."""
    with pytest.raises(ConfigurationError, match=said):
        source(**options)


def test_nobody_is_trusted_by_default() -> None:
    """Who the proxy is must be said."""
    with pytest.raises(ConfigurationError, match="say who the proxy is"):
        source_of(Plain(), {})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("name", ["x_cert", "Connection", ""])
def test_header_names_of_a_dialect(name: str) -> None:
    """A dialect, too, reads headers that have one spelling."""
    with pytest.raises(ConfigurationError, match="spelling"):
        source_of(Plain(names=frozenset({name})), {"trusted": TRUSTED})


def test_sources_are_values() -> None:
    """Equal sources are equal and hash alike, whatever they have read; they do not change."""
    first, second = source(secret=SECRET), source(secret=SECRET)
    first.read([cert(FRODO.der), SECRET], peer=PROXY)
    assert first == second
    assert hash(first) == hash(second)
    assert first != source(marker=MARKER)
    with pytest.raises(AttributeError):
        first.gate = second.gate  # type: ignore[misc]


CHAINS = [(FRODO.der,), (FRODO.der, SAM.der)]
NAMES = ["x-cert", "X_Cert", "x-verify", "x-edge", "x-origin-secret", "connection", "x-forwarded-for", "host"]
VALUES = ["-", "?", "", "mtls", SECRET[1], "x-cert", "192.0.2.1, 192.0.2.2", *(cert(*ders)[1] for ders in CHAINS)]
pairs = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=20))
MADE = source(secret=SECRET, marker=MARKER, client_address=x_forwarded_for())


@given(st.lists(pairs, max_size=8), st.sampled_from([PROXY, OTHER, ImmediatePeer(), ImmediatePeer(unix=True)]))
def test_any_request_gives_a_value_or_our_error(headers: Headers, peer: ImmediatePeer) -> None:
    """Any headers give a request or our error; from anybody but the proxy never a certificate, a word or an address."""
    try:
        found = MADE.request(headers, peer=peer)
    except MTLSPolicyError:
        return
    assert peer is PROXY
    assert MARKER in headers
    assert SECRET in headers
    assert found.chain is None or found.chain.possession is Possession.PROXY

"""What ``integrations.grpc`` makes of what gRPC says, told by hand: hostile, odd and of earlier versions."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any, Final

import grpc  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtlspolicy import Resolver, TrustStore, Verifier, policies, tls
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy.errors import (
    ConfigurationError,
    MalformedEvidence,
    NoPeerCertificate,
    PolicyDenied,
    PolicyIndeterminate,
    VerificationError,
)
from mtlspolicy.integrations import grpc as ours
from mtlspolicy.integrations._grpc_calls import guarded, guarded_async
from mtlspolicy.integrations._grpc_credentials import _Served
from mtlspolicy.integrations._grpc_evidence import address_of, connection_of, presented_chain
from mtlspolicy.testing import CertificateAuthority

ROOT: Final = CertificateAuthority("Root")
FRODO: Final = ROOT.issue_client("frodo")
VERIFIER: Final = Verifier.for_clients(trust=TrustStore.from_pem(ROOT.pem), policy=policies.CommonName("frodo"))
SERVERS: Final = Verifier.for_servers(trust=TrustStore.from_pem(ROOT.pem), expected="localhost")
_ISSUED: Final = ROOT.issue_server("localhost")
CREDENTIAL: Final = tls.Credential.from_pem(_ISSUED.chain_pem, _ISSUED.key_pem)

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*")


def _said(**more: Any) -> dict[str, Any]:
    return {"transport_security_type": [b"ssl"], "x509_pem_cert": [FRODO.certificate_pem], **more}


class Context:
    """A context whose `abort` does not raise, as gRPC's does."""

    def __init__(self, said: dict[str, Any]) -> None:
        self._said = said
        self.aborted: list[Any] = []
        self.trailing: Any = None

    def auth_context(self) -> dict[str, Any]:
        """Return what the transport says."""
        return self._said

    def peer(self) -> str:
        """Return an address."""
        return "ipv4:192.0.2.1:50051"

    def set_trailing_metadata(self, trailing: Any) -> None:
        """Keep it."""
        self.trailing = trailing

    def abort(self, code: Any, details: str) -> None:
        """Keep them and go on."""
        self.aborted.append((code, details))


class AioContext(Context):
    """The same for ``grpc.aio``."""

    async def abort(self, code: Any, details: str, trailing: Any = ()) -> None:  # type: ignore[override]
        """Keep them and go on."""
        await asyncio.sleep(0)
        self.trailing = trailing
        self.aborted.append((code, details))


@pytest.mark.parametrize(
    "kind", [[b"alts"], [b"local"], [b"tls"], [b"insecure"], [], [b"ssl", b"ssl"], [b"SSL"], [b""]]
)
def test_a_certificate_counts_only_on_a_transport_that_has_seen_its_key_used(kind: list[bytes]) -> None:
    """ALTS, local, xDS and unknown credentials may say any name; who proved what is not known there."""
    with pytest.raises(PolicyDenied) as caught:
        presented_chain(_said(transport_security_type=kind), VERIFIER)
    assert caught.value.code == "peer.no-possession"
    assert caught.value.grpc_status == "PERMISSION_DENIED"


@pytest.mark.parametrize("kind", [[b"ssl"], [b"local"], [], [b"\x1b[31m\xff" * 99]])
def test_no_certificate_is_a_refusal_and_no_anonymous_caller(kind: list[bytes]) -> None:
    """A server whose credentials never ask for a certificate gives no key at all, and admits nobody."""
    with pytest.raises(NoPeerCertificate) as caught:
        presented_chain({"transport_security_type": kind}, VERIFIER)
    assert caught.value.grpc_status == "UNAUTHENTICATED"
    assert "\x1b" not in str(caught.value)


def test_two_certificates_in_place_of_one_are_doubt() -> None:
    """Nobody can say which of two certificates has signed the handshake."""
    with pytest.raises(PolicyIndeterminate, match="2 certificates"):
        presented_chain(_said(x509_pem_cert=[FRODO.certificate_pem] * 2), VERIFIER)


@pytest.mark.parametrize(
    "said",
    [
        {"x509_pem_cert": [b""]},
        {"x509_pem_cert": [b"-----BEGIN CERTIFICATE-----\n"]},
        {"x509_pem_cert_chain": [FRODO.key_pem]},
        {"x509_pem_cert_chain": [b"".join(ROOT.intermediate(str(number)).pem for number in range(6))]},
        {"x509_pem_cert_chain": ["text"]},
    ],
)
def test_what_cannot_be_read_is_malformed_and_admits_nobody(said: dict[str, Any]) -> None:
    """Bytes that are no certificate, a key, or more than the limits are a refusal of the whole call."""
    with pytest.raises((MalformedEvidence, VerificationError)):
        ours.Interceptor(VERIFIER).admit(Context(_said(**said)))


def test_the_end_entity_is_the_certificate_of_the_handshake() -> None:
    """Whatever stands in the chain beside it, the certificate whose key was used comes first."""
    other = ROOT.issue_client("sam")
    chain = presented_chain(_said(x509_pem_cert_chain=[b"", other.certificate_pem + ROOT.pem]), VERIFIER)
    assert chain.ders == (FRODO.der, other.der, ROOT.der)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ipv4:192.0.2.1:50051", "192.0.2.1"),
        ("ipv6:%5B2001:db8::1%5D:50051", "2001:db8::1"),
        ("ipv6:[::1]:1", "::1"),
        ("ipv6:%5Bfe80::1%252%5D:1", "fe80::1"),
        *[
            (text, None)
            for text in (
                *("unix:", "unix:/run/app.sock", "unix-abstract:ipv4:1.2.3.4:5", "vsock:2:5", "unknown", "", "ipv4:"),
                *("ipv4:192.0.2.1", "ipv4:192.0.2.1:x", "ipv4:[::1]:5", "ipv6:192.0.2.1:5", "ipv6:%5B192.0.2.1%5D:5"),
                *("ipv4:host:5", "ipv4:192.0.2.1,192.0.2.2:5", "dns:localhost:5", None, b"ipv4:192.0.2.1:5"),
            )
        ],
    ],
)
def test_the_address_is_the_sockets_or_none(text: object, address: str | None) -> None:
    """What gRPC calls the peer is read as an IP address where it is one, and as nothing else."""
    assert address_of(text) == address


@given(st.text() | st.sampled_from(["ipv4:", "ipv6:"]).flatmap(lambda kind: st.text().map(lambda rest: kind + rest)))
def test_any_text_for_an_address_is_an_address_or_none(text: str) -> None:
    """No text makes the reader raise, and what it returns is an IP address."""
    found = address_of(text)
    assert found is None or str(ipaddress.ip_address(found)) == found


def test_what_gRPC_does_not_say_is_not_known() -> None:  # noqa: N802 - its name
    """An earlier version says less of a connection; nothing is made up for that."""
    assert repr(connection_of({}, "unix:")) == "Connection()"
    said = {
        "ssl_requested_server_name": [b"h\xff"], "ssl_tls_version": [b"TLSv1.3"], "ssl_session_reused": [b"true"],
    }  # fmt: skip
    known = connection_of(said, "ipv4:192.0.2.1:5")
    assert (known.server_name, known.tls_version, known.resumed) == ("h\xff", "TLSv1.3", True)
    odd = {"ssl_session_reused": [b"true", b"false"], "ssl_tls_version": [b"SSLv3"]}
    assert (connection_of(odd, "").resumed, connection_of(odd, "").tls_version) == (None, None)


def _handler(kind: str, behaviour: Any, read: Any = None) -> Any:
    return getattr(grpc, f"{kind}_rpc_method_handler")(behaviour, read)


def _never(*_: Any) -> Any:
    raise AssertionError("nothing of the application may run")


async def _never_async(*_: Any) -> Any:
    _never()


async def _never_streaming(*_: Any) -> Any:
    _never()
    yield b""


def test_an_abort_that_returns_admits_nobody() -> None:
    """gRPC's abort raises; where somebody has replaced it, the handler does not run all the same."""
    guard = ours.Interceptor(VERIFIER)
    context = Context({})
    with pytest.raises(NoPeerCertificate):
        guarded(guard, _handler("unary_unary", _never)).unary_unary(b"", context)
    assert context.aborted == [(grpc.StatusCode.UNAUTHENTICATED, "path.no-certificate")]
    for handler in (_handler("unary_unary", _never, _never), None):
        context = Context(_said())
        asked = guarded(guard, handler)
        with pytest.raises(Exception, match="deserializing|Method not found"):
            (asked.stream_stream if handler is None else asked.unary_unary)(b"", context)
        assert len(context.aborted) == 1


def test_an_abort_of_asyncio_that_returns_admits_nobody() -> None:
    """The same for ``grpc.aio``."""
    guard = ours.AioInterceptor(VERIFIER)

    async def first(answers: Any) -> Any:
        return await anext(answers) if hasattr(answers, "__anext__") else await answers

    for said, handler, kind in (
        ({}, _handler("unary_unary", _never_async), "unary_unary"),
        ({}, _handler("unary_stream", _never_streaming), "unary_stream"),
        (_said(), _handler("unary_unary", _never_async, _never), "unary_unary"),
        (_said(), None, "stream_stream"),
    ):
        context = AioContext(said)
        with pytest.raises(Exception, match="no-certificate|deserializing|Method not found"):
            asyncio.run(first(getattr(guarded_async(guard, handler), kind)(b"", context)))
        assert len(context.aborted) == 1


def test_a_refusal_made_of_a_decision_that_admits_is_a_refusal() -> None:
    """An error whose code says that somebody was permitted is never answered with OK."""
    odd = VerificationError(Decision(Verdict.PERMIT, "policy.all"))
    question = ours.require(lambda _: odd)
    context = Context(_said())
    handler = guarded(ours.Interceptor(VERIFIER), _handler("unary_unary", lambda _, it: question(it)))
    with pytest.raises(Exception, match="policy.all"):
        handler.unary_unary(b"", context)
    assert context.aborted == [(grpc.StatusCode.PERMISSION_DENIED, "policy.all")]


def test_an_error_of_our_caller_is_no_answer_to_the_client() -> None:
    """A `ConfigurationError` of a handler ends the call as any other error does, with the code alone."""

    def wrong(*_: Any) -> Any:
        raise ConfigurationError("secret", code="config.invalid")

    context = Context(_said())
    with pytest.raises(Exception, match=r"^config\.invalid$"):
        guarded(ours.Interceptor(VERIFIER), _handler("unary_unary", wrong)).unary_unary(b"", context)
    assert context.aborted == []


@pytest.mark.parametrize("ask", [ours.peer, ours.peer_or_none, ours.presented, ours.require(policies.Anyone())])
@pytest.mark.parametrize("context", [None, object(), Context(_said()), {"mtlspolicy.admission": None}])
def test_a_call_that_no_interceptor_has_seen_has_no_peer(ask: Any, context: object) -> None:
    """Without the interceptor the answer is an error that names it, and never the absence of a peer."""
    with pytest.raises(ConfigurationError, match="AioInterceptor"):
        ask(context)


def test_everything_else_of_a_context_is_gRPCs_own() -> None:  # noqa: N802 - its name
    """The handler's context is one of gRPC by its type, and what is asked of it is asked of gRPC's."""
    seen: list[Any] = []
    context = Context(_said())
    handler = guarded(ours.Interceptor(VERIFIER), _handler("unary_unary", lambda _, it: seen.append(it)))
    handler.unary_unary(b"", context)
    assert isinstance(seen[0], grpc.ServicerContext)
    assert isinstance(seen[0], grpc.aio.ServicerContext)
    assert seen[0].peer() == "ipv4:192.0.2.1:50051"
    assert dict(seen[0].auth_context()) == _said()
    assert ours.peer(seen[0]).connection.transport_address == "192.0.2.1"
    with pytest.raises(AttributeError):
        getattr(seen[0], "nothing of this name")


@pytest.mark.parametrize("make", [ours.Interceptor, ours.AioInterceptor])
@pytest.mark.parametrize(
    ("verifier", "options"),
    [(SERVERS, {}), (None, {}), (VERIFIER, {"resolver": {"kind": print}}), (VERIFIER, {"resolver": "x"})],
)
def test_an_interceptor_is_made_of_what_judges_clients(make: Any, verifier: Any, options: Any) -> None:
    """A verifier of servers, none, and something else in place of a resolver are errors at once."""
    with pytest.raises(ConfigurationError):
        make(verifier, **options)
    assert make(VERIFIER, resolver=Resolver({"kind": lambda key: key})) is not None


@pytest.mark.parametrize("policy", [None, "sam", 5])
def test_require_takes_a_policy_or_a_callable(policy: Any) -> None:
    """Anything else is an error when it is written, and not at the first call."""
    with pytest.raises(ConfigurationError, match="require"):
        ours.require(policy)


def test_credentials_are_made_of_what_fits() -> None:
    """Credentials for a server need one's own credential and a verifier of clients; sources are asked at once."""
    for credential, verifier in (
        *((CREDENTIAL, SERVERS), (CREDENTIAL, None), (None, VERIFIER), ("server.pem", VERIFIER)),
        (lambda: None, VERIFIER),
    ):
        with pytest.raises(ConfigurationError):
            ours.credentials(credential=credential, verifier=verifier)  # type: ignore[arg-type]


def test_a_source_that_fails_during_a_handshake_changes_nothing() -> None:
    """gRPC is told of no change, on a thread of its own; whoever connects is for the interceptor to refuse."""
    stores = [TrustStore.from_pem(ROOT.pem)]
    verifier = Verifier.for_clients(trust=lambda: stores[0], policy=policies.CommonName("frodo"))
    served = _Served(CREDENTIAL, verifier)
    stores.clear()
    assert served.change() is None
    with pytest.raises(ConfigurationError):
        served.current()


def test_a_channel_has_what_gRPC_can_hold() -> None:  # noqa: N802 - its name
    """No default trust, and no store whose distrust or registered peers gRPC would pass over."""
    store = TrustStore.from_pem(ROOT.pem)
    distrusting = TrustStore(anchors=[ROOT.certificate], distrusted=[CertificateAuthority("Bad").certificate])
    for trust, credential in (
        *((None, None), (ROOT.pem, None), (distrusting, None), (TrustStore(peers=[FRODO.der]), None)),
        (store, FRODO),
    ):
        with pytest.raises(ConfigurationError):
            ours.channel_credentials(trust=trust, credential=credential)  # type: ignore[arg-type]

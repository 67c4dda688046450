"""Cases with real gRPC servers and clients: who is admitted, and what runs of the application for everybody else.

`test_grpc` runs them in a process of its own, because other tests fork, and gRPC's threads do not survive that.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest

from mtlspolicy import PathProfile, Resolver, TrustStore, Verifier, policies, revocation
from mtlspolicy.integrations import grpc as ours
from mtlspolicy.integrations._admission import Admission
from mtlspolicy.testing import CertificateAuthority, broken
from tests.integrations.grpc_serving import (
    CALLS,
    FOREIGN,
    FRODO,
    GOLLUM,
    HOST,
    ISSUING,
    KINDS,
    OTHER,
    PATIENCE,
    POLICY,
    ROOT,
    SERVER,
    TRUST,
    VERIFIER,
    AioService,
    Client,
    Reply,
    Server,
    Service,
    credential_of,
    handlers_of,
    nothing_ran,
    serving,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*")
ALL_METHODS = (*KINDS, "plain", "nobody_has_it")
EVERY = pytest.mark.parametrize("kind", ["sync", "aio"])


@pytest.fixture(scope="module", params=["sync", "aio"])
def server(request: Any) -> Generator[Server, None, None]:
    """Lend a server of each kind."""
    with serving(request.param) as running:
        yield running


@pytest.mark.parametrize("method", KINDS)
def test_the_caller_is_known_in_every_kind_of_method(server: Server, method: str) -> None:
    """Whoever the policy permits is known to the handler, by its own TLS, with the chain that it sent."""
    replies = 2 if method == "unary_stream" else 1
    assert server.ask(FRODO, method) == Reply("OK", messages=(b"frodo TLS 2",) * replies)


@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_wrong_name_runs_nothing_of_the_application(server: Server, method: str) -> None:
    """The refused see the code alone; neither handler nor reader of messages runs, and methods are not told apart."""
    reply = nothing_ran(lambda: server.ask(GOLLUM, method))
    assert reply == Reply("PERMISSION_DENIED", "name.mismatch")


def test_a_wrong_issuing_ca_runs_nothing_of_the_application(server: Server) -> None:
    """A certificate with the right name of another issuing CA below the same root is refused by the policy."""
    reply = nothing_ran(lambda: server.ask(OTHER.issue_client("frodo")))
    assert reply == Reply("PERMISSION_DENIED", "issuer.not-pinned")


@pytest.mark.parametrize("who", ["foreign", "expired", "none"])
def test_gRPC_itself_closes_the_connection_of_strangers(server: Server, who: str) -> None:  # noqa: N802 - its name
    """An unknown CA, an expired certificate and none at all end in the handshake, before there is a call."""
    now = datetime.now(UTC)
    issued = {
        "foreign": FOREIGN.issue_client("frodo"),
        "expired": ISSUING.issue_client("frodo", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)),
        "none": None,
    }[who]
    assert nothing_ran(lambda: server.ask(issued)).status == "UNAVAILABLE"


def test_only_the_admitted_learn_which_methods_there_are(server: Server) -> None:
    """An unknown method is told to who is admitted; a service that was not thought of is behind the interceptor."""
    assert server.ask(FRODO, "nobody_has_it") == Reply("UNIMPLEMENTED", "Method not found!")


def test_a_message_is_read_after_the_decision(server: Server) -> None:
    """Bytes that the reader of messages cannot take reach it from the admitted alone, and are answered as by gRPC."""
    reply = nothing_ran(lambda: server.ask(GOLLUM, "unary_unary", b"unreadable"))
    assert reply.details == "name.mismatch"
    reply = server.ask(FRODO, "unary_unary", b"unreadable")
    assert reply == Reply("INTERNAL", "Exception deserializing request!")
    assert CALLS == ["read"]


@pytest.mark.parametrize("method", KINDS)
def test_the_name_must_equal_the_one_in_the_message(server: Server, method: str) -> None:
    """The bank's case: who names himself is served; another name, and a message without one, are refusals."""
    assert server.ask(FRODO, method, b"frodo").status == "OK"
    assert server.ask(FRODO, method, b"sam") == Reply("PERMISSION_DENIED", "name.mismatch")
    assert server.ask(FRODO, method, b"\xff") == Reply("PERMISSION_DENIED", "policy.error")


def test_each_message_of_a_stream_is_asked_about(server: Server) -> None:
    """A stream that begins with the right name ends where another one comes."""
    assert server.ask(FRODO, "stream_stream", b"frodo", b"who", b"sam").details == "name.mismatch"
    assert server.ask(FRODO, "stream_unary", b"frodo", b"who").messages == (b"frodo TLS 2,frodo TLS 2",)


@pytest.mark.parametrize("method", ["unary_unary", "unary_stream"])
def test_what_the_peer_itself_refuses_is_answered_too(server: Server, method: str) -> None:
    """A handler may ask the peer in place of `require`; the answer is the same."""
    assert server.ask(FRODO, method, b"direct") == Reply("PERMISSION_DENIED", "name.mismatch")


@pytest.mark.parametrize("method", ["unary_unary", "unary_stream"])
def test_a_refusal_of_somebody_else_is_not_told_to_the_caller(server: Server, method: str) -> None:
    """What a server of the application's own calls was refused for is an error here, with its code and no names."""
    reply = server.ask(FRODO, method, b"elsewhere")
    assert reply.status == "UNKNOWN"
    assert "path.no-issuer" in reply.details
    assert "somebody" not in reply.details


def test_handlers_that_write_or_block_are_guarded_as_well() -> None:
    """In ``grpc.aio`` a coroutine may write to its context, and a plain function runs on the server's threads."""
    with serving("aio") as server:
        for method in ("writing", "blocking"):
            assert server.ask(FRODO, method).messages == (b"frodo TLS 2",)
            assert server.ask(FRODO, method, b"sam").details == "name.mismatch"
            reply = nothing_ran(lambda name=method: server.ask(GOLLUM, name))  # type: ignore[misc]
            assert reply.details == "name.mismatch"


def test_metadata_of_a_client_makes_nobody_of_anybody(server: Server) -> None:
    """Headers of proxies and names of ours in the metadata change neither a refusal nor an identity."""
    claims = [
        ("x-forwarded-client-cert", "Subject=CN=sam"), ("mtlspolicy.admission", "sam"), ("x509_common_name", "sam"),
        ("x509_pem_cert", "sam"), ("transport_security_type", "ssl"), ("client-cert", ":AAAA:"),
    ]  # fmt: skip
    assert nothing_ran(lambda: server.ask(GOLLUM, metadata=claims)).details == "name.mismatch"
    assert server.ask(FRODO, metadata=claims).messages == (b"frodo TLS 2",)


@EVERY
def test_a_chain_is_taken_from_the_client_or_from_the_store(kind: str) -> None:
    """What the client sends beside its certificate counts as material; where it sends nothing, the store must have it.

    With neither there is no path, whatever gRPC itself was told to let in.
    """
    roots = TrustStore.from_pem(ROOT.pem)
    narrow = Verifier.for_clients(trust=roots, policy=POLICY)
    wide = ours.credentials(credential=credential_of(SERVER), verifier=VERIFIER)
    pem = ROOT.pem
    alone = grpc.ssl_channel_credentials(pem, FRODO.key_pem, FRODO.certificate_pem)
    with serving(kind, narrow, credentials=wide) as server:
        assert server.ask(FRODO).messages == (b"frodo TLS 2",)
        with server.client(credentials=alone) as client:
            assert nothing_ran(client.ask) == Reply("UNAUTHENTICATED", "path.no-issuer")
    with serving(kind) as server, server.client(credentials=alone) as client:
        assert client.ask().messages == (b"frodo TLS 1",)


def test_an_issuing_ca_alone_and_registered_certificates_can_be_trusted() -> None:
    """gRPC lets in what the store says, also without a root, or one certificate byte for byte; nobody else."""
    issuing = TrustStore(anchors=[ISSUING.certificate])
    with serving("sync", Verifier.for_clients(trust=issuing, policy=POLICY)) as server:
        assert server.ask(FRODO).status == "OK"
        assert nothing_ran(lambda: server.ask(OTHER.issue_client("frodo"))).status == "UNAVAILABLE"
    known = broken("self-signed", ROOT)
    trust = TrustStore(peers=[known.der])
    registered = Verifier.for_clients(trust=trust, policy=policies.Anyone(), profile=PathProfile.DIRECT)
    with serving("sync", registered) as server:
        assert server.ask(known).messages == (b"client TLS 1",)
        assert nothing_ran(lambda: server.ask(broken("self-signed", ROOT))).status == "UNAVAILABLE"


@EVERY
@pytest.mark.parametrize("sort", ["insecure", "local"])
def test_a_port_without_tls_admits_nobody(kind: str, sort: str) -> None:
    """Plain connections and gRPC's local credentials show no certificate, and metadata is none."""
    channel = grpc.insecure_channel
    credentials: Any = None
    if sort == "local":
        credentials = grpc.local_server_credentials()

        def channel(target: str) -> Any:
            return grpc.secure_channel(target, grpc.local_channel_credentials())

    credentials = credentials or grpc.insecure_server_credentials()
    with serving(kind, credentials=credentials) as server, channel(f"{HOST}:{server.port}") as opened:
        for method in ALL_METHODS:
            reply = nothing_ran(lambda name=method: Client(opened).ask(name))  # type: ignore[misc]
            assert reply == Reply("UNAUTHENTICATED", "path.no-certificate")


def test_a_forgotten_interceptor_gives_no_peer() -> None:
    """A handler on a server without the interceptor is told so when it asks who calls."""
    credentials = ours.credentials(credential=credential_of(SERVER), verifier=VERIFIER)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=handlers_of(Service()))
        port = server.add_secure_port(f"{HOST}:0", credentials)
        server.start()
        reply = Server(port).ask(FRODO)
        server.stop(None).wait(PATIENCE)
    assert reply.status == "UNKNOWN"
    assert "no interceptor of mtlspolicy has seen" in reply.details


class _First:
    """An interceptor of somebody else, which answers by itself."""

    def intercept_service(self, *_: Any) -> Any:
        """Answer."""
        return grpc.unary_unary_rpc_method_handler(self._hello)

    @staticmethod
    def _hello(_: bytes, context: Any) -> bytes:
        try:
            ours.peer(context)
        except ValueError:
            return b"nobody"
        return b"somebody"


def test_an_interceptor_before_ours_answers_for_everybody_and_knows_nobody() -> None:
    """The order counts, as the pages say: what stands before ours runs without a decision, and has no peer."""
    with serving("sync", before=[_First()]) as server:
        assert server.ask(GOLLUM).messages == (b"nobody",)


def test_one_call_makes_a_server_that_cannot_be_left_open() -> None:
    """What `server` makes has the interceptor before those of others, and the port with TLS."""
    with ThreadPoolExecutor(2) as pool:
        made, port = ours.server(
            pool, address=f"{HOST}:0", credential=credential_of(SERVER), verifier=VERIFIER,
            interceptors=[_First()], handlers=handlers_of(Service()),
        )  # fmt: skip
        made.start()
        assert nothing_ran(lambda: Server(port).ask(GOLLUM)).details == "name.mismatch"
        assert Server(port).ask(FRODO).messages == (b"somebody",)
        made.stop(None).wait(PATIENCE)


def test_one_call_makes_a_server_of_asyncio_that_cannot_be_left_open() -> None:
    """The same for ``grpc.aio``, with a service that is added afterwards."""

    async def run() -> tuple[Reply, Reply]:
        made, port = ours.aio_server(address=f"{HOST}:0", credential=credential_of(SERVER), verifier=VERIFIER)
        made.add_generic_rpc_handlers(tuple(handlers_of(AioService())))
        await made.start()
        try:
            ask = Server(port).ask
            return await asyncio.to_thread(ask, FRODO), await asyncio.to_thread(ask, GOLLUM)
        finally:
            await made.stop(None)

    CALLS.clear()
    assert asyncio.run(run()) == (
        Reply("OK", messages=(b"frodo TLS 2",)), Reply("PERMISSION_DENIED", "name.mismatch"),
    )  # fmt: skip
    assert CALLS == ["unary_unary"]


class _Wrapping:
    """An interceptor of somebody else after ours, which gives the handler a context of its own."""

    class Context:
        """A context that passes on what it must."""

        def __init__(self, context: Any) -> None:
            self._context = context

        def auth_context(self) -> Any:
            """Return what is below."""
            return self._context.auth_context()

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wrap the handler."""
        inner = continuation(details).unary_unary
        return grpc.unary_unary_rpc_method_handler(lambda request, context: inner(request, self.Context(context)))


def test_a_context_that_another_interceptor_has_wrapped_has_the_peer() -> None:
    """The admission travels with the authentication context, which wrappers pass on."""
    with ThreadPoolExecutor(2) as pool:
        interceptors: list[Any] = [ours.Interceptor(VERIFIER), _Wrapping()]
        server = grpc.server(pool, handlers=handlers_of(Service()), interceptors=interceptors)
        port = server.add_secure_port(
            f"{HOST}:0", ours.credentials(credential=credential_of(SERVER), verifier=VERIFIER)
        )
        server.start()
        assert Server(port).ask(FRODO).messages == (b"frodo TLS 2",)
        server.stop(None).wait(PATIENCE)


@EVERY
def test_a_resumed_session_is_decided_on_anew(kind: str) -> None:
    """A session that was made while its owner was admitted gives him nothing when he no longer is."""
    from grpc.experimental import session_cache  # type: ignore[import-untyped]

    allowed: list[Any] = [POLICY]
    resumed: list[bool | None] = []

    @policies.predicate("test.resumed")
    def seen(evidence: Any) -> bool:
        resumed.append(evidence.connection.resumed)
        return True

    verifier = Verifier.for_clients(trust=TRUST, policy=lambda: allowed[0] & seen)
    sessions: Any = {"grpc.ssl_session_cache": session_cache.ssl_session_cache_lru(4)}
    with serving(kind, verifier) as server:
        for policy, status in ((POLICY, "OK"), (POLICY, "OK"), (policies.CommonName("sam"), "PERMISSION_DENIED")):
            allowed[0] = policy
            with server.client(**sessions) as client:
                assert client.ask().status == status
    assert resumed == [False, True, True]


@EVERY
def test_each_call_of_an_old_connection_is_decided_under_the_current_trust(kind: str) -> None:
    """A CA that is taken out ends the calls of connections that were opened before; a new one opens new connections."""
    new = CertificateAuthority("New")
    stores = [TRUST]
    verifier = Verifier.for_clients(trust=lambda: stores[0], policy=policies.CommonName("frodo"))
    with serving(kind, verifier) as server, server.client(FRODO) as old:
        assert old.ask().status == "OK"
        assert nothing_ran(lambda: server.ask(new.issue_client("frodo"))).status == "UNAVAILABLE"
        stores[0] = TRUST | TrustStore.from_pem(new.pem)
        assert server.ask(new.issue_client("frodo")).status == "OK"
        assert old.ask().status == "OK"
        stores[0] = TrustStore.from_pem(new.pem)
        assert nothing_ran(old.ask) == Reply("UNAUTHENTICATED", "path.no-issuer")
        assert nothing_ran(lambda: server.ask(FRODO)).status == "UNAVAILABLE"


def test_sources_that_fail_leave_the_last_configuration_and_admit_nobody() -> None:
    """While the trust cannot be had connections open as before, and each call is refused."""
    stores: list[Any] = [TRUST]
    verifier = Verifier.for_clients(trust=lambda: stores[0], policy=policies.CommonName("frodo"))
    with serving("sync", verifier) as server:
        assert server.ask(FRODO).status == "OK"
        stores[0] = None
        assert nothing_ran(lambda: server.ask(FRODO)) == Reply("PERMISSION_DENIED", "trust.unavailable")
        stores[0] = TRUST
        assert server.ask(FRODO).status == "OK"


def test_a_new_server_certificate_is_presented_to_new_connections() -> None:
    """A callable that returns the current credential is asked before each handshake."""
    current = [credential_of(FOREIGN.issue_server("localhost"))]
    credentials = ours.credentials(credential=lambda: current[0], verifier=VERIFIER)
    with serving("sync", credentials=credentials) as server:
        assert server.ask(FRODO).status == "UNAVAILABLE"  # the client does not know that CA
        current[0] = credential_of(SERVER)
        assert server.ask(FRODO).status == "OK"


def test_changing_credentials_are_for_one_port() -> None:
    """A second port with the same changing credentials is not opened, and says so."""
    credentials = ours.credentials(credential=lambda: credential_of(SERVER), verifier=VERIFIER)
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        assert server.add_secure_port(f"{HOST}:0", credentials)
        with pytest.raises(RuntimeError, match="Failed to bind"):
            server.add_secure_port(f"{HOST}:0", credentials)
        server.stop(None).wait(PATIENCE)


def test_a_client_leaves_an_impostor() -> None:
    """gRPC's own validation ends the connection to a server of another CA, and to one of another name."""
    for issued in (FOREIGN.issue_server("localhost"), ROOT.issue_server("elsewhere.test")):
        credentials = ours.credentials(credential=credential_of(issued), verifier=VERIFIER)
        with serving("sync", credentials=credentials) as server:
            assert nothing_ran(lambda here=server: here.ask(FRODO)).status == "UNAVAILABLE"  # type: ignore[misc]


@EVERY
def test_a_revoked_client_is_refused_and_a_silent_responder_is_not_his_fault(kind: str) -> None:
    """REVOKED denies; a responder that is down is UNAVAILABLE, with the time after which to try again."""
    issuing = ROOT.intermediate("Asked")
    rule = policies.NotRevoked(scope="end-entity")
    verifier = Verifier.for_clients(
        trust=TrustStore.from_pem(ROOT.pem + issuing.pem), policy=policies.CommonName("frodo") & rule
    )
    with issuing.ocsp_responder() as responder:
        good, bad, unknown = (issuing.issue_client("frodo", ocsp_url=responder.url) for _ in range(3))
        issuing.revoke(bad)
        responder.answer(unknown, status="try-later")
        port = int(responder.url.split(":")[2].split("/")[0])
        inside = revocation.Destinations(addresses=["127.0.0.0/8"], ports=[port])
        with (
            revocation.Refresher(destinations=inside) as refresher,
            serving(kind, verifier, resolver=refresher.resolver()) as server,
        ):
            assert server.ask(good).status == "OK"
            assert nothing_ran(lambda: server.ask(bad)) == Reply("PERMISSION_DENIED", "ocsp.revoked")
            reply = nothing_ran(lambda: server.ask(unknown))
    assert (reply.status, reply.details) == ("UNAVAILABLE", "ocsp.unavailable")
    assert reply.trailing == (("grpc-retry-pushback-ms", "5000"),)


def test_a_look_up_that_waits_holds_nobody_else_up() -> None:
    """In ``grpc.aio`` a call that waits for a fact lets the calls of others through on the same event loop."""
    asked, answered = threading.Event(), threading.Event()

    async def row(key: str) -> str:
        if key == "sam":
            asked.set()
            await asyncio.to_thread(answered.wait, PATIENCE)
        return key

    @policies.lookup("test.row", key=lambda path: path.end_entity.common_name, identifies=True)
    def enrolled(found: Any, _: Any) -> bool:
        return found is not None

    verifier = Verifier.for_clients(trust=TRUST, policy=enrolled)
    with (
        serving("aio", verifier, resolver=Resolver({"test.row": row}, deadline=PATIENCE)) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        CALLS.clear()
        waiting = pool.submit(server.ask, ISSUING.issue_client("sam"))
        assert asked.wait(PATIENCE)
        assert CALLS == []
        assert server.ask(FRODO).status == "OK"
        assert not waiting.done()
        answered.set()
        assert waiting.result(PATIENCE).messages == (b"sam TLS 2",)


@EVERY
def test_a_client_that_leaves_while_facts_are_looked_up_harms_nobody(kind: str) -> None:
    """A call that is given up before the decision leaves a server that serves the next one."""
    asked, answered = threading.Event(), threading.Event()

    def row(_: str) -> bool:
        asked.set()
        return answered.wait(PATIENCE)

    @policies.lookup("test.row", key=lambda path: path.end_entity.common_name, identifies=True)
    def enrolled(found: Any, _: Any) -> bool:
        return found is not None

    verifier = Verifier.for_clients(trust=TRUST, policy=enrolled)
    with serving(kind, verifier, resolver=Resolver({"test.row": row}, deadline=PATIENCE)) as server:
        with server.client(FRODO) as client:
            call = client.channel.unary_unary("/t.S/unary_unary").future(b"who")
            assert asked.wait(PATIENCE)
            call.cancel()
        answered.set()
        assert server.ask(FRODO).status == "OK"


def test_clients_that_leave_or_are_silent_in_the_handshake_hold_nobody_up(server: Server) -> None:
    """Connections that say nothing, half a record or no TLS, and those that are gone, cost the others nothing."""
    silent = [socket.create_connection((HOST, server.port), PATIENCE) for _ in range(40)]
    try:
        for number, sock in enumerate(silent):
            sock.sendall([b"", b"\x16\x03\x01\x02\x00\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / "][number % 4])
        for sock in silent[::3]:
            sock.close()
        assert server.ask(FRODO).status == "OK"
        assert nothing_ran(lambda: server.ask(GOLLUM)).details == "name.mismatch"
    finally:
        for sock in silent:
            sock.close()


def _held() -> tuple[int, int, int]:
    """Return how many threads, descriptors and admissions this process has."""
    gc.collect()
    admissions = sum(type(found) is Admission for found in gc.get_objects())
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir())), admissions


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="threads and descriptors are counted in /proc")
@EVERY
def test_a_hundred_clients_at_once_half_of_them_refused(kind: str) -> None:
    """Each gets the answer that is his, and no thread, descriptor or admission of theirs is left behind."""

    def all_at_once() -> list[Reply]:
        with serving(kind) as server, ThreadPoolExecutor(100) as pool:
            return list(pool.map(server.ask, [FRODO, GOLLUM] * 50))

    all_at_once()  # gRPC keeps threads of its own for the process
    threads, descriptors, admissions = _held()
    CALLS.clear()
    replies = all_at_once()
    assert replies == [Reply("OK", messages=(b"frodo TLS 2",)), Reply("PERMISSION_DENIED", "name.mismatch")] * 50
    assert CALLS == ["unary_unary"] * 50
    most = (threads + 25, descriptors + 25, admissions)  # gRPC starts and ends threads as it likes
    end = time.monotonic() + PATIENCE
    while any(now > limit for now, limit in zip(_held(), most, strict=True)):
        assert time.monotonic() < end, f"left behind: {_held()}, at most {most}"
        time.sleep(0.05)  # it closes connections in the background

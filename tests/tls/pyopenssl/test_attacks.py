"""Attacks on the pyOpenSSL engine: RULES 1, 2, 4, 5, 9 and 12, each as somebody would try it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from OpenSSL import SSL

from mtlspolicy import ConfigurationError, Decision, Evidence, Policy, Verdict, policies, tls
from mtlspolicy.tls import _pyopenssl_hook
from mtlspolicy.tls._latch import UNDECIDED
from mtlspolicy.tls._pyopenssl_connection import LatchedConnection
from mtlspolicy.tls._pyopenssl_surface import CONNECTION_ACCESS, ConnectionAccess

VERSIONS = {"TLSv1.2": SSL.TLS1_2_VERSION, "TLSv1.3": SSL.TLS1_3_VERSION}
_of_pyopenssl: Any = SSL.Connection


class Raising(Policy):
    """A policy that is interrupted."""

    identifies = True

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def evaluate(self, _evidence: Evidence) -> Decision:
        """Raise."""
        raise self.error


WHY_REFUSED: dict[str, dict[str, Any]] = {
    "a pin": {"policy": policies.SPKIPin("sha256/" + "A" * 43 + "=")},
    "a URI": {"expected": "spiffe://a.test/other"},
    "a name": {"expected": "other.test"},
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", WHY_REFUSED)
def test_rule_9_a_rogue_server_of_a_trusted_ca_never_sees_our_certificate(
    case: str, version: str, pki: Any, pair: Any
) -> None:
    """Pins and URIs too are judged before our certificate is sent; the server's callback is never called."""
    seen: list[str] = []
    rogue = pki.plain(pki.server_leaf, server=True, version=VERSIONS[version])

    def looks(_connection: Any, certificate: Any, *_: Any) -> bool:
        seen.append(certificate.to_cryptography().subject.rfc4514_string())
        return True

    rogue.set_verify(SSL.VERIFY_PEER, looks)
    ends = pair(rogue, pki.client(**WHY_REFUSED[case]), name=None).shake()
    assert isinstance(ends.raised["client"], tls.HandshakeRejected)
    assert isinstance(ends.raised["server"], SSL.Error), "an alert"
    assert seen == []
    welcome = pair(rogue, pki.client(expected="spiffe://a.test/server"), name=None).shake()
    assert welcome.raised == {"client": None, "server": None}
    assert "CN=frodo" in seen, "where it is the server that was meant, it does see it"


def test_rule_9_a_name_that_is_not_expected_is_refused_before_the_first_byte(pki: Any, pair: Any, lines: Any) -> None:
    """A client that dials another name than the verifier expects sends nothing at all."""
    ends = pair(pki.plain(pki.server_leaf, server=True), pki.client(), name=b"other.test")
    with pytest.raises(tls.HandshakeRejected, match=r"tls\.name-mismatch"):
        ends.client.do_handshake()
    with pytest.raises(SSL.WantReadError):
        ends.client.bio_read(1)
    assert "tls.name-mismatch" in lines()[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_rule_2_whatever_interrupts_a_decision_leaves_the_connection_refused(
    error: type[BaseException], pki: Any, pair: Any, hears: Any
) -> None:
    """pyOpenSSL would print it and go on; here it is raised where it belongs, and nothing flows afterwards."""
    ends = pair(pki.server(Raising(error)), pki.plain(pki.leaf("frodo"))).shake()
    assert type(ends.raised["server"]) is error
    assert tls.decision_of(ends.server).code == "tls.interrupted"
    for use in (lambda: ends.server.recv(1), lambda: ends.server.send(b"x"), ends.server.do_handshake):
        with pytest.raises(tls.HandshakeRejected):
            use()
    assert "alert" in hears(ends.client)


def test_rule_2_an_error_of_ours_is_a_refusal_and_never_another_connections(
    pki: Any, pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyOpenSSL keeps a callback's exception for whichever connection of the context asks next."""

    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    context = pki.server()
    waiting = pair(context, pki.plain(pki.leaf("frodo")))
    with monkeypatch.context() as patch:
        patch.setattr(_pyopenssl_hook, "_decide", fail)
        broken = pair(context, pki.plain(pki.leaf("frodo"))).shake()
    assert isinstance(broken.raised["server"], tls.HandshakeRejected)
    assert broken.raised["server"].code == "tls.interrupted"
    assert waiting.shake().raised["server"] is None


def test_rule_2_a_refused_socket_is_ended_after_the_alert(pki: Any, over_sockets: Any, beside: Any) -> None:
    """The other end reads the alert and then the end; neither direction moves a byte more."""
    told: list[str] = []

    def client() -> None:
        try:
            other.do_handshake()
            other.recv(10)
        except SSL.Error as error:
            told.append(str(error))

    with over_sockets(pki.server(), pki.plain(pki.leaf("sam"))) as (one, other):
        thread = beside(client)
        with pytest.raises(tls.HandshakeRejected):
            one.recv(10)
        thread.join(20)
        assert "alert certificate unknown" in told[0]
        assert other.__getattr__("recv")(10) == b"", "the plain socket has ended"
        with pytest.raises(SSL.Error):
            _of_pyopenssl.send(one, b"below the latch")
        with pytest.raises(SSL.Error):
            _of_pyopenssl.recv(one, 1)


def test_rule_4_a_renegotiation_shows_nobody_else(pki: Any, pair: Any) -> None:
    """A server that wants to renegotiate with TLS 1.2 gets an alert, and the callback is not asked again."""
    rogue = pki.plain(pki.server_leaf, server=True, version=SSL.TLS1_2_VERSION)
    ends = pair(rogue, pki.client()).shake()
    first = tls.peer_of(ends.client)
    assert ends.server.renegotiate()
    ends.server.do_handshake()
    ends.move()
    with pytest.raises(SSL.Error):
        ends.client.recv(10)
    ends.move()
    with pytest.raises(SSL.Error, match="no renegotiation"):
        ends.server.recv(10)
    assert tls.peer_of(ends.client) is first
    with pytest.raises(ConfigurationError, match="renegotiate"):
        ends.client.renegotiate()


def test_rule_12_another_callback_decides_nothing(pki: Any, pair: Any, lines: Any) -> None:
    """Somebody sets VERIFY_NONE or a lax callback below our class: without a recorded PERMIT there is no admission."""
    for callback in (None, lambda *_: True):
        ends = pair(pki.server(), pki.plain(pki.leaf("stranger")))
        mode = SSL.VERIFY_NONE if callback is None else SSL.VERIFY_PEER
        with pytest.raises(ConfigurationError, match="set_verify") as sealed:
            ends.server.set_verify(mode, callback)
        assert sealed.value.code == "tls.sealed"
        _of_pyopenssl.set_verify(ends.server, mode, callback)
        ends.shake()
        refused = ends.raised["server"]
        assert isinstance(refused, tls.HandshakeRejected)
        assert refused.code == "tls.no-decision"
        assert "tls.no-decision" in lines()[0]
        ends.client.send(b"GET /secret")
        ends.move()
        with pytest.raises(tls.HandshakeRejected):
            ends.server.recv(100)
        with pytest.raises(SSL.Error):
            _of_pyopenssl.recv(ends.server, 100)
        with pytest.raises(SSL.Error):
            _of_pyopenssl.send(ends.server, b"secret")


def test_rule_12_no_certificate_where_one_is_required_is_no_admission(pki: Any, pair: Any) -> None:
    """Also where somebody has taken the flag away that has OpenSSL refuse it."""
    ends = pair(pki.server(), pki.plain(None))
    _of_pyopenssl.set_verify(ends.server, SSL.VERIFY_PEER, _pyopenssl_hook.verify_peer)
    ends.shake()
    assert tls.decision_of(ends.server).code == "tls.no-decision"


@pytest.mark.parametrize("optional", ["required", "optional"])
@pytest.mark.parametrize("version", VERSIONS)
def test_rule_12_our_servers_resume_no_session(version: str, optional: str, pki: Any, pair: Any, hears: Any) -> None:
    """Tickets and session cache are off: a client that offers a session shows its certificate again."""
    context = pki.server(client_certificate=optional)
    client = pki.plain(pki.leaf("frodo"), version=VERSIONS[version])
    client.set_session_cache_mode(SSL.SESS_CACHE_CLIENT)
    first = pair(context, client).shake()
    first.server.send(b"a ticket comes before this, if at all")
    first.move()
    hears(first.client)
    session = first.client.get_session()
    second = pair(context, client)
    second.client.set_session(session)
    second.shake()
    assert second.raised == {"client": None, "server": None}
    peer = tls.peer_of(second.server)
    assert peer is not None
    assert peer.common_name == "frodo"


@pytest.mark.parametrize("version", VERSIONS)
def test_rule_12_our_clients_resume_no_session(version: str, pki: Any, pair: Any, hears: Any) -> None:
    """A resumed session shows no certificate, so no PERMIT is recorded: refused, below our class as well."""
    server = pki.plain(pki.server_leaf, server=True, version=VERSIONS[version])
    server.set_verify(SSL.VERIFY_NONE)
    client = pki.client()
    first = pair(server, client).shake()
    first.server.send(b"a ticket comes before this")
    first.move()
    assert hears(first.client) == "a ticket comes before this"
    session = first.client.get_session()
    second = pair(server, client)
    with pytest.raises(ConfigurationError, match="set_session"):
        second.client.set_session(session)
    _of_pyopenssl.set_session(second.client, session)
    second.shake()
    assert isinstance(second.raised["client"], tls.HandshakeRejected)
    assert second.raised["client"].code == "tls.no-decision"


def test_rule_5_a_callback_for_server_names_cannot_lead_away(pki: Any, pair: Any, lines: Any) -> None:
    """``set_context`` to a context without a verifier is refused in the callback, and so is the handshake."""
    lax = pki.plain(pki.server_leaf, server=True)
    context = pki.server()
    tried = []

    def elsewhere(connection: Any) -> None:
        try:
            connection.set_context(lax)
        except ConfigurationError as error:
            tried.append(error.code)
            raise

    context.set_tlsext_servername_callback(elsewhere)
    hook, sys.excepthook = sys.excepthook, lambda *_: None  # pyOpenSSL prints what its callbacks raise
    try:
        ends = pair(context, pki.plain(pki.leaf("stranger"))).shake()
    finally:
        sys.excepthook = hook
    assert tried == ["tls.sealed"]
    assert isinstance(ends.raised["server"], SSL.Error)
    assert lines()


def test_rule_5_a_context_that_was_set_below_our_class_decides_nothing(pki: Any, pair: Any) -> None:
    """The connection keeps its latch and its verifier: a lax context admits nobody."""
    lax = pki.plain(pki.server_leaf, server=True)
    lax.set_verify(SSL.VERIFY_NONE)
    ends = pair(pki.server(), pki.plain(pki.leaf("stranger")))
    _of_pyopenssl.set_context(ends.server, lax)
    ends.shake()
    assert ends.raised["server"] is not None
    with pytest.raises(ConfigurationError, match="was refused"):
        tls.peer_of(ends.server)


def test_rule_5_our_context_is_not_set_on_anothers_connection(pki: Any) -> None:
    """It would keep how its first context verifies peers; it is refused, and shut as well."""
    lax = SSL.Connection(pki.plain(pki.server_leaf, server=True), None)
    with pytest.raises(ConfigurationError, match="make the connection from this context"):
        lax.set_context(pki.server())
    with pytest.raises(tls.HandshakeRejected, match=r"tls\.unenforced-context"):
        lax.recv(1)


def test_a_second_verification_on_one_connection_is_refused(pki: Any, pair: Any) -> None:
    """The callback answers in the handshake alone, once, and for connections of ours alone."""
    ends = pair(pki.server(), pki.plain(pki.leaf("frodo"))).shake()
    certificate = ends.server.get_peer_certificate()
    assert not _pyopenssl_hook.verify_peer(ends.server, certificate, 0, 0, 1)
    assert not _pyopenssl_hook.verify_peer(ends.client, certificate, 0, 0, 1), "a plain connection"
    fresh = SSL.Connection(pki.server(), None)
    assert not _pyopenssl_hook.verify_peer(fresh, certificate, 0, 0, 1), "no handshake is going on"
    assert fresh._latch.state is UNDECIDED


@pytest.mark.parametrize("version", VERSIONS)
def test_a_permit_counts_only_when_possession_is_proved(version: str, pki: Any, pair: Any, lines: Any) -> None:
    """The policy permits a certificate that anybody may have copied; what follows must hold too."""
    ends = pair(pki.server(), pki.plain(pki.leaf("frodo"), version=VERSIONS[version]))
    with pytest.raises(SSL.WantReadError):
        ends.client.do_handshake()
    ends.move()
    with pytest.raises(SSL.WantReadError):
        ends.server.do_handshake()
    ends.move()
    if version == "TLSv1.2":
        with pytest.raises(SSL.WantReadError):
            ends.client.do_handshake()
    else:
        ends.client.do_handshake()
    flight = ends.client.bio_read(65536)
    handshake: Any = ends.server._handshake
    number = 0
    while handshake.outcome is None:
        ends.server.bio_write(flight[number : number + 1])
        with pytest.raises(SSL.WantReadError):
            ends.server.do_handshake()
        number += 1
    assert number < len(flight) - 1
    assert handshake.outcome.decision.verdict is Verdict.PERMIT
    for ask in (tls.peer_of, tls.decision_of, LatchedConnection.get_peer_certificate):
        with pytest.raises(ConfigurationError, match="undecided"):
            ask(ends.server)
    with pytest.raises(SSL.WantReadError):
        ends.server.recv(100)
    ends.server.bio_write(bytes(len(flight) - number))
    with pytest.raises(SSL.Error):
        ends.server.recv(100)
    assert tls.decision_of(ends.server).verdict is not Verdict.PERMIT
    with pytest.raises(tls.HandshakeRejected):
        ends.server.recv(100)
    assert len(lines()) == 1


def test_a_handshake_is_not_begun_again(pki: Any, pair: Any) -> None:
    """set_connect_state and set_accept_state after the beginning would start another handshake on the same object."""
    ends = pair(pki.server(), pki.client()).shake()
    for end in (ends.server, ends.client):
        for begin in (end.set_accept_state, end.set_connect_state):
            with pytest.raises(ConfigurationError, match="another handshake"):
                begin()
    running = pair(pki.server(), pki.client())
    with pytest.raises(SSL.WantReadError):
        running.client.do_handshake()
    with pytest.raises(ConfigurationError, match="another handshake"):
        running.client.set_connect_state()


def test_a_callback_inside_the_handshake_moves_no_data(pki: Any, pair: Any) -> None:
    """A callback for server names that reads or asks gets an error, not a handshake inside the handshake."""
    context, raised = pki.server(), []

    def nosy(connection: Any) -> None:
        for name in ("recv", "get_peer_certificate"):
            try:
                getattr(connection, name)(*ARGUMENTS.get(name, ()))
            except ConfigurationError as error:
                raised.append(error.code)

    context.set_tlsext_servername_callback(nosy)
    assert pair(context, pki.plain(pki.leaf("frodo"))).shake().raised["server"] is None
    assert raised == ["tls.undecided", "tls.undecided"]


def test_rule_7_a_peer_comes_from_the_connection_itself(pki: Any, pair: Any) -> None:
    """A plain connection has none, and a certificate that changed after the decision shuts the connection."""
    ends = pair(pki.server(), pki.plain(pki.leaf("frodo"))).shake()
    with pytest.raises(ConfigurationError, match="no TLS connection of a context that has a verifier"):
        tls.peer_of(ends.client)
    ends.server._latch.presented = tls.presented_by(pair(pki.server(), pki.client()).shake().client)
    with pytest.raises(tls.HandshakeRejected, match=r"tls\.peer-changed"):
        tls.peer_of(ends.server)
    with pytest.raises(tls.HandshakeRejected):
        ends.server.send(b"x")


def test_rule_1_every_name_of_a_connection_is_classified() -> None:
    """A method that a newer pyOpenSSL has added fails here until somebody has thought about it."""
    public = {name for name in dir(SSL.Connection) if not name.startswith("_")}
    assert public <= CONNECTION_ACCESS.keys(), "classify these in _pyopenssl_surface"


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "send": (b"x",), "sendall": (b"x",), "write": (b"x",), "recv": (1,), "read": (1,), "recv_into": (bytearray(1),),
    "export_keying_material": (b"label", 32), "connect": (("127.0.0.1", 1),), "connect_ex": (("127.0.0.1", 1),),
    "set_verify": (SSL.VERIFY_NONE, None), "set_context": (None,), "set_session": (None,),
}  # fmt: skip
GUARDED = sorted(
    name for name, access in CONNECTION_ACCESS.items()
    if access not in {ConnectionAccess.OPEN, ConnectionAccess.OWN} and hasattr(SSL.Connection, name)
)  # fmt: skip


@pytest.mark.parametrize("name", GUARDED)
def test_rule_1_nothing_passes_while_undecided_or_refused(name: str, pki: Any, pair: Any) -> None:
    """Every guarded method, before the handshake is over and after a refusal: no byte, no identity, no keys."""
    given = ARGUMENTS.get(name, ())
    ends = pair(pki.server(), pki.plain(pki.leaf("sam")))
    access = CONNECTION_ACCESS[name]
    if access is ConnectionAccess.DATA:
        with pytest.raises(SSL.WantReadError):
            getattr(ends.server, name)(*given)
    elif access is not ConnectionAccess.START:
        with pytest.raises(ConfigurationError):
            getattr(ends.server, name)(*given)
    ends.shake()
    with pytest.raises((tls.HandshakeRejected, ConfigurationError)):
        getattr(ends.server, name)(*given)


def test_a_class_that_a_program_has_derived_gets_the_latch_too(pki: Any) -> None:
    """Whoever calls ``Connection(context, ...)``, and of whatever class: it is latched while it is made."""

    class Derived(SSL.Connection):
        def greeting(self) -> bytes:
            return b"hello"

    made: Any = Derived(pki.server(), None)
    assert isinstance(made, LatchedConnection)
    assert isinstance(made, Derived)
    assert made.greeting() == b"hello"
    assert type(made) is type(Derived(pki.server(), None))
    assert type(type(made)(pki.server(), None)) is type(made)
    made.set_accept_state()
    with pytest.raises(SSL.WantReadError):
        made.recv(1)


def test_connections_that_are_made_in_an_unknown_way_are_refused(pki: Any) -> None:
    """Should a pyOpenSSL make them otherwise, nothing is admitted without a latch."""
    with pytest.raises(ConfigurationError, match="not known"):
        pki.server()._used = True

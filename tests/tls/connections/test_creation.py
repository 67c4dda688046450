"""RULES 6(e): whoever puts other classes on a context, or goes around those on it, gets no connection from it."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import weakref
from contextlib import suppress
from typing import Any, cast

import pytest

from mtlspolicy import Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls import _cpython
from mtlspolicy.tls._object import LatchedObject

OTHERS = policies.CommonName("nobody who connects here")


def ours(how: str, side: str, pki: Any) -> ssl.SSLContext:
    """Return a context whose policy refuses every peer that the tests have, from a builder or enforced."""
    if side == "server":
        if how == "built":
            built: ssl.SSLContext = pki.server(OTHERS)
            return built
        context: ssl.SSLContext = pki.plain_server()
        tls.enforce(context, pki.clients(OTHERS))
        return context
    verifier = Verifier.for_servers(trust=pki.trust, expected="localhost", policy=OTHERS)
    if how == "built":
        return tls.client_context(credential=pki.credential("frodo"), verifier=verifier)
    context = pki.plain_client()
    tls.enforce(context, verifier)
    return context


def set_back(context: ssl.SSLContext) -> None:
    """Put the classes of the standard library on *context*, as a library does that knows of no others."""
    context.sslsocket_class, context.sslobject_class = ssl.SSLSocket, ssl.SSLObject


def delete(context: ssl.SSLContext) -> None:
    """Take our classes away, so that those of the class ssl.SSLContext hold again."""
    del context.sslsocket_class, context.sslobject_class


def set_back_and_more(context: ssl.SSLContext) -> None:
    """Rewrite everything that urllib3 and frameworks rewrite, so that no trace of us is left among the settings."""
    set_back(context)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        context.sni_callback = lambda *_: None


ways = pytest.mark.parametrize("way", [set_back, delete, set_back_and_more])
hows = pytest.mark.parametrize("how", ["built", "enforced"])


@ways
@hows
@pytest.mark.parametrize("side", ["server", "client"])
def test_classes_set_back_make_no_object_that_asks_no_policy(
    side: str, how: str, way: Any, pki: Any, pair: Any, lines: Any
) -> None:
    """The context refuses to make a TLS object for an SSLObject without a latch; no byte is sent, a line is logged."""
    context = ours(how, side, pki)
    way(context)
    contexts = (context, pki.plain_client()) if side == "server" else (pki.plain_server(), context)
    with pytest.raises(tls.HandshakeRejected) as caught:
        pair(*contexts, "localhost")
    assert caught.value.code == "tls.context-changed"
    assert "sslobject_class" in str(caught.value)
    assert [line.split(": ")[1] for line in lines()] == ["tls.context-changed"]


@ways
@hows
def test_classes_set_back_make_no_server_socket_that_asks_no_policy(
    how: str, way: Any, pki: Any, version: Any, lines: Any
) -> None:
    """A connection that is wrapped afterwards is closed, whether it would shake hands at once or later."""
    context = ours(how, "server", pki)
    way(context)
    for at_once in (True, False):
        near, far = socket.socketpair()
        with pytest.raises(tls.HandshakeRejected, match="sslsocket_class"):
            context.wrap_socket(near, server_side=True, do_handshake_on_connect=at_once)
        far.settimeout(20)
        with (
            pytest.raises(OSError, match=r".+"),
            pki.plain_client("frodo", version).wrap_socket(far, server_hostname="localhost") as client,
        ):
            client.recv(10)
    assert len(lines()) == 2


@ways
@hows
def test_classes_set_back_make_no_client_socket_that_asks_no_policy(how: str, way: Any, pki: Any, lines: Any) -> None:
    """Connected before it is wrapped or after: nothing is sent, and the line names the server's address."""
    context = ours(how, "client", pki)
    way(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with pytest.raises(tls.HandshakeRejected):
            context.wrap_socket(socket.create_connection(address, timeout=20), server_hostname="localhost")
        later = context.wrap_socket(socket.socket(), server_hostname="localhost")
        with later, pytest.raises(tls.HandshakeRejected):
            later.connect(address)
        listener.settimeout(20)
        accepted, _ = listener.accept()
        accepted.settimeout(20)
        with accepted, suppress(ConnectionResetError):
            assert accepted.recv(10) == b""
        listener.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            listener.accept()  # the other one has not even called
    assert lines()[0].startswith(f"WARNING refused 127.0.0.1:{address[1]}: tls.context-changed")


@ways
def test_a_listener_wrapped_after_the_classes_were_set_back_serves_nobody(way: Any, pki: Any) -> None:
    """The plain listening socket that comes of it gets no connection out of the context."""
    context = pki.server(OTHERS)
    way(context)
    with context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:
        assert type(listener) is ssl.SSLSocket
        with socket.create_connection(listener.getsockname(), timeout=20) as client:
            with pytest.raises(tls.HandshakeRejected):
                listener.accept()
            assert client.recv(10) == b""


@ways
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_classes_set_back_serve_nobody_on_an_event_loop(loop: str, way: Any, pki: Any, version: Any) -> None:
    """asyncio and uvloop end the connection before the handshake, and the application is never called."""
    context, reached = pki.server(OTHERS), []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(await reader.read(10))
        writer.close()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            way(context)
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(OSError, match=r".*"):
                await asyncio.open_connection(
                    "127.0.0.1", port, ssl=pki.plain_client("frodo", version), server_hostname="localhost"
                )

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(main())
    else:
        asyncio.run(main())
    assert reached == []


def test_a_framework_that_calls_the_standard_class_itself_gets_nothing(pki: Any) -> None:
    """eventlet calls SSLSocket._create with our context and changes the class of what it gets; it gets nothing."""

    class Green(ssl.SSLSocket):
        """A socket of another library's."""

    for kind in (ssl.SSLSocket, Green):
        near, far = socket.socketpair()
        create: Any = kind._create  # type: ignore[attr-defined]
        with far, pytest.raises(tls.HandshakeRejected, match=kind.__name__):
            create(sock=near, server_side=True, do_handshake_on_connect=False, context=pki.server())
        assert near.fileno() == -1
    bare: Any = pki.server()
    with pytest.raises(tls.HandshakeRejected, match="NoneType"):
        bare._wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)


def test_an_owner_that_lies_about_its_class_gets_nothing(pki: Any) -> None:
    """What an object says of itself by __class__ does not count."""

    class Liar:
        __class__ = cast("Any", LatchedObject)

    assert isinstance(Liar(), LatchedObject)
    bare: Any = pki.server()
    with pytest.raises(tls.HandshakeRejected, match="Liar"):
        bare._wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True, owner=Liar())


def test_every_object_of_this_python_comes_from_the_two_methods(pki: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose ssl makes TLS objects in another way fails here: the guard would stand beside the road."""
    made: list[str] = []
    for name in _cpython.CREATORS:
        own = getattr(ssl.SSLContext, name)

        def count(*args: Any, name: str = name, own: Any = own, **kwargs: Any) -> Any:
            made.append(name)
            return own(*args, **kwargs)

        monkeypatch.setattr(ssl.SSLContext, name, count, raising=False)
    server, client = pki.plain_server(), pki.plain_client()
    server.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    near, far = socket.socketpair()
    with server.wrap_socket(near, server_side=True, do_handshake_on_connect=False), far:
        pass
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        client.wrap_socket(socket.socket(), server_hostname="localhost", do_handshake_on_connect=False) as later,
    ):
        later.connect(listener.getsockname())
    assert made == ["_wrap_bio", "_wrap_socket", "_wrap_socket"]


@pytest.mark.parametrize("name", _cpython.CREATORS)
def test_a_context_that_makes_its_objects_in_its_own_way_is_not_enforced(name: str, pki: Any) -> None:
    """A subclass or an instance that replaces what we guard is refused, and so is a patched standard library."""
    own = {name: lambda *_: None}
    context: ssl.SSLContext = type("Own", (ssl.SSLContext,), own)(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ConfigurationError, match=rf"Own\.{name}") as caught:
        tls.enforce(context, pki.clients())
    assert caught.value.code == "tls.foreign-class"
    context = pki.plain_server()
    setattr(context, name, None)
    with pytest.raises(ConfigurationError, match=name):
        tls.enforce(context, pki.clients())


def test_a_context_is_plain_and_goes_when_nobody_holds_it(pki: Any) -> None:
    """type(context) is ssl.SSLContext, which libraries ask for (anyio), and the guard keeps no context alive."""
    context = pki.server()
    assert type(context) is ssl.SSLContext
    watched = weakref.ref(context)
    del context
    gc.collect()
    assert watched() is None


def test_a_peer_whose_address_cannot_be_had_is_refused_all_the_same(pki: Any, caplog: Any) -> None:
    """A socket that is reset while it is wrapped has no address any more; the line says so."""
    caplog.set_level(logging.WARNING, logger="mtlspolicy.connection")
    context = pki.server()
    bare: Any = context
    with socket.socket() as unconnected, pytest.raises(tls.HandshakeRejected):
        bare._wrap_socket(unconnected, server_side=True)
    assert "address unknown: tls.context-changed" in caplog.text

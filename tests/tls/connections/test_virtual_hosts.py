"""RULES 5: behind one listener the policy of the host that was reached decides, and a host without one is refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._virtual_hosts import normal_host

SAM = policies.CommonName("sam")


def swap(context: ssl.SSLContext, other: ssl.SSLContext) -> ssl.SSLContext:
    """Have a context lead to another one for every name, as a callback of one's own does."""

    def choose(connection: Any, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = other

    context.sni_callback = choose
    return context


def enforced(pki: Any, policy: Any, other: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """Return a context that was built by hand, leads to another one, and was enforced last."""
    context: ssl.SSLContext = pki.plain_server()
    if other is not None:
        swap(context, other)
    tls.enforce(context, pki.clients(policy))
    return context


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [("frodo", "sam", "name.mismatch"), ("sam", "frodo", None), ("sam", None, "tls.unenforced-context")],
    ids=["lax-strict", "strict-lax", "foreign"],
)
def test_rule_5_in_memory(
    first: str, second: str | None, wanted: str | None, pki: Any, pair: Any, version: ssl.TLSVersion
) -> None:
    """The first context's policy neither admits nor refuses for the second; one without a verifier is refused."""
    other = pki.plain_server() if second is None else enforced(pki, policies.CommonName(second))
    ends = pair(enforced(pki, policies.CommonName(first), other), pki.plain_client("frodo", version), "localhost")
    if wanted is None:
        ends.shake()
        assert tls.peer_of(ends.server).common_name == "frodo"  # type: ignore[union-attr]
    else:
        with pytest.raises(tls.HandshakeRejected) as caught:
            ends.shake()
        assert caught.value.code == wanted


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [("frodo", "sam", "name.mismatch"), ("sam", "frodo", None), ("sam", None, "tls.unenforced-context")],
    ids=["lax-strict", "strict-lax", "foreign"],
)
def test_rule_5_on_sockets(
    first: str, second: str | None, wanted: str | None, pki: Any, serving: Any, version: ssl.TLSVersion
) -> None:
    """The same through a listening socket and threads."""
    other = pki.plain_server() if second is None else enforced(pki, policies.CommonName(second))
    with serving(enforced(pki, policies.CommonName(first), other)) as server:
        raw = socket.create_connection(server.address, timeout=20)
        try:
            with pki.plain_client("frodo", version).wrap_socket(raw, server_hostname="localhost") as client:
                client.sendall(b"x")
                assert client.recv(100) == (b"you are frodo: x" if wanted is None else b"")
        except OSError:
            assert wanted is not None
        assert getattr(server.result(), "code", None) == wanted


@pytest.mark.parametrize(("host", "admitted"), [("a.test", "sam"), ("b.test", "frodo"), ("localhost", "frodo")])
def test_rule_5_on_asyncio(host: str, admitted: str, pki: Any, version: ssl.TLSVersion) -> None:
    """With virtual_hosts each host admits its own clients; a name that is not listed gets the default context."""
    context = pki.server(options=tls.ServerOptions(virtual_hosts={"a.test": pki.server(SAM)}))

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = tls.peer_of(writer)
        assert peer is not None
        name = peer.connection.server_name
        writer.write(f"{peer.common_name} at {name}".encode())
        writer.close()

    async def ask(port: int, name: str) -> bytes:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=pki.plain_client(name, version), server_hostname=host
            )
            answer = await reader.read()
            writer.close()
        except OSError:
            return b""
        return answer

    async def main() -> list[bytes]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            return [await ask(port, name) for name in ("frodo", "sam")]

    answers = asyncio.run(main())
    other = "sam" if admitted == "frodo" else "frodo"
    assert answers[("frodo", "sam").index(admitted)] == f"{admitted} at {host}".encode()
    assert answers[("frodo", "sam").index(other)] == b""


def test_a_client_that_names_no_host_gets_the_default(pki: Any, pair: Any) -> None:
    """THREATS 1, no SNI: the default context decides."""
    context = pki.server(options=tls.ServerOptions(virtual_hosts={"a.test": pki.server(SAM)}))
    client = pki.plain_client()
    client.check_hostname = False
    ends = pair(context, client, None)
    ends.shake()
    peer = tls.peer_of(ends.server)
    assert peer is not None
    assert peer.connection.server_name is None


@pytest.mark.parametrize("name", ["A.TEST", "a.test.", "A.Test."])
def test_names_are_compared_in_lower_case_without_a_final_dot(name: str, pki: Any, pair: Any) -> None:
    """THREATS 1, mixed case and trailing dot: they reach the same host."""
    context = pki.server(options=tls.ServerOptions(virtual_hosts={"a.test": pki.server(SAM)}))
    client = pki.plain_client("sam")
    client.check_hostname = False
    ends = pair(context, client, name)
    ends.shake()
    assert tls.peer_of(ends.server).common_name == "sam"  # type: ignore[union-attr]


def test_letters_outside_ascii_do_not_fold() -> None:
    """The Kelvin sign is no k, and a name that is no text is none."""
    assert normal_host("\u212a.test") == "\u212a.test"
    assert normal_host("K.TEST.") == "k.test"
    assert normal_host(None) == ""


def test_verify_mode_of_the_default_cannot_let_in_to_a_strict_host(pki: Any) -> None:
    """THREATS 1, verify_mode not swapped: contexts of different modes refuse to be built together."""
    strict = pki.server(SAM)
    with pytest.raises(ConfigurationError, match="CERT_REQUIRED and the default context CERT_OPTIONAL"):
        pki.server(client_certificate="optional", options=tls.ServerOptions(virtual_hosts={"a.test": strict}))


def test_a_client_without_certificate_is_refused_by_a_strict_host_behind_an_optional_one(pki: Any, pair: Any) -> None:
    """Where a callback leads from optional to required, OpenSSL lets everybody in and the host's verifier does not."""
    lax = pki.plain_server(verify_mode=ssl.CERT_OPTIONAL)
    swap(lax, pki.server())
    tls.enforce(lax, pki.clients(), client_certificate="optional")
    ends = pair(lax, pki.plain_client(None), "localhost")
    with pytest.raises(tls.HandshakeRejected) as caught:
        ends.shake()
    assert caught.value.code == "path.no-certificate"


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (lambda pki: {"a b": pki.server()}, "no DNS name"),
        (lambda pki: {"a.test:443": pki.server()}, "no DNS name"),
        (lambda pki: {"127.0.0.1": pki.server()}, "no DNS name"),
        (lambda pki: {7: pki.server()}, "no DNS name"),
        (lambda pki: {"a.test": pki.server(), "A.TEST.": pki.server()}, "there twice"),
        (lambda pki: {"a.test": pki.plain_server()}, "no verifier of clients"),
        (lambda pki: {"a.test": pki.client()}, "no verifier of clients"),
        (lambda _: {"a.test": "context"}, "no verifier of clients"),
        (lambda pki: {"a.test": pki.server(hardening=tls.Hardening.MODERN)}, "versions of TLS"),
        (
            lambda pki: {"a.test": pki.server(options=tls.ServerOptions(virtual_hosts={"b.test": pki.server()}))},
            "virtual hosts of its own",
        ),
    ],
)
def test_hosts_that_cannot_stand_behind_one_listener_are_refused(hosts: Any, message: str, pki: Any) -> None:
    """Each mistake in the table of hosts is an error when the context is built."""
    with pytest.raises(ConfigurationError, match=message):
        pki.server(options=tls.ServerOptions(virtual_hosts=hosts(pki)))


def test_an_issuing_ca_as_anchor_of_a_virtual_host_works(pki: Any, pair: Any) -> None:
    """OpenSSL takes the verification flags of the default context, so it is given those that a host needs."""
    issuing = pki.ca.intermediate("Issuing CA")
    leaf = issuing.issue_client("gimli")
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[issuing.certificate]), policy=policies.CommonName("gimli")
    )
    inner = tls.server_context(credential=pki.credential(), verifier=verifier)
    context = pki.server(options=tls.ServerOptions(virtual_hosts={"a.test": inner}))
    client = pki.plain_client(None)
    client.load_cert_chain(*leaf.files(pki.folder))
    ends = pair(context, client, "a.test")
    ends.shake()
    assert tls.peer_of(ends.server).common_name == "gimli"  # type: ignore[union-attr]

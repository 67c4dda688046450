"""Two clients, two servers, one CA above all: A reaches A and not B, B reaches B and not A, by each kind of identity.

On blocking sockets (a threaded server) and on asyncio streams, with contexts that we built and with ordinary ones on
which a verifier is enforced; decided by the servers on their clients, and by the clients on their servers.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import Policy, ReferenceIdentifier, TrustStore, Verifier, policies, tls
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

from .conftest import Lines, Until, credential_of  # noqa: TID252 - tests are no package that could be named
from .serving import HOST, serving  # noqa: TID252 - the same

REQUEST: Final = b"GET / HTTP/1.0\r\n\r\n"
SECONDS: Final = 20.0
NAMES: Final = ("alpha", "beta")
Policies: TypeAlias = "Callable[[IssuedCertificate], Policy]"


@dataclass(frozen=True)
class Identity:
    """A kind of identity: how certificates differ in it, what tells them apart, and the code where it is another's.

    Attributes:
        distinct: Options of the two certificates, by name; all else in them is the same.
        by_ca: Whether they come from different issuing CAs.
        policy: The policy that means the peer with a certificate.
        code: Of the refusal by a server.
        expected: Whom a client expects, by name; ``localhost``, and the policy besides, where it is no name.
        client_code: Of the refusal by a client, where it is another one.
    """

    distinct: Callable[[str], dict[str, Any]]
    policy: Policies
    code: str
    _: KW_ONLY
    by_ca: bool = False
    expected: Callable[[str], Any] | None = None
    client_code: str = ""


KEYS: Final = CertificateAuthority("a key for both").key
IDENTITIES: Final = {
    "issuing CA": Identity(
        lambda _: {}, lambda leaf: policies.IssuerPin(leaf.chain[1]), "issuer.not-pinned", by_ca=True
    ),
    "CN": Identity(
        lambda name: {"common_name": name}, lambda leaf: policies.CommonName.of(leaf.certificate), "name.mismatch",
        expected=ReferenceIdentifier.common_name, client_code="identity.mismatch",
    ),
    "SAN": Identity(
        lambda name: {"dns": [f"{name}.example"]}, lambda leaf: policies.DNSName.of(leaf.certificate), "name.mismatch",
        expected=lambda name: f"{name}.example", client_code="tls.openssl-name-mismatch",
    ),
    "SPIFFE ID": Identity(
        lambda name: {"uris": [f"spiffe://example.org/{name}"]}, lambda leaf: policies.SpiffeID.of(leaf.certificate),
        "name.mismatch", expected=lambda name: f"spiffe://example.org/{name}", client_code="identity.mismatch",
    ),
    "serial": Identity(
        lambda name: {"serial": 0x51 + NAMES.index(name)},
        lambda leaf: policies.SerialNumbers(issuer=leaf.chain[1], serials={leaf.certificate.serial_number}),
        "serial.mismatch",
    ),
    "SPKI pin": Identity(lambda _: {}, lambda leaf: policies.SPKIPin.of(leaf.certificate), "pin.mismatch"),
    "certificate pin": Identity(
        lambda _: {"key": KEYS}, lambda leaf: policies.CertificatePin.of(leaf.certificate), "pin.mismatch"
    ),
}  # fmt: skip


class Network:
    """One root, two issuing CAs below it, and certificates for a kind of identity."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = CertificateAuthority("Network Root")
        self.issuing = {name: self.root.intermediate(f"Issuing CA {name}") for name in NAMES}
        self.trust = TrustStore(anchors=[self.root.certificate])
        self.client = self.issuing["alpha"].issue_client("somebody")
        self.server = self.issuing["alpha"].issue_server("localhost")

    def leaves(self, identity: Identity, role: str) -> dict[str, IssuedCertificate]:
        """Issue the two certificates of *role*, "client" or "server"."""
        found = {}
        for name in NAMES:
            authority: Any = self.issuing[name if identity.by_ca else "alpha"]
            options = identity.distinct(name)
            if role == "client":
                found[name] = authority.issue_client(**{"common_name": "somebody", **options})
            elif "common_name" in options:
                # RFC 9525: the common name of a server counts at most where it has no subjectAltName.
                found[name] = authority.issue_client(**options, eku=[ExtendedKeyUsageOID.SERVER_AUTH])
            else:
                found[name] = authority.issue_server("localhost", **options)
        return found

    def context(self, how: str, leaf: IssuedCertificate, verifier: Verifier) -> ssl.SSLContext:
        """Return a context with *leaf* and *verifier*: one that we built, or an ordinary one that is enforced."""
        server_side = verifier.peer_role == "client"
        if how == "built":
            build: Any = tls.server_context if server_side else tls.client_context
            context: ssl.SSLContext = build(credential=credential_of(leaf), verifier=verifier)
            return context
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT)
        context.load_cert_chain(*leaf.files(self.folder))
        context.verify_mode = ssl.CERT_REQUIRED
        if any(reference.kind not in {"dns", "ip"} for reference in verifier.expected):
            context.check_hostname = False  # of the kinds of names OpenSSL knows these two alone
        tls.enforce(context, verifier)
        return context


def by_socket(port: int, context: ssl.SSLContext, dialed: str) -> bytes:
    """Ask over a blocking socket and return the answer."""
    received = b""
    with context.wrap_socket(socket.create_connection((HOST, port), SECONDS), server_hostname=dialed) as connection:
        connection.sendall(REQUEST)
        while part := connection.recv(4096):
            received += part
    return received


def by_asyncio(port: int, context: ssl.SSLContext, dialed: str) -> bytes:
    """Ask over asyncio streams and return the answer."""

    async def main() -> bytes:
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=dialed)
        try:
            writer.write(REQUEST)
            return await reader.read()
        finally:
            writer.close()

    return asyncio.run(main())


TRANSPORTS: Final = {"sockets": ("http.server", by_socket), "asyncio": ("asyncio", by_asyncio)}
pytestmark = [
    pytest.mark.parametrize("identity", IDENTITIES.values(), ids=IDENTITIES),
    pytest.mark.parametrize("transport", TRANSPORTS),
    pytest.mark.parametrize("how", ["built", "enforced"]),
]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Return the PKI of all tests here."""
    return Network(tmp_path_factory.mktemp("network"))


def test_servers_decide_on_their_clients(
    network: Network, until: Until, identity: Identity, transport: str, how: str
) -> None:
    """Each server admits the client that it means, and the other one, of the same CA, gets no answer."""
    kind, ask = TRANSPORTS[transport]
    leaves = network.leaves(identity, "client")
    reach = Verifier.for_servers(trust=network.trust, expected="localhost")
    clients = {name: network.context(how, leaf, reach) for name, leaf in leaves.items()}
    for server in NAMES:
        verifier = Verifier.for_clients(trust=network.trust, policy=identity.policy(leaves[server]))
        with serving(kind, network.context(how, network.server, verifier)) as port:
            for client in NAMES:
                try:
                    answer = ask(port, clients[client], "localhost")
                except OSError:  # a connection that ends shows in several ways
                    answer = b""
                assert answer.startswith(b"HTTP/1.1 200 OK") is (client == server)
                assert not answer or client == server
    assert len(until(identity.code)) == 2


def test_clients_decide_on_their_servers(
    network: Network, lines: Lines, identity: Identity, transport: str, how: str
) -> None:
    """Each client asks the server that it means, and refuses the other one, of the same CA, before it sends a byte."""
    kind, ask = TRANSPORTS[transport]
    code = identity.client_code or identity.code
    leaves = network.leaves(identity, "server")
    admit = Verifier.for_clients(trust=network.trust, policy=policies.CommonName("somebody"))
    for client, server in product(NAMES, NAMES):
        expected = "localhost" if identity.expected is None else identity.expected(client)
        policy = None if identity.expected is not None else identity.policy(leaves[client])
        verifier = Verifier.for_servers(trust=network.trust, expected=expected, policy=policy)
        context = network.context(how, network.client, verifier)
        dialed = expected if expected == f"{client}.example" else "localhost"
        with serving(kind, network.context(how, leaves[server], admit)) as port:
            if client == server:
                assert ask(port, context, dialed).startswith(b"HTTP/1.1 200 OK")
                continue
            with pytest.raises(tls.HandshakeRejected) as caught:
                ask(port, context, dialed)
            assert caught.value.code == code
    assert len([line for line in lines() if line.startswith("refused ") and f": {code}: " in line]) == 2

"""A program that serves pages with Twisted over pyOpenSSL, of the files in its folder: it prints its port."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from attrs import astuple
from twisted.internet import interfaces, reactor
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web import resource, server

from mtlspolicy import Decision, Resolver, TrustStore, VerificationError, Verifier, policies, revocation, tls


def note(decision: Decision) -> None:
    """Write the code of a decision into a file."""
    with Path("codes").open("a", encoding="ascii") as file:
        file.write(f"{decision.code}\n")


def made_context() -> Any:
    """Return a context that admits the names in a file, of the issuing CA, unless its CRL names them.

    Nobody waits for the CRL in a handshake: it is read meanwhile, and a client that comes again is judged on it.
    """
    names = policies.CommonName(lambda: Path("names").read_text(encoding="ascii").split())
    issuer = policies.IssuerPin.from_file("issuing.pem")
    policy = names & issuer & policies.NotRevoked("crl", scope="end-entity")
    verifier = Verifier.for_clients(trust=TrustStore.from_file("root.pem"), policy=policy).observed_by(note)
    lists = revocation.crls_source(revocation.CRLFiles("list.crl"))
    options = tls.ServerOptions(engine="pyopenssl", resolver=Resolver({revocation.CRL: lists}))
    credential = tls.Credential.from_files("server.pem", "server.key")
    return tls.server_context(credential=credential, verifier=verifier, options=options)


CONTEXT: Any = made_context()
implementer: Final[Any] = import_module("zope.interface").implementer


@implementer(interfaces.IOpenSSLServerConnectionCreator)
class Creator:
    """Makes each connection from the context."""

    def serverConnectionForTLS(self, protocol: Any) -> Any:  # noqa: N802 - Twisted's name
        """Return a connection."""
        return CONTEXT.connection(peername=lambda: astuple(protocol.transport.getPeer())[1:])


class Page(resource.Resource):
    """Tells a caller who he is; ``/sam`` is for sam."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def render_GET(self, request: Any) -> bytes:  # noqa: N802 - Twisted's name
        """Answer."""
        peer = tls.peer_of(request.channel.transport)
        assert peer is not None
        try:
            if request.path == b"/sam":
                peer.require(policies.CommonName("sam"))
        except VerificationError as error:
            request.setResponseCode(error.http_status)
            return json.dumps({"error": error.code}).encode("ascii")
        with Path("runs").open("ab") as file:
            file.write(b"x")
        return json.dumps({"peer": peer.common_name}).encode("ascii")


if __name__ == "__main__":
    run: Any = reactor
    make: Any = TLSMemoryBIOFactory
    site: Any = server.Site
    page: Any = Page
    port = run.listenTCP(0, make(Creator(), False, site(page(), timeout=20)), interface="127.0.0.1")  # noqa: FBT003
    print(port.getHost().port, flush=True)  # noqa: T201 - what it was started for
    run.run()

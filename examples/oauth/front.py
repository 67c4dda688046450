"""Where TLS ends: in this program, or in nginx before it (``BEHIND=nginx``), as the page on nginx sets it up.

Clients are not told apart here: each is judged by the registration of its client_id, or by what its token is bound to.
So certificates are optional, and any certificate of the clients' CA will do.
"""

from __future__ import annotations

import os
from typing import Any

from mtlspolicy import TrustStore, Verifier, forwarded, policies, tls
from mtlspolicy.integrations import asgi, uvicorn

CLIENTS = TrustStore.from_file("clients-ca.pem")


def serve(app: Any, *, port: int) -> None:
    """Serve *app* on loopback until the process is told to stop."""
    verifier = Verifier.for_clients(trust=CLIENTS, policy=policies.Anyone())
    if os.environ.get("BEHIND") == "nginx":
        nginx = forwarded.nginx(trusted=["127.0.0.1/32"])
        uvicorn.run(asgi.Middleware(app, source=nginx, verifier=verifier, required=False), port=port)
        return
    credential = tls.Credential.from_files("server.pem", "server.key")
    context = tls.server_context(credential=credential, verifier=verifier, client_certificate="optional")
    uvicorn.run(asgi.Middleware(app, source="connection", required=False), context=context, port=port)

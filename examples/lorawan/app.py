"""Gateways of many tenants behind Envoy: each is admitted under its tenant's CAs, and only as the EUI in its CN."""

from __future__ import annotations

from typing import Any

import lns
from eui import EUI
from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from mtlspolicy import Policy, Verifier, forwarded, policies
from mtlspolicy.integrations import asgi, uvicorn
from mtlspolicy.tenants import TenantTrust

tenants = TenantTrust.from_directory("trust")
GATEWAYS = policies.CommonName.matching("[0-9a-f]{16}", casefold="ascii")


def verifier_of(scope: Any) -> Verifier:
    """Return whom the tenant that a request is for admits: gateways of its CAs, whatever their EUI."""
    host = HTTPConnection(scope).url.hostname or ""
    return tenants.verifier(host.removesuffix(".lns.example.com"), policy=GATEWAYS)


@asgi.require
async def gateway(request: Any) -> Policy:
    """Ask of the gateway that was admitted: does its certificate say what the request claims, in 64 bits?"""
    claimed = EUI.parse(await lns.router_of(request))
    return policies.CommonName.matching(str(claimed), casefold="ascii")


app = Starlette(routes=lns.routes(gateway))
app.add_middleware(asgi.Middleware, source=forwarded.envoy(trusted=["127.0.0.1/32"]), select=verifier_of)

if __name__ == "__main__":
    uvicorn.run(app, port=8000)

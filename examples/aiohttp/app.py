"""A bank in aiohttp that its partners call over mutual TLS: a certificate speaks for the account of its name."""

from __future__ import annotations

from aiohttp import web

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.integrations import aiohttp as mutual

trust = TrustStore.from_file("clients-ca.pem")
partners = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo", "sam"))
context = tls.server_context(credential=tls.Credential.from_files("server.pem", "server.key"), verifier=partners)
owner = mutual.require(lambda request: policies.CommonName(request.match_info["name"]))


async def account(request: web.Request) -> web.Response:
    """Tell the balance of one's own account."""
    return web.json_response({"account": (await owner(request)).common_name, "balance": 100})


app = web.Application()
app.router.add_get("/accounts/{name}", account)
mutual.install(app, source="connection")

if __name__ == "__main__":
    web.run_app(app, host="127.0.0.1", port=8443, ssl_context=context)

"""An authorization server: clients authenticate with their certificates, and each token is bound to one (RFC 8705)."""

from __future__ import annotations

import json
import time
from pathlib import Path

import front
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from mtlspolicy import oauth
from mtlspolicy.integrations import asgi

ISSUER, AUDIENCE = "https://as.example", "https://accounts.example"
METADATA = oauth.server_metadata(methods=["tls_client_auth"])
KEY = ECKey.generate_key("P-256", parameters={"kid": "1"})  # a real server keeps it
REGISTERED = json.loads(Path("clients.json").read_text(encoding="utf-8"))
VERIFIERS = {name: oauth.client_verifier(client, trust=front.CLIENTS) for name, client in REGISTERED.items()}


async def token(request: Request) -> JSONResponse:
    """Answer a client credentials grant (RFC 6749, section 4.4)."""
    form = await request.form()
    client_id = form.get("client_id")
    try:
        client = oauth.authenticate_client(client_id, asgi.presented(request), find=VERIFIERS.get)
    except oauth.InvalidClient as error:
        refusal = error.answer(request.headers.get("authorization"))
        return JSONResponse(dict(refusal.body), refusal.status, dict(refusal.headers))
    claims = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": client_id, "exp": int(time.time()) + 300, "cnf": oauth.cnf(client)
    }  # fmt: skip
    access = jwt.encode({"alg": "ES256", "kid": "1"}, claims, KEY)
    return JSONResponse({"access_token": access, "token_type": "Bearer", "expires_in": 300})


async def jwks(_: Request) -> JSONResponse:
    """Tell resource servers the key that tokens are signed with."""
    return JSONResponse({"keys": [KEY.as_dict(private=False)]})


async def metadata(_: Request) -> JSONResponse:
    """Tell clients what this server can do (RFC 8414)."""
    return JSONResponse({"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", **METADATA})


app = Starlette(
    routes=[
        Route("/token", token, methods=["POST"]),
        Route("/jwks", jwks),
        Route("/.well-known/oauth-authorization-server", metadata),
    ]
)

if __name__ == "__main__":
    front.serve(app, port=8001)

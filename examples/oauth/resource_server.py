"""A resource server: a token counts only with the certificate that it is bound to (RFC 8705, section 3)."""

from __future__ import annotations

import json
from pathlib import Path

import front
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mtlspolicy import oauth
from mtlspolicy.integrations import asgi

KEYS = KeySet.import_key_set(json.loads(Path("jwks.json").read_text(encoding="utf-8")))
CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": "https://as.example"},
    aud={"essential": True, "value": "https://accounts.example"},
    exp={"essential": True},
)
INVALID = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


async def accounts(request: Request) -> Response:
    """Show the accounts of whom the token is for, to its holder alone."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    try:
        token = jwt.decode(value if scheme.lower() == "bearer" else "", KEYS, algorithms=["ES256"])
        CLAIMS.validate(token.claims)
    except (JoseError, ValueError):
        return Response(status_code=401, headers=INVALID)
    try:
        oauth.confirm(token.claims, asgi.presented(request))
    except oauth.TokenBindingError as error:
        return Response(status_code=error.http_status, headers=dict(error.http_headers))
    return JSONResponse({"accounts of": token.claims["sub"]})


app = Starlette(routes=[Route("/accounts", accounts)])

if __name__ == "__main__":
    front.serve(app, port=8002)

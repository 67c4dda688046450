"""A bank in FastAPI: who pays is the user whom the certificate names. HTTPS on port 8443."""

from typing import Annotated

from fastapi import FastAPI, Form, Security
from starlette.requests import Request

from mtlspolicy import Policy, TrustStore, VerifiedPeer, Verifier, policies, tls
from mtlspolicy.integrations import fastapi, uvicorn

app = FastAPI(title="Bank")
verifier = Verifier.for_clients(trust=TrustStore.from_file("ca.pem"), policy=policies.Anyone())
credential = tls.Credential.from_files("server.pem", "server.key")


@fastapi.require
async def payer(request: Request) -> Policy:
    """Return what the certificate has to name: the user in the form."""
    return policies.CommonName((await request.form())["user"])


@app.post("/pay")
def pay(who: Annotated[VerifiedPeer, Security(payer)], amount: Annotated[int, Form()]) -> str:
    """Pay."""
    return f"{who.common_name} paid {amount}"


if __name__ == "__main__":
    context = tls.server_context(credential=credential, verifier=verifier)
    uvicorn.run(app, context=context, refuse="respond", port=8443)

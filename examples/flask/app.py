"""A bank in Flask: who pays is the user whom the certificate names. HTTPS on port 8443."""

from flask import Flask, request

from mtlspolicy import TrustStore, VerificationError, Verifier, policies, tls
from mtlspolicy.integrations import werkzeug, wsgi

app = Flask("bank")
app.register_error_handler(VerificationError, wsgi.answer)
app.wsgi_app = wsgi.Middleware(app.wsgi_app, source="connection")
verifier = Verifier.for_clients(trust=TrustStore.from_file("ca.pem"), policy=policies.Anyone())
credential = tls.Credential.from_files("server.pem", "server.key")
payer = wsgi.require(lambda request: policies.CommonName(request.form["user"]))


@app.post("/pay")
def pay() -> str:
    """Pay, where the user in the form is the one in the certificate."""
    who = payer(request)
    return f"{who.common_name} paid {request.form['amount']}"


if __name__ == "__main__":
    context = tls.server_context(credential=credential, verifier=verifier, client_certificate="optional")
    app.run(port=8443, ssl_context=context, request_handler=werkzeug.RequestHandler)

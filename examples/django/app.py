"""A bank in Django: who pays is the user whom the certificate names. HTTPS on port 8443."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

from mtlspolicy import TrustStore, Verifier, policies, tls
from mtlspolicy.integrations import django, uvicorn

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost"])
verifier = Verifier.for_clients(trust=TrustStore.from_file("ca.pem"), policy=policies.Anyone())
credential = tls.Credential.from_files("server.pem", "server.key")


@django.require(lambda request: policies.CommonName(request.POST["user"]))
def pay(request: HttpRequest) -> HttpResponse:
    """Pay, where the user in the form is the one in the certificate."""
    return HttpResponse(f"{django.peer(request).common_name} paid {request.POST['amount']}")


urlpatterns = [path("pay", pay)]

if __name__ == "__main__":
    context = tls.server_context(credential=credential, verifier=verifier)
    uvicorn.run(get_asgi_application(), context=context, refuse="respond", port=8443)

"""Every Python example of the README and the documentation runs as it is printed, and does what its page says."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import os
import sqlite3
import ssl
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtlspolicy import Possession, PresentedChain, TrustStore, VerificationError, Verifier, forwarded, policies
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate
from mtlspolicy.testing._hand_made import V1, HandMade
from mtlspolicy.testing._issued import pem_of
from mtlspolicy.testing._request import leaf_request, sign_request

from .answer_pages import ANSWER_SETUPS  # noqa: TID252 - tests are no package that could be named
from .client_pages import CLIENT_SETUPS  # noqa: TID252 - the same
from .framework_pages import FRAMEWORK_SETUPS  # noqa: TID252 - the same
from .grpc_pages import GRPC_SETUPS  # noqa: TID252 - the same
from .integration_pages import INTEGRATION_SETUPS  # noqa: TID252 - the same
from .loop_pages import LOOP_SETUPS  # noqa: TID252 - the same
from .oauth_pages import OAUTH_SETUPS  # noqa: TID252 - the same
from .proxy_pages import PROXY_SETUPS  # noqa: TID252 - the same
from .responder_pages import RESPONDER_SETUPS  # noqa: TID252 - the same
from .wsgi_pages import WSGI_SETUPS  # noqa: TID252 - the same

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

Steps: TypeAlias = Iterator[None]
"""What a page needs before its blocks run; then, after the ``yield``, what must be true."""

pytestmark = pytest.mark.filterwarnings("ignore:.*TEST CA.*")


def _write(name: str, *parts: bytes) -> None:
    Path(name).write_bytes(b"".join(parts))


def _pin(leaf: IssuedCertificate) -> str:
    """Return the SHA-256 of the public key of *leaf*, base64."""
    spki = leaf.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def _refused(lab: Lab, client: IssuedCertificate | None, trust: CertificateAuthority, **request: Any) -> bool:
    """Return whether the connection of *client* ends without an answer."""
    try:
        lab.get(client, trust, **request)
    except (ssl.SSLError, ConnectionError, EOFError):
        return True
    return False


def _front_page(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    _write("clients-ca.pem", root.pem)
    root.issue_server("localhost").files(".", name="server")
    yield
    assert lab.namespace["context"].verify_mode is ssl.CERT_REQUIRED


def _tutorial(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    issuing = root.intermediate("Issuing CA")
    Path("pki").mkdir()
    _write("pki/ca.pem", root.pem, issuing.pem)
    issuing.issue_server("localhost", "127.0.0.1").files("pki", name="localhost")
    yield
    assert lab.get(issuing.issue_client("frodo"), root) == (200, "hello frodo\n")
    assert _refused(lab, issuing.issue_client("gollum"), root)
    assert _refused(lab, None, root)


def _webhooks(lab: Lab) -> Steps:
    public, processor = CertificateAuthority("Public"), CertificateAuthority("Processor Root")
    issuing, staging = processor.intermediate("Live CA"), processor.intermediate("Staging CA")
    _write("processor-ca.pem", processor.pem, issuing.pem, staging.pem)
    _write("processor-issuing-ca.pem", issuing.pem)
    public.issue_server("localhost").files(".", name="server")
    good = issuing.issue_client("webhooks.processor.example")
    good.files(".", name="processor")
    yield
    post = {"method": "POST", "body": b"ping"}
    assert lab.get(good, public, **post)[0] == 200
    assert lab.get(None, public, **post)[0] == 403
    assert _refused(lab, staging.issue_client("webhooks.processor.example"), public, **post)
    assert _refused(lab, issuing.issue_client("somebody.example"), public, **post)


def _services(lab: Lab) -> Steps:
    root = CertificateAuthority("Services")
    _write("services-ca.pem", root.pem)
    _write("issuing-ca.pem", root.pem)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    for name in ("web", "orders", "payments"):
        uri = f"spiffe://shop.test/{name}"
        leaf = root.issue_client(name, dns=[f"{name}.shop.test"], uris=[uri], eku=both)
        leaf.files(".", name=name)
    yield
    assert lab.namespace["answers"] == {"orders": "hello spiffe://shop.test/orders", "web": ""}


def _pins(lab: Lab) -> Steps:
    root = CertificateAuthority("Clients")
    partner = root.issue_client("partner")
    following = root.issue_client("partner")
    _write("clients-ca.pem", root.pem)
    _write("issuing-ca.pem", root.pem)
    _write("bad-ca.pem", CertificateAuthority("Bad").pem)
    partner.files(".", name="partner")
    _write("partner-pins.txt", f"# partner\nsha256/{_pin(partner)}\nsha256/{_pin(following)}  # next\n".encode())
    lab.namespace.update(pin_now=_pin(partner), pin_next=_pin(following))
    yield
    _write("partner-pins.txt", f"sha256/{_pin(following)}\n".encode())
    os.utime("partner-pins.txt", ns=(1, 1))
    assert lab.namespace["current_pins"]() == lab.namespace["policies"].SPKIPin("sha256/" + _pin(following))


def _new_ca(lab: Lab) -> Steps:
    old, new = CertificateAuthority("Old CA"), CertificateAuthority("New CA")
    _write("old-ca.pem", old.pem)
    _write("new-ca.pem", new.pem)
    old.issue_client("partner").files(".", name="partner-old")
    later = new.issue_client("partner")
    later.files(".", name="partner-new")
    lab.namespace["pin"] = _pin(later)
    yield
    watched = lab.namespace["watched"]
    assert watched._observer.drain(10.0)
    assert lab.namespace["seen"] == [True]


def _hosts(lab: Lab) -> Steps:
    public, partners, staff = (CertificateAuthority(name) for name in ("Public", "Partners", "Staff"))
    for name in ("partners.example", "staff.example"):
        public.issue_server(name).files(".", name=name)
    _write("partners-ca.pem", partners.pem)
    _write("staff-ca.pem", staff.pem)
    yield
    acme, alice = partners.issue_client("acme"), staff.issue_client("alice")
    assert lab.get(acme, public, host="partners.example") == (200, "hello acme on partners.example\n")
    assert lab.get(alice, public, host="staff.example") == (200, "hello alice on staff.example\n")
    assert _refused(lab, acme, public, host="staff.example")
    assert _refused(lab, alice, public, host="partners.example")


def _own(lab: Lab) -> Steps:
    root = CertificateAuthority("Clients")
    _write("clients-ca.pem", root.pem)
    root.issue_server("localhost").files(".", name="server")
    frodo, gollum = root.issue_client("frodo"), root.issue_client("gollum")
    key = base64.b64decode(_pin(frodo)).hex()
    with sqlite3.connect("partners.db") as data:
        data.execute("CREATE TABLE partner (spki_sha256 TEXT PRIMARY KEY, active INTEGER)")
        data.execute("INSERT INTO partner VALUES (?, 1)", (key,))
    data.close()
    lab.namespace["partner_key"] = key
    yield
    assert asyncio.run(_ask_held(lab, frodo, root)) == b"hello frodo"
    assert asyncio.run(_ask_held(lab, gollum, root)) == b""
    lab.namespace["resolver"].close()


async def _ask_held(lab: Lab, client: IssuedCertificate, trust: CertificateAuthority) -> bytes:
    context = ssl.create_default_context(cadata=trust.pem.decode())
    with client.tempfiles() as (chain, key):
        context.load_cert_chain(chain, key)
    server = await lab.namespace["listen"]()
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
        answer = await reader.read()
        writer.close()
        return answer


def _refusals(lab: Lab) -> Steps:
    root = CertificateAuthority("Root")
    issuing = root.intermediate("Issuing CA")
    _write("clients-ca.pem", root.pem, issuing.pem)
    _write("issuing-ca.pem", issuing.pem)
    issuing.issue_client("gollum").files(".", name="gollum")
    logger = logging.getLogger("mtlspolicy.connection")
    before = list(logger.handlers)
    with lab.simple_server():
        yield
    logger.handlers[:] = before
    assert lab.namespace["watched"]._observer.drain(10.0)
    assert lab.namespace["count"] == {"name.mismatch": 1}


def _insecure(lab: Lab) -> Steps:
    root = CertificateAuthority("Clients")
    _write("clients-ca.pem", root.pem)
    root.issue_server("localhost").files(".", name="server")
    request = leaf_request("localhost", ExtendedKeyUsageOID.SERVER_AUTH, {"dns": ["localhost"]})
    _write("self-signed.pem", pem_of(sign_request(request, issuer=request.subject, issuer_key=request.key)))
    with lab.simple_server():
        yield
    enforced = lab.namespace["existing_context"]
    assert enforced.verify_mode is ssl.CERT_REQUIRED
    assert enforced.options & ssl.OP_NO_RENEGOTIATION


def _tutorial_certificates(lab: Lab) -> Steps:
    del lab
    root = CertificateAuthority("root")
    for name in ("client", "other", "server"):
        leaf = root.issue_client(name)
        _write(f"{name}.pem", pem_of(_first_version(leaf.certificate, root)))
    _write("root.pem", pem_of(_first_version(root.certificate, root)))
    yield


def _first_version(certificate: Any, issuer: CertificateAuthority) -> bytes:
    """Return *certificate* as ``openssl x509 -req`` before 3.2 would have made it."""
    return replace(HandMade.of(certificate), version=V1, extensions=()).signed_by(issuer.key)


def _tenants(lab: Lab) -> Steps:
    acme, zoo, common = (CertificateAuthority(name) for name in ("Acme", "Zoo", "Common"))
    for place, ca in (("common/common", common), ("tenants/acme/acme-ca", acme), ("tenants/zoo/zoo-ca", zoo)):
        path = Path("trust", f"{place}.pem")
        path.parent.mkdir(parents=True)
        path.write_bytes(ca.pem)
    page = (Path(__file__).parents[2] / "docs" / "howto" / "tenants.md").read_text(encoding="utf-8")
    Path("trust/index.toml").write_text(page.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    _write("acme-gateway.pem", acme.issue_client("58A0CBFFFE800001").chain_pem)
    yield
    assert lab.namespace["before"] == 1
    lab.namespace["tenants"].reload()
    chain = PresentedChain.parse(lab.namespace["acme_gateway"], possession=Possession.PROXY)
    gateway_of = lab.namespace["gateway_of"]
    assert gateway_of("acme", chain, "58A0CBFFFE800001").common_name == "58A0CBFFFE800001"
    for tenant, claimed in (("acme", "58A0CBFFFE800002"), ("zoo", "58A0CBFFFE800001")):
        with pytest.raises(VerificationError):
            gateway_of(tenant, chain, claimed)


def _forwarded_reference(lab: Lab) -> Steps:
    root = CertificateAuthority("Devices")
    verifier = Verifier.for_clients(trust=TrustStore(anchors=[root.certificate]), policy=policies.CommonName("frodo"))
    pem = pem_of(root.issue_client("frodo").der).decode("ascii")
    headers = [("x-ssl-client-cert", urllib.parse.quote(pem, safe="")), ("x-ssl-client-verify", "SUCCESS")]
    lab.namespace.update(forwarded=forwarded, verifier=verifier, headers=headers, address="10.1.2.3")
    yield
    peer = lab.namespace["peer"]
    assert (peer.common_name, peer.possession) == ("frodo", Possession.PROXY)


SETUPS: Final[dict[str, Callable[[Lab], Steps]]] = {
    "README.md": _tutorial,
    "docs/index.md": _front_page,
    "docs/tutorial/first-server.md": _tutorial,
    "docs/howto/webhooks.md": _webhooks,
    "docs/howto/service-to-service.md": _services,
    "docs/howto/pin-and-rotate.md": _pins,
    "docs/howto/change-ca.md": _new_ca,
    "docs/howto/virtual-hosts.md": _hosts,
    "docs/howto/tenants.md": _tenants,
    "docs/reference/forwarded.md": _forwarded_reference,
    "docs/howto/own-policy.md": _own,
    "docs/howto/explain-refusal.md": _refusals,
    "docs/howto/coming-from-insecure.md": _insecure,
    "docs/howto/openssl-tutorials.md": _tutorial_certificates,
    **FRAMEWORK_SETUPS,
    **INTEGRATION_SETUPS,
    **LOOP_SETUPS,
    **OAUTH_SETUPS,
    **PROXY_SETUPS,
    **RESPONDER_SETUPS,
    **ANSWER_SETUPS,
    **CLIENT_SETUPS,
    **WSGI_SETUPS,
    **GRPC_SETUPS,
}


@pytest.mark.parametrize("page", SETUPS)
def test_examples_run(
    page: str, lab: Lab, pages: dict[str, str], caplog: pytest.LogCaptureFixture, plain: Callable[[str], str]
) -> None:
    """The Python blocks of a page run in their order as printed, do what the page says, and log what it shows."""
    steps = SETUPS[page](lab)
    next(steps)
    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        lab.run(page)
        with pytest.raises(StopIteration):
            next(steps)
        lab.close()
    logged = ("refused 127.0.0.1:", "no answer from ")
    shown = {plain(lab.as_run(line)) for line in pages[page].splitlines() if line.startswith(logged)}
    assert shown <= {plain(record.getMessage()) for record in caplog.records}


def test_every_page_with_examples_is_run(pages: dict[str, str]) -> None:
    """No page has a Python block that no test runs."""
    assert {page for page, text in pages.items() if "```python\n" in text} == set(SETUPS)


def test_no_other_fence_hides_python(pages: dict[str, str]) -> None:
    """Blocks that are not run say that they are something else than Python."""
    fences = {line.strip() for text in pages.values() for line in text.splitlines() if line.strip().startswith("```")}
    kinds = ("", "python", "sh", "text", "toml", "js", "java", "{toctree}", "{eval-rst}", "{literalinclude}")
    assert {fence.split(" ")[0] for fence in fences} <= {f"```{kind}" for kind in kinds}

"""``examples/oauth`` with curl: tokens bound to certificates, with TLS in Python and behind a real nginx."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import pytest

from mtlspolicy import oauth

from ..examples.oauth import BANK, CERTIFICATES, files, serving  # noqa: TID252 - tests are no package that could be named
from .programs import require_curl_with_openssl, run  # noqa: TID252 - the same
from .proxies.nginx import PAGE, nginx  # noqa: TID252 - the same
from .proxies.pages import filled  # noqa: TID252 - the same
from .proxies.programs import free_port, require  # noqa: TID252 - the same

_ENDED: Final = -1
"""In place of a status: the connection ended without an answer."""


class Answer(NamedTuple):
    """A response to curl: status, its headers as text, content."""

    status: int
    headers: str
    content: bytes

    @property
    def told(self) -> Any:
        """The content, as JSON."""
        return json.loads(self.content)


class Pair(NamedTuple):
    """An authorization server and a resource server, by the ports that clients see."""

    folder: Path
    authorization: int
    resource: int

    def _curl(self, url: str, who: str | None, *options: str) -> Answer:
        require_curl_with_openssl()
        shown = ("--cert", f"{who}.pem", "--key", f"{who}.key") if who else ()
        head, content = self.folder / "head", self.folder / "content"
        for path in (head, content):
            path.write_bytes(b"")
        done = run(
            "curl", "-sS", "--cacert", "servers-ca.pem", "-D", head, "-o", content, *shown, *options, url,
            folder=self.folder,
        )  # fmt: skip
        text = head.read_text(encoding="latin-1")
        status = re.match(r"HTTP/1\.1 (\d+)", text)
        assert (done.returncode == 0) == (status is not None)
        return Answer(int(status[1]) if status else _ENDED, text.lower(), content.read_bytes())

    def token(self, who: str | None, client_id: str | None = "bank", *options: str) -> Answer:
        """Ask for a token with the certificate *who*."""
        fields = ["grant_type=client_credentials", *([f"client_id={client_id}"] if client_id is not None else [])]
        data = [part for field in fields for part in ("-d", field)]
        return self._curl(f"https://localhost:{self.authorization}/token", who, *data, *options)

    def accounts(self, who: str | None, token: str, *options: str) -> Answer:
        """Ask for the accounts with the certificate *who*."""
        bearer = ("-H", f"Authorization: Bearer {token}")
        return self._curl(f"https://localhost:{self.resource}/accounts", who, *bearer, *options)


@pytest.fixture(scope="module", params=["python", "nginx"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Pair, None, None]:
    """Lend both servers, which speak TLS themselves or stand behind nginx as its page says."""
    folder = tmp_path_factory.mktemp("oauth")
    files(folder)
    with contextlib.ExitStack() as stack:
        if request.param == "nginx":
            require("nginx")
        ports: list[int] = []
        for name in ("authorization_server", "resource_server"):
            program = stack.enter_context(serving(folder, name, behind=request.param))
            ports.append(_in_front(stack, folder / f"before-{name}", folder, program.port, request.param))
            if name == "authorization_server":
                keys = _keys(Pair(folder, ports[0], 0))
                (folder / "jwks.json").write_bytes(keys)
        yield Pair(folder, *ports)


def _in_front(stack: contextlib.ExitStack, own: Path, certificates: Path, port: int, front: str) -> int:
    """Return the port for clients: that of the program, or of an nginx before it."""
    if front != "nginx":
        return port
    own.mkdir()
    shown = free_port()
    text = filled(PAGE.configuration("/etc/nginx/conf.d/clients.conf"), certificates, {8443: shown, 8000: port})
    stack.enter_context(nginx(text, own, shown))
    return shown


def _keys(pair: Pair) -> bytes:
    return pair._curl(f"https://localhost:{pair.authorization}/jwks", "bank").content


def test_a_token_is_bound_to_the_certificate_that_it_was_asked_for_with(pair: Pair) -> None:
    """Its claim is the thumbprint of RFC 8705, and the certificate opens the accounts."""
    from joserfc import jwt
    from joserfc.jwk import KeySet

    answer = pair.token("bank")
    assert (answer.status, answer.told["token_type"]) == (200, "Bearer")
    keys = KeySet.import_key_set(json.loads((pair.folder / "jwks.json").read_text(encoding="utf-8")))
    claims = jwt.decode(answer.told["access_token"], keys, algorithms=["ES256"]).claims
    assert claims["cnf"] == {"x5t#S256": oauth.thumbprint(BANK.certificate)}
    accounts = pair.accounts("bank", answer.told["access_token"])
    assert (accounts.status, accounts.told) == (200, {"accounts of": "bank"})


@pytest.mark.parametrize("who", ["thief", None])
def test_a_stolen_token_is_worth_nothing(pair: Pair, who: str | None) -> None:
    """Neither another client of the same CA nor somebody without a certificate may use it, whatever he writes."""
    token = pair.token("bank").told["access_token"]
    claimed = quote(BANK.certificate_pem.decode("ascii"), safe="")
    forged = ("-H", f"X-SSL-Client-Cert: {claimed}", "-H", "X-SSL-Client-Verify: SUCCESS")
    for options in ((), forged):
        answer = pair.accounts(who, token, *options)
        assert answer.status == 401
        assert 'www-authenticate: bearer error="invalid_token"' in answer.headers


def test_a_renewed_certificate_needs_a_new_token(pair: Pair) -> None:
    """The thumbprint is that of the certificate: with the next one the client asks again."""
    assert CERTIFICATES["renewed"].certificate.subject == BANK.certificate.subject
    old = pair.token("bank").told["access_token"]
    assert pair.accounts("renewed", old).status == 401
    new = pair.token("renewed").told["access_token"]
    assert pair.accounts("renewed", new).status == 200
    assert pair.accounts("bank", new).status == 401


@pytest.mark.parametrize(
    ("who", "client_id"), [("thief", "bank"), ("bank", "thief"), (None, "bank"), ("bank", None), ("bank", "nobody")]
)
def test_a_client_is_who_its_registration_says(pair: Pair, who: str | None, client_id: str | None) -> None:
    """The answer is the same whatever was wrong: it does not say which clients there are."""
    answer = pair.token(who, client_id)
    assert (answer.status, answer.told) == (400, {"error": "invalid_client"})
    assert "cache-control: no-store" in answer.headers


def test_who_tried_another_scheme_is_told_so(pair: Pair) -> None:
    """RFC 6749, 5.2: with an Authorization header the answer is 401 and has a challenge of that scheme."""
    answer = pair.token("thief", "bank", "-u", "bank:secret")
    assert answer.status == 401
    assert "www-authenticate: basic realm=" in answer.headers


def test_a_certificate_of_another_ca_gets_no_token(pair: Pair) -> None:
    """The same name from a CA that nobody trusts: the handshake ends, or the proxy says what it made of it."""
    assert pair.token("stranger").status in {_ENDED, 400, 403}


@pytest.mark.parametrize("token", ["", "garbage", "e30.e30.e30"])
def test_what_is_no_token_is_refused(pair: Pair, token: str) -> None:
    """A signature that does not verify is nobody's."""
    assert pair.accounts("bank", token).status == 401


def test_the_metadata_name_what_the_server_does(pair: Pair) -> None:
    """RFC 8705, sections 3.3 and 5: bound tokens, and how clients authenticate."""
    url = f"https://localhost:{pair.authorization}/.well-known/oauth-authorization-server"
    told = pair._curl(url, None).told
    assert told["tls_client_certificate_bound_access_tokens"] is True
    assert told["token_endpoint_auth_methods_supported"] == ["tls_client_auth"]

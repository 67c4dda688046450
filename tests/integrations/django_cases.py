"""Cases of unittest, run by Django's own classes in a process of their own; see test_django.py."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mtlspolicy import ConfigurationError, VerificationError, policies, testing
from mtlspolicy.integrations import django as ours
from mtlspolicy.integrations._log import LIMITER
from mtlspolicy.integrations.testing import as_peer
from tests.integrations import django_site
from tests.integrations.frameworks import ROWS
from tests.integrations.serving import FOREIGN, ROOT

_test: Any = import_module("django.test")  # after the settings; a package without types
AsyncClient, Client, RequestFactory = _test.AsyncClient, _test.Client, _test.RequestFactory
if TYPE_CHECKING:
    from unittest import TestCase as SimpleTestCase
else:
    SimpleTestCase = _test.SimpleTestCase
PEERS: Any = {name: testing.peer(name) for name in ("frodo", "sam")} | {None: None}
MORE = [
    ("GET", f"/{kind}/{name}", None, "frodo", status, words)
    for kind in ("whole", "awaited", "around", "dispatched")
    for name, status, words in (("frodo", 200, "frodo"), ("sam", 403, "name.mismatch"))
]


class Cases(SimpleTestCase):
    """The site, asked by the test clients of Django."""

    def _judge(self, reply: Any, row: Any) -> None:
        status, words = row[-2:]
        assert (reply.status_code, words in reply.content.decode()) == (status, True), row
        if status == 403:
            assert reply.json() == {"error": words}
            assert reply["Cache-Control"] == "no-store"

    def test_every_row(self) -> None:
        """By the client that is WSGI inside."""
        for row in [*ROWS, *MORE]:
            client = as_peer(Client(raise_request_exception=False), PEERS[row[3]])
            self._judge(client.generic(row[0], row[1]) if row[2] is None else client.post(row[1], row[2]), row)

    def test_every_row_asynchronously(self) -> None:
        """By the client that is ASGI inside, and the coroutine that asks a coroutine."""
        rows = [(row[0], "/async/pay", *row[2:]) if row[1] == "/pay" else row for row in [*ROWS, *MORE]]

        async def ask() -> None:
            for row in rows:
                client = as_peer(AsyncClient(raise_request_exception=False), PEERS[row[3]])
                reply = client.generic(row[0], row[1]) if row[2] is None else client.post(row[1], row[2])
                self._judge(await reply, row)

        asyncio.run(ask())

    def test_what_is_not_of_the_peer_stays_an_error(self) -> None:
        """A refusal of somebody else is 500 of the site, as is a mistake."""
        Path("root.pem").write_bytes(ROOT.pem)
        Path("foreign.pem").write_bytes(FOREIGN)
        client = as_peer(Client(raise_request_exception=False), PEERS["frodo"])
        for path in ("/called-another", "/broken"):
            assert client.get(path).content == b"own page"

    def test_a_view_without_a_server(self) -> None:
        """A factory of requests takes a peer too, and a request may be asked about by itself."""
        request = as_peer(RequestFactory(), PEERS["sam"]).get("/asked")
        assert django_site.asked(request).content == b"sam"
        assert request.META["SSL_CLIENT_S_DN"] == "CN=sam"
        assert as_peer(RequestFactory(), None).get("/").META["SSL_CLIENT_VERIFY"] == "NONE"
        with pytest.raises(VerificationError):
            ours.require(policies.CommonName("frodo"))(request)
        LIMITER.clear()
        with self.assertLogs("mtlspolicy.request", "WARNING") as written:
            refused: Any = ours.require(policies.CommonName("frodo"))(django_site.asked)(request)
        assert refused.content == b'{"error": "name.mismatch"}\n'
        assert [line.split(": ")[1] for line in written.output] == ["name.mismatch"]

    def test_without_a_middleware_nobody_is_a_peer(self) -> None:
        """What was forgotten is an error of the set-up, and no answer."""
        with pytest.raises(ConfigurationError, match="no middleware of mtlspolicy"):
            Client().get("/me")
        with pytest.raises(ConfigurationError, match="give a policy"):
            ours.require("sam")  # type: ignore[arg-type]

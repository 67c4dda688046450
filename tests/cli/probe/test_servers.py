"""``probe`` against servers that misbehave: every one gets an answer in time, and none gets what it should not have."""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from mtlspolicy.cli.probe._connect import _suite_name
from mtlspolicy.cli.probe._contexts import offering
from mtlspolicy.cli.probe._messages import Transcript
from mtlspolicy.cli.probe._wire import _left, _send
from mtlspolicy.testing import CertificateAuthority

from ..conftest import Call  # noqa: TID252 - tests are no package that could be named
from .probing import HOST, NEXT_YEAR, OK, Served, Site, by_certificate, listening, reset, serving  # noqa: TID252 - the same


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return certificates and their files."""
    return Site(tmp_path_factory.mktemp("site"))


def probed(call: Call, site: Site, served: Served, *flags: object) -> dict[str, Any]:
    """Return the JSON of a probe with the good certificate."""
    answer = call(*site.flags(served.port), "--json", *site.good_flags, *flags)
    assert answer.err == ""
    report: dict[str, Any] = json.loads(answer.out)
    return report


def codes(report: dict[str, Any]) -> set[str]:
    """Return the codes of a report that keep it from the best grade."""
    return {finding["code"] for finding in report["findings"] if finding["grade"] != "A"}


def _silent(connection: socket.socket, _served: Served) -> None:
    while connection.recv(4096):
        pass


def _closing(connection: socket.socket, _served: Served) -> None:
    connection.recv(4096)


def _garbage(connection: socket.socket, _served: Served) -> None:
    connection.sendall(b"220 mail.example.com ESMTP \x1b[2J\r\n")
    _silent(connection, _served)


def _resetting(connection: socket.socket, _served: Served) -> None:
    connection.recv(4096)
    reset(connection)


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        (_silent, "did not finish the handshake in time"),
        (_closing, "closed the connection in the handshake"),
        (_garbage, "no TLS handshake with 127.0.0.1"),
        (_garbage, ": what came back is not TLS ("),
        (_resetting, "closed the connection in the handshake"),
    ],
)
def test_what_speaks_no_tls(call: Call, site: Site, serve: Callable[[socket.socket, Served], None], said: str) -> None:
    """A port without TLS is a wrong argument, said in one line, with exit status 2."""
    with listening(serve) as served:
        answer = call(*site.flags(served.port), "--timeout", "1")
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err
    assert "\x1b" not in answer.err


def test_a_port_that_is_closed(call: Call, site: Site) -> None:
    """No connection is said as what it is."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    answer = call(*site.flags(port))
    assert answer.status == 2
    assert "no connection to 127.0.0.1 port" in answer.err


def test_a_server_that_never_answers_http(call: Call, site: Site) -> None:
    """A server that takes the request and says nothing costs its time and no more, and the rest is not tried."""

    def serve(connection: socket.socket, _served: Served) -> None:
        with site.context(asks=False).wrap_socket(connection, server_side=True) as secured:
            while secured.recv(4096):
                pass

    with listening(serve) as served:
        began = time.monotonic()
        report = probed(call, site, served, "--timeout", "3")
        assert time.monotonic() - began < 15
    assert "no answer to the request in time" in report["clients"]["none"]["text"]
    assert "time of the probe was up" in report["not_observed"]["the good certificate"]
    assert "probe.not-finished" in codes(report)


def test_a_drip_ends_at_the_deadline(call: Call, site: Site) -> None:
    """One byte now and then does not prolong anything."""

    def serve(connection: socket.socket, _served: Served) -> None:
        with site.context(asks=False).wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(b"HTTP/1.1 200 ")
            with suppress(TimeoutError):
                secured.settimeout(0.05)
                while True:
                    secured.sendall(b"x")
                    with suppress(TimeoutError):
                        if not secured.recv(1):
                            return

    with listening(serve) as served:
        began = time.monotonic()
        report = probed(call, site, served, "--timeout", "3")
        assert time.monotonic() - began < 15
    assert report["clients"]["none"]["end"] == "open"


def test_a_flood_is_not_read_on(call: Call, site: Site) -> None:
    """A line without end is read up to a limit."""

    def flood(_secured: ssl.SSLSocket, _request: bytes) -> bytes:
        return b"HTTP/1.1 200 " + b"x" * 1_000_000

    with serving(site.context(asks=False), flood) as served:
        report = probed(call, site, served)
    assert len(report["clients"]["none"]["text"]) < 200
    assert "probe.unclear" in codes(report)


def test_a_refusal_without_an_alert(call: Call, site: Site) -> None:
    """A server that just closes has refused; that nobody learns why is remarked."""

    def serve(connection: socket.socket, _served: Served) -> None:
        context = site.context()
        context.verify_mode = ssl.CERT_OPTIONAL
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            if secured.getpeercert():
                secured.sendall(OK)

    with listening(serve) as served:
        report = probed(call, site, served)
    assert report["grade"] == "A"
    assert report["clients"]["none"]["end"] == "closed"
    assert "probe.closed" in {finding["code"] for finding in report["findings"]}


def test_a_server_that_speaks_first(call: Call, site: Site) -> None:
    """Data that nobody asked for is seen as what it is, also where HTTP was expected, and is not HTTP's answer."""

    def serve(connection: socket.socket, _served: Served) -> None:
        with site.context(asks=False).wrap_socket(connection, server_side=True) as secured:
            secured.sendall(b"220 ready\r\n")
            secured.recv(4096)

    with listening(serve) as served:
        assert probed(call, site, served)["clients"]["none"]["text"] == "data that is not HTTP/1.1: 220 ready"
        assert probed(call, site, served, "--no-http")["clients"]["none"]["text"] == "data: 220 ready"


def test_a_reset_after_the_handshake(call: Call, site: Site) -> None:
    """A reset is a connection that was closed."""

    def serve(connection: socket.socket, _served: Served) -> None:
        secured = site.context(asks=False).wrap_socket(connection, server_side=True)
        plain = socket.socket(fileno=secured.detach())
        reset(plain)

    with listening(serve) as served:
        report = probed(call, site, served)
    assert report["clients"]["none"]["end"] == "closed"


def test_resumption_that_is_refused(call: Call, site: Site) -> None:
    """A server that refuses who resumes is told so: its clients fail now and then."""
    context = site.context()

    def by_session(secured: ssl.SSLSocket, _request: bytes) -> bytes:
        return b"HTTP/1.1 403 Forbidden\r\n\r\n" if secured.session_reused else OK

    with serving(context, by_session) as served:
        report = probed(call, site, served)
    assert codes(report) == {"probe.resumption-refused"}


def test_old_versions_are_found(call: Call, site: Site) -> None:
    """A server that still speaks TLS 1.1 has a failing grade; one that speaks nothing else fails its partners."""
    context = site.context(asks=False)
    _lower(context, ssl.TLSVersion.TLSv1_1, None)
    with serving(context, by_certificate) as served:
        report = probed(call, site, served)
    assert report["versions"]["TLSv1.1"] is True
    assert report["versions"]["TLSv1.0"] is False
    assert "probe.old-version" in codes(report)
    _lower(context, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1)
    with serving(context, by_certificate) as served:
        report = probed(call, site, served)
    assert {"probe.old-version", "probe.only-old-versions"} <= codes(report)
    assert report["handshake"]["version"] == "TLSv1.1"
    assert report["tls12_suites"]["broken"] == {"not_observed": "not tried: the server does not speak TLS 1.2"}
    assert report["verified"]["verdict"] == "PERMIT"


def _lower(context: ssl.SSLContext, lowest: ssl.TLSVersion, highest: ssl.TLSVersion | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of old versions, which are the matter here
        context.minimum_version = lowest
        if highest is not None:
            context.maximum_version = highest
    context.set_ciphers("DEFAULT:@SECLEVEL=0")


def test_suites_without_forward_secrecy_and_broken_ones(call: Call, site: Site) -> None:
    """Suites are found by trying: RSA key transport, and those that protect nothing."""
    leaf = site.issuing.issue_server("localhost", key="rsa-2048", not_after=NEXT_YEAR)
    context = site.context(leaf=leaf)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES128-SHA:NULL-SHA256:@SECLEVEL=0")
    with serving(context) as served:
        report = probed(call, site, served)
    assert report["tls12_suites"]["no forward secrecy"] == "AES128-SHA"
    assert report["tls12_suites"]["broken"] == "NULL-SHA256"
    assert report["tls12_suites"]["ECDHE, AEAD"] is None
    assert {"probe.no-forward-secrecy", "probe.broken-suite"} <= codes(report)


def test_chains_as_they_are_sent(call: Call, site: Site) -> None:
    """A missing intermediate, the root, a wrong order: each is told as it came over the wire."""
    leaf, issuing, root = site.server.certificate_pem, site.issuing.pem, site.root.pem
    with serving(site.context(chain=[leaf])) as served:
        incomplete = probed(call, site, served)
    assert incomplete["grade"] == "F"
    assert {"probe.unverified", "probe.chain-incomplete"} <= codes(incomplete)
    assert incomplete["clients"]["good"] == {"not_observed": "not shown: the server is not verified"}
    with serving(site.context(chain=[leaf, issuing, root])) as served:
        with_root = probed(call, site, served)
    assert with_root["grade"] == "A"
    assert "probe.root-sent" in {finding["code"] for finding in with_root["findings"]}
    with serving(site.context(chain=[leaf, root, issuing, issuing])) as served:
        disordered = probed(call, site, served)
    assert codes(disordered) == {"probe.chain-order"}
    assert "the right order is 1, 3, 2" in json.dumps(disordered)
    assert len(disordered["chain"]) == 4


def test_a_server_that_is_not_verified_is_tried_with_what_is_made_up(call: Call, site: Site) -> None:
    """Without the server's CA, no certificate and a made-up one are still tried; the good one is not."""
    with serving(site.context()) as served:
        flags = ["probe", f"localhost:{served.port}", "--allow-private", "--json", *site.all_flags]
        report = json.loads(call(*flags).out)
        assert served.subjects == []
    assert report["clients"]["another-ca"]["text"] == "TLS alert unknown_ca"
    assert report["clients"]["expired"] == report["clients"]["good"]
    assert "probe.unverified" in codes(report)


def test_another_chain_behind_the_same_port(call: Call, site: Site) -> None:
    """A balancer whose second server has another chain: the good certificate stays where it is."""
    stranger = CertificateAuthority("Else").issue_server("localhost")
    contexts = [site.context(asks=False), site.context(leaf=stranger, asks=False)]

    def serve(connection: socket.socket, served: Served) -> None:
        with contexts[served.connections > 1].wrap_socket(connection, server_side=True) as secured:
            secured.recv(4096)
            secured.sendall(OK)

    with listening(serve) as served:
        report = probed(call, site, served)
    assert report["clients"]["none"]["end"] == "server not verified"
    assert "identity" in report["clients"]["none"]["text"] or "tls." in report["clients"]["none"]["text"]
    assert report["clients"]["good"] == {"not_observed": "not shown: the server is not verified"}
    assert "probe.unverified" in codes(report)


@pytest.mark.parametrize(("honest", "lost"), [(6, "TLSv1.2"), (8, "suites of TLS 1.2: broken")])
def test_a_server_that_ceases_to_make_sense(call: Call, site: Site, honest: int, lost: str) -> None:
    """What the later connections do not show is not known; it is not taken for a no."""
    context = site.context(asks=False)

    def serve(connection: socket.socket, served: Served) -> None:
        if served.connections > honest:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            return
        with context.wrap_socket(connection, server_side=True) as secured:
            if secured.recv(4096):
                secured.sendall(OK)

    with listening(serve) as served:
        report = probed(call, site, served)
    assert "not known: no TLS" in report["not_observed"][lost]
    assert "probe.old-version" not in codes(report)


def test_what_this_openssl_cannot_offer(call: Call, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version or suite that cannot be offered from here is not observed; nothing is said of the server."""

    def poor(version: ssl.TLSVersion, suites: str = "ALL") -> ssl.SSLContext | None:
        return None if version < ssl.TLSVersion.TLSv1_2 or "NULL" in suites else offering(version, suites)

    monkeypatch.setattr("mtlspolicy.cli.probe._connect.offering", poor)
    with serving(site.context()) as served:
        report = probed(call, site, served)
    assert report["versions"]["TLSv1.0"] == {"not_observed": "this Python's OpenSSL cannot offer it"}
    assert report["tls12_suites"]["broken"] == {"not_observed": "this Python's OpenSSL cannot offer it"}
    assert offering(ssl.TLSVersion.TLSv1_2, "NO-SUCH-SUITE") is None


def test_a_good_certificate_that_is_let_in_once(call: Call, site: Site) -> None:
    """Where the connection whose session was to be resumed is not let in, resumption is not known."""
    context = site.context(asks=False)

    def serve(connection: socket.socket, served: Served) -> None:
        if served.connections != 5:
            with context.wrap_socket(connection, server_side=True) as secured:
                if secured.recv(4096):
                    secured.sendall(OK)

    with listening(serve) as served:
        report = probed(call, site, served)
    assert report["clients"]["good"]["status"] == 200
    assert "no session came with the connection before it" in report["not_observed"]["a resumed session"]


@pytest.mark.skipif(os.name == "nt", reason="Windows drops what was said before a reset")
def test_a_request_that_nobody_takes_any_more() -> None:
    """Where the server has gone before the request, there is still something to be read: what it said before."""
    ours, theirs = socket.socketpair()
    with ours:
        theirs.sendall(b"refused")
        theirs.close()
        for _ in range(3):
            _send(cast("ssl.SSLSocket", ours), b"GET / HTTP/1.1\r\n\r\n", time.monotonic() + 10)
        assert ours.recv(100) == b"refused"


def test_small_things_that_no_server_shows() -> None:
    """A hello that cannot be read names no suite, and a time that has passed is no time."""
    assert _suite_name(Transcript()) is None
    with pytest.raises(TimeoutError):
        _left(time.monotonic() - 1)

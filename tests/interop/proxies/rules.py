"""What must be true behind every proxy; the test file of a proxy starts it and adds what is its own."""

from __future__ import annotations

import ssl
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from mtlspolicy.forwarded import ForwardedSource, ImmediatePeer

from ..programs import require_curl_with_openssl  # noqa: TID252 - tests are no package that could be named
from .backend import Backend  # noqa: TID252 - the same
from .clients import STRANGER, Answer, curl, raw, twice  # noqa: TID252 - the same
from .smuggling import Fields, attacks, raw_requests  # noqa: TID252 - the same


@dataclass(frozen=True)
class Proxied:
    """A proxy that listens, and the program behind it.

    Attributes:
        port: Of the proxy.
        folder: Of the clients' files.
        backend: The program.
    """

    port: int
    folder: Path
    backend: Backend

    @property
    def source(self) -> ForwardedSource:
        """What reads the certificate."""
        return self.backend.source

    def ask(self, client: str | None, *headers: str, options: tuple[str, ...] = ()) -> Answer:
        """Ask through the proxy with curl."""
        require_curl_with_openssl()
        return curl(f"https://localhost:{self.port}/", self.folder, client, *headers, options=options)

    def raw(self, client: str | None, request: bytes) -> Answer:
        """Ask through the proxy with bytes of one's own."""
        return raw(self.port, self.folder, client, request)

    def direct(self, *headers: str, options: tuple[str, ...] = ()) -> Answer:
        """Ask the program itself, past the proxy."""
        url = f"http://127.0.0.1:{self.backend.port}/"
        return curl(url, self.folder, None, *headers, options=options)

    def written_for(self, client: str) -> Fields:
        """Return the headers of ours that the proxy writes for *client*."""
        assert self.ask(client).identity == client
        fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in self.backend.requests[-1]]
        return [(name, value) for name, value in fields if name.lower() in self.source.own]


def require_nobody_else(answer: Answer, client: str | None, attack: str) -> None:
    """Hold that a request of *client* was refused, or let in as nobody else: not as frodo, and not as anonymous."""
    if answer.admitted:
        assert answer.identity == client, f"{attack}: {client} was taken for {answer.identity}"
    elif answer.told is not None:
        # what lost its intermediate on the way is refused for that
        assert (answer.code or "").startswith("forwarded.") or answer.code == "path.no-issuer", f"{attack}: {answer}"
        assert answer.status >= 400
    else:
        assert answer.status == 0 or answer.status >= 400, f"{attack}: {answer}"


class ProxyRules:
    """The rules; a class below it says how its proxy is started, which asks for certificates and verifies them.

    Attributes:
        anonymous: What a request without certificate is answered; ``None``: it is let in, as nobody.
        forwarded: Certificates of a client that the proxy forwards. Where it is one, the program's trust store has the
            intermediate; where it is two, it has not.
    """

    anonymous: ClassVar[str | None] = None
    forwarded: ClassVar[int] = 2

    @classmethod
    def behind(cls, certificates: Path, folder: Path) -> AbstractContextManager[Proxied]:
        """Run the proxy with the *certificates* of a folder and files of its own in another."""
        raise NotImplementedError

    def test_a_good_client_is_admitted_with_its_identity(self, proxied: Proxied) -> None:
        """Each client is who its certificate says, over several requests on one connection of the proxy too."""
        for client in ("frodo", "sam", "frodo"):
            assert proxied.ask(client).identity == client

    def test_a_client_that_is_not_meant_is_refused(self, proxied: Proxied) -> None:
        """What the proxy verifies is the CA; who of its clients is meant, our policy decides."""
        answer = proxied.ask("gollum")
        assert (answer.status, answer.code) == (403, "name.mismatch")

    def test_a_client_of_a_wrong_authority_is_refused(self, proxied: Proxied) -> None:
        """Nobody of an authority that is not trusted reaches an application, whatever name it gives itself."""
        answer = proxied.ask("stranger")
        assert not answer.admitted

    def test_no_certificate_is_nobody(self, proxied: Proxied) -> None:
        """Where certificates are optional, a request without one is None, before and after one with a certificate."""
        self._require_anonymous(proxied.ask(None))
        assert proxied.ask("frodo").identity == "frodo"
        self._require_anonymous(proxied.ask(None))

    def _require_anonymous(self, answer: Answer) -> None:
        assert answer.code == self.anonymous
        assert answer.admitted == (self.anonymous is None)
        assert answer.told is not None
        assert answer.told.get("identity") is None

    @pytest.mark.parametrize("client", [None, "sam"])
    def test_a_smuggled_header_is_never_believed(self, proxied: Proxied, client: str | None) -> None:
        """However a client writes frodo's certificate, it is who it is or nothing: never frodo, never nobody."""
        before = len(proxied.backend.requests)
        for attack, fields in attacks(proxied.written_for("frodo")):
            lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
            request = f"GET / HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode("ascii")
            require_nobody_else(proxied.raw(client, request), client, attack)
        assert len(proxied.backend.requests) > before + 1

    @pytest.mark.parametrize("client", [None, "sam"])
    def test_what_is_no_plain_header_is_never_believed(self, proxied: Proxied, client: str | None) -> None:
        """Trailers, folded lines and the like do no better than headers."""
        for attack, request in raw_requests(proxied.written_for("frodo")):
            require_nobody_else(proxied.raw(client, request), client, attack)

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_client_that_resumes_its_session_is_the_same(self, proxied: Proxied, version: ssl.TLSVersion) -> None:
        """A second connection is admitted as the first: the proxy forwards the chain again, or resumes nothing."""
        answers = twice(proxied.port, proxied.folder, "frodo", version)
        assert [answer.identity for answer in answers] == ["frodo", "frodo"]

    def test_the_intermediate_comes_from_where_the_page_says(self, proxied: Proxied) -> None:
        """A leaf of an issuing CA is admitted: by the forwarded chain if the store lacks the CA, else by the store."""
        assert proxied.ask("frodo").identity == "frodo"
        chain = proxied.source.read(proxied.backend.requests[-1], peer=ImmediatePeer("127.0.0.1"))
        assert chain is not None
        assert len(chain.ders) == self.forwarded
        alone = proxied.backend.verifier.decide(chain.ders[0])
        assert alone.code == ("path.no-issuer" if self.forwarded > 1 else "name.match")

    def test_a_direct_connection_with_a_forged_header_is_refused(self, proxied: Proxied) -> None:
        """Who reaches the program past the proxy is refused for what the proxy alone may write."""
        headers = [f"{name}: {value}" for name, value in proxied.written_for("frodo")]
        answer = proxied.direct(*headers, options=("--interface", STRANGER))
        assert (answer.status, answer.code) == (403, "forwarded.untrusted-proxy")
        told = proxied.direct(*headers, "X-Forwarded-For: 127.0.0.1", options=("--interface", STRANGER))
        assert told.code == "forwarded.untrusted-proxy"

    def test_an_own_header_in_the_proxys_place_is_overwritten(self, proxied: Proxied) -> None:
        """The sanitising lines do their work: the plain forgery leaves a client as who it is, and is not an error."""
        headers = [f"{name}: {value}" for name, value in proxied.written_for("frodo")]
        assert proxied.ask("sam", *headers).identity == "sam"
        self._require_anonymous(proxied.ask(None, *headers))


class HTTP2Rules:
    """The rule of proxies that speak HTTP/2 with clients."""

    @pytest.mark.parametrize("client", [None, "sam"])
    def test_a_header_smuggled_over_http2_is_never_believed(self, proxied: Proxied, client: str | None) -> None:
        """HTTP/2 is no way around."""
        versions: set[str | None] = set()
        for attack, fields in attacks(proxied.written_for("frodo"), each=False):
            # curl removes a header that has nothing after the colon, and sends it empty for a semicolon
            headers = [f"{name}: {value}" if value else f"{name};" for name, value in fields]
            answer = proxied.ask(client, *headers, options=("--http2",))
            versions.add(answer.version if answer.told is not None else None)
            require_nobody_else(answer, client, attack)
        assert versions <= {"2", None}
        assert "2" in versions


class UnverifiedRules(ProxyRules):
    """The rules where the proxy asks for certificates and leaves it to our validation whether they are any good."""

    def test_a_client_of_a_wrong_authority_is_refused(self, proxied: Proxied) -> None:
        """It reaches the program, which says why it is refused: its path does not lead to an anchor."""
        answer = proxied.ask("stranger")
        assert (answer.status, answer.code) == (403, "path.no-issuer")

"""An OCSP responder and distribution point for tests: a real HTTP server on loopback, on a thread of its own.

It answers by what its authority knows, or as it is told to, wrong answers included. It is no responder for production:
it keeps no answers, and it answers whoever reaches it.
"""

from __future__ import annotations

import base64
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack, cast
from urllib.parse import unquote

from cryptography.hazmat.primitives.serialization import Encoding

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing._issued import IssuedCertificate
from mtlspolicy.testing._ocsp_answers import AnswerOptions, OCSPAnswers, Script, TransferOptions

if TYPE_CHECKING:
    from cryptography import x509

    from mtlspolicy.testing._authority import CertificateAuthority

_HOST: Final = "127.0.0.1"
_LONGEST: Final = 64 * 1024
"""Bytes of a request that are read; one has a hundred or two."""
_POLL: Final = 0.05
"""Seconds in which the thread notices at the latest that it is to end."""
_OCSP, _CRL = "/ocsp", "/crl"


class OCSPResponder:
    """A responder for the certificates of one authority; use it as a context manager. It also serves the CRL.

    Where nothing else was ordered, it says what the authority knows: good, revoked (`CertificateAuthority.revoke`), or
    unknown for a serial number that it never issued. By GET and POST (RFC 6960, appendix A.1), on 127.0.0.1, at a port
    that was free. Leaving the block closes every connection and ends every thread, also one that was never to answer.

    .. code-block:: python

       with authority.ocsp_responder() as responder:
           frodo = authority.issue_client("frodo", ocsp_url=responder.url)
           responder.answer(frodo, status="try-later")     # for frodo
           responder.answer(delay=2.0)                     # for all others

    Args:
        authority: Who issued the certificates; `CertificateAuthority.ocsp_responder` passes itself.
    """

    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority
        self._answers = OCSPAnswers(authority, lambda: (self.url, self.crl_url))
        self._scripts: dict[int | None, Script] = {}
        self._crl_script = Script()
        self._lock = threading.Lock()
        self._counts = {_OCSP: 0, _CRL: 0}
        self._stopping = threading.Event()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Listen, and answer from now on.

        Raises:
            ConfigurationError: It has run before.
        """
        if self._server is not None:
            raise ConfigurationError("a responder runs once: ask the authority for another one")
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="ocsp responder", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection, and return when every thread has ended."""
        self._stopping.set()
        if self._server is not None and self._thread is not None:
            self._server.end()
            self._thread.join()

    @property
    def url(self) -> str:
        """Where it answers OCSP requests.

        Raises:
            ConfigurationError: It does not run yet.
        """
        return f"{self._origin}{_OCSP}"

    @property
    def crl_url(self) -> str:
        """Where it serves the authority's revocation list, signed anew for each request, DER.

        Raises:
            ConfigurationError: It does not run yet.
        """
        return f"{self._origin}{_CRL}"

    @property
    def _origin(self) -> str:
        if self._server is None:
            raise ConfigurationError("the responder does not run: with authority.ocsp_responder() as responder")
        return f"http://{_HOST}:{self._server.server_port}"

    @property
    def requests(self) -> int:
        """How many OCSP requests have come, answered or not."""
        return self._counts[_OCSP]

    @property
    def crl_requests(self) -> int:
        """How many requests for the revocation list have come."""
        return self._counts[_CRL]

    def answer(self, *certificates: IssuedCertificate | x509.Certificate, **options: Unpack[AnswerOptions]) -> None:
        """Answer from now on as *options* say, in place of what was said before.

        Args:
            certificates: About these; with none, about all for which no answer of their own was ordered.
            options: See `AnswerOptions`; none at all is what a good responder says.

        Raises:
            ConfigurationError: An option has a value that means nothing.
        """
        script = Script(**options)
        ordered = dict.fromkeys(map(_serial, certificates) if certificates else (None,), script)
        with self._lock:
            self._scripts.update(ordered)

    def answer_crl(self, **options: Unpack[TransferOptions]) -> None:
        """Serve the revocation list from now on as *options* say; ``body=`` is another list, or none."""
        self._crl_script = Script(**options)

    def delegate(self, signer: str = "delegate") -> IssuedCertificate:
        """Return the certificate of one of its delegates, by its name in `AnswerOptions`; it can be revoked as well.

        Raises:
            ConfigurationError: No delegate has this name.
        """
        with self._lock:
            return self._answers.delegate(signer)

    def _ocsp(self, request: bytes) -> tuple[bytes, Script]:
        with self._lock:
            self._counts[_OCSP] += 1
            return self._answers.response(request, self._scripts)

    def _crl(self) -> tuple[bytes, Script]:
        with self._lock:
            self._counts[_CRL] += 1
            script = self._crl_script
            return self._authority.crl().public_bytes(Encoding.DER) if script.body is None else script.body, script


def _serial(certificate: IssuedCertificate | x509.Certificate) -> int:
    parsed = certificate.certificate if isinstance(certificate, IssuedCertificate) else certificate
    return parsed.serial_number


class _Server(ThreadingHTTPServer):
    """One thread for each connection; it knows those that are open, so that it can end them."""

    daemon_threads = False
    request_queue_size = 64

    def __init__(self, responder: OCSPResponder) -> None:
        super().__init__((_HOST, 0), _Handler)
        self.responder = responder
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print no traceback: a client that hangs up early is no error here."""

    def end(self) -> None:
        """Take no more connections, close those that are open, and wait for their threads."""
        self.shutdown()
        with self._guard:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One request; HTTP/1.0, so that each connection has one."""

    @property
    def _responder(self) -> OCSPResponder:
        return cast("_Server", self.server).responder

    def do_GET(self) -> None:
        if self.path == _CRL:
            self._send(*self._responder._crl(), "application/pkix-crl")
        elif self.path.startswith(f"{_OCSP}/"):
            encoded = unquote(self.path[len(_OCSP) + 1 :])
            self._answer(_decoded(encoded))
        else:
            self._send(b"", Script(http_status=HTTPStatus.NOT_FOUND), "text/plain")

    def do_POST(self) -> None:
        if self.path.rstrip("/") == _OCSP:
            length = self.headers.get("Content-Length", "")
            self._answer(self.rfile.read(min(int(length), _LONGEST)) if length.isdecimal() else b"")
        else:
            self._send(b"", Script(http_status=HTTPStatus.NOT_FOUND), "text/plain")

    def _answer(self, request: bytes) -> None:
        self._send(*self._responder._ocsp(request), "application/ocsp-response")

    def _send(self, body: bytes, script: Script, kind: str) -> None:
        stopping = self._responder._stopping
        if script.never:
            stopping.wait()
            return
        if script.delay and stopping.wait(script.delay):
            return
        head = (
            f"HTTP/1.0 {int(script.http_status)} told\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            "Connection: close\r\n\r\n"
        )
        message = head.encode("ascii") + body
        step = 1 if script.pause else len(message)
        for start in range(0, len(message), step):
            self.wfile.write(message[start : start + step])
            if script.pause and stopping.wait(script.pause):
                return

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Print nothing."""


def _decoded(text: str) -> bytes:
    with suppress(ValueError):
        return base64.b64decode(text, validate=True)
    return b""

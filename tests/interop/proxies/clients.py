"""Who asks through a proxy: curl, and a client of our own that writes what curl does not. And what they are told."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from ..programs import run  # noqa: TID252 - tests are no package that could be named
from .programs import HOST  # noqa: TID252 - the same

_SECONDS: Final = 20.0
STRANGER: Final = "127.0.0.9"
"""An address of loopback that no proxy has: Linux lends the whole network."""


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: Of HTTP; 0 where there was no answer at all.
        told: What our program said; ``None``: it was not asked, the proxy refused by itself.
        version: Of HTTP, as curl says it, ``"2"`` for one.
    """

    status: int
    told: dict[str, Any] | None
    version: str = ""

    @property
    def code(self) -> str | None:
        """The code of our refusal."""
        return None if self.told is None else self.told.get("code")

    @property
    def admitted(self) -> bool:
        """Whether our program let the request in, as somebody or as nobody."""
        return self.told is not None and "identity" in self.told

    @property
    def identity(self) -> str | None:
        """Who we think that the client is; ``None``: nobody. An error where the request was not let in."""
        assert self.admitted, self
        assert self.told is not None
        found: str | None = self.told["identity"]
        return found


def answer_of(status: int, body: str) -> Answer:
    """Return the answer in *body*, which is JSON if it is ours."""
    try:
        told = json.loads(body)
    except ValueError:
        return Answer(status, None)
    return Answer(status, told if isinstance(told, dict) and ("identity" in told or "code" in told) else None)


def curl(url: str, folder: Path, client: str | None, *headers: str, options: tuple[str, ...] = ()) -> Answer:
    """Ask with curl.

    Args:
        url: Whom.
        folder: Of the files.
        client: Name of the client's files; ``None``: without certificate.
        headers: ``Name: value``.
        options: Further options.
    """
    arguments = ["--silent", "--max-time", "20", "--cacert", str(folder / "web.pem")]
    arguments += ["--write-out", "\n%{http_code} %{http_version}"]
    if client is not None:
        arguments += ["--cert", str(folder / f"{client}.pem"), "--key", str(folder / f"{client}.key")]
    for header in headers:
        arguments += ["--header", header]
    body, _, line = run("curl", *arguments, *options, url).stdout.rpartition("\n")
    status, version = line.split()
    return replace(answer_of(int(status), body), version=version)


def raw(port: int, folder: Path, client: str | None, request: bytes) -> Answer:
    """Send the bytes of one request and return the answer; who slams the door has answered as well.

    Args:
        port: Of the proxy, on loopback.
        folder: Of the files.
        client: Name of the client's files; ``None``: without certificate.
        request: All of it.
    """
    context = ssl.create_default_context(cafile=str(folder / "web.pem"))
    if client is not None:
        context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    with socket.create_connection((HOST, port), timeout=_SECONDS) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                connection.sendall(request)
                with http.client.HTTPResponse(connection) as response:
                    response.begin()
                    return answer_of(response.status, response.read().decode("latin-1"))
        except (ssl.SSLError, ConnectionError, http.client.HTTPException):
            return Answer(0, None)


def twice(port: int, folder: Path, client: str, version: ssl.TLSVersion) -> list[Answer]:
    """Ask on one connection, and on a second one that resumes the session of the first if the proxy lets it."""
    context = ssl.create_default_context(cafile=str(folder / "web.pem"))
    context.load_cert_chain(folder / f"{client}.pem", folder / f"{client}.key")
    context.minimum_version = context.maximum_version = version
    answers: list[Answer] = []
    session: ssl.SSLSession | None = None
    for _ in range(2):
        with (
            socket.create_connection((HOST, port), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with http.client.HTTPResponse(connection) as response:
                response.begin()
                answers.append(answer_of(response.status, response.read().decode("latin-1")))
            session = connection.session
    return answers

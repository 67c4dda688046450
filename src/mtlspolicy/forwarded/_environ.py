"""Reads header fields out of a WSGI environ, where the server lets nobody put one of ours in under another name.

WSGI writes ``-`` and ``_`` alike and joins copies by commas: what a client smuggled in cannot be told from what the
proxy wrote. So the server must drop names with an underscore, and a comma is never taken for a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._headers import JoinedHeaders, canonical
from mtlspolicy.forwarded._source import ForwardedSource

__all__ = ["clean_environ", "environ_headers"]

_SOFTWARE: Final = re.compile(r"([A-Za-z]+)(?:/(\d+)\.(\d+)(?:\.(\d+))?)?(?![^ ])")
_DROPPING: Final[dict[str, tuple[int, ...]]] = {"gunicorn": (22,), "werkzeug": (2, 3, 8), "waitress": ()}
"""Servers that drop names with an underscore, and since when; measured with an alias alone, before and after it.

gunicorn 20.1 and 21.2 pass them on, 22.0, 23.0 and 27.0 (with both of its parsers, and over HTTP/2) drop them unless
``header_map`` is set to ``dangerous``, which nothing in the environ shows. Werkzeug 2.2.3 passes them on, 2.3.8, 3.0.0
and 3.1.9 drop them. waitress states no version: 1.0.2, 1.4.4, 2.1.2 and 3.0.2 all drop them.
"""
_REFUSED: Final = {
    "wsgiserver": "wsgiref passes names with an underscore on and keeps folded lines",
    "cheroot": "Cheroot passes names with an underscore on, and of two copies the last replaces the first",
}
"""Servers with which no header is the proxy's alone; measured with Python 3.11 and Cheroot 11.1.2."""
_SERVERS_OWN: Final = ("SSL_CLIENT_", "SSL_SERVER_")


def environ_headers(environ: Mapping[str, Any], *, drops_underscores: bool = False) -> JoinedHeaders:
    """Return the header fields of the request, for `ForwardedSource.read`.

    Args:
        environ: What the server has given, before any middleware: `ProxyFix` and the like rewrite it.
        drops_underscores: Say ``True`` where the server drops header names with an underscore and is not one that is
            known to: gunicorn from 22 (unless ``header_map`` says otherwise), Werkzeug from 2.3.8, waitress.

    Raises:
        ConfigurationError: The server is not known to drop them and nobody says so; or it is wsgiref or Cheroot, which
            are refused in any case.
        MalformedEvidence: Two keys are of one header (``forwarded.duplicate``).
    """
    if not isinstance(drops_underscores, bool):
        raise ConfigurationError(f"drops_underscores={drops_underscores!r}: True or False")
    name, version = _server(environ)
    if name in _REFUSED:
        raise ConfigurationError(f"{_REFUSED[name]}: nobody can say who wrote a header. Use gunicorn, waitress or ASGI")
    least = _DROPPING.get(name)
    if not drops_underscores and (least is None or version < least):
        raise ConfigurationError(
            f"SERVER_SOFTWARE={quoted(str(environ.get('SERVER_SOFTWARE', '')), 80)}: this server is not known to drop "
            "header names with an underscore, so a client's X_SSL_Client_Cert reads as the proxy's X-SSL-Client-Cert: "
            "use gunicorn 22 or newer, or have it dropped and say drops_underscores=True"
        )
    # the name keeps its case and its other characters, so that one that is none of ours exactly is seen to be an alias
    fields: dict[str, Any] = {}
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            field = key[5:].replace("_", "-")
            if field in fields:
                raise MalformedEvidence(f"the header {quoted(field, 80)} is there twice", code="forwarded.duplicate")
            fields[field] = value
    protocol = environ.get("SERVER_PROTOCOL")
    return JoinedHeaders(fields, http_version=protocol if isinstance(protocol, str) else None)


def clean_environ(environ: MutableMapping[str, Any], source: ForwardedSource | None = None) -> None:
    """Delete from *environ* what an application could take for a peer, and write ``SSL_CLIENT_VERIFY=NONE``.

    To be done first, whoever sent the request: ``SSL_CLIENT_*`` and ``SSL_SERVER_*`` may come from the environment of
    the process (wsgiref copies it), ``mtlspolicy.*`` from another layer, and the headers from the client himself.

    Args:
        environ: Changed in place.
        source: Whose headers are deleted, in every spelling; ``None``: no header is read.
    """
    own: frozenset[str] = frozenset() if source is None else source.own
    for key in [key for key in environ if _is_identity(key, own)]:
        del environ[key]
    environ["SSL_CLIENT_VERIFY"] = "NONE"


def _is_identity(key: str, own: frozenset[str]) -> bool:
    upper = key.upper()
    while upper.startswith("REDIRECT_"):  # Apache, after an internal redirect
        upper = upper[9:]
    if upper.startswith("HTTP_"):
        return canonical(key[key.upper().index("HTTP_") + 5 :]) in own
    return upper.startswith((*_SERVERS_OWN, "MTLSPOLICY."))


def _server(environ: Mapping[str, Any]) -> tuple[str, tuple[int, ...]]:
    """Return name, lower case, and version of the server as it states them; an empty name where it states none."""
    found = _SOFTWARE.match(str(environ.get("SERVER_SOFTWARE", "")))
    if found is None:
        return "", ()
    name, *version = found.groups()
    return name.lower(), tuple(int(part) for part in version if part is not None)

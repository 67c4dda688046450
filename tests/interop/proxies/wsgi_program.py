"""A WSGI program behind a proxy, as the proxy's page sets it up; gunicorn loads it by name, in a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from mtlspolicy.integrations import wsgi

from .pages import Page  # noqa: TID252 - tests are no package that could be named

PAGE: Final = "MTLSPOLICY_TEST_PAGE"
FOLDER: Final = "MTLSPOLICY_TEST_FOLDER"


def program(page: Page, folder: Path) -> Any:
    """Return the application with the source and verifier of *page*; it lets in who has no certificate, as nobody.

    It tells each caller who he is, and at ``/written`` what the proxy has written for him.
    """
    names = page.namespace(folder)
    source = names["source"]

    def tell(environ: dict[str, Any], start: Any) -> list[bytes]:
        peer = wsgi.peer_or_none(environ)
        return _answer(start, {"identity": None if peer is None else peer.common_name})

    admitting = wsgi.Middleware(tell, source=source, verifier=names["verifier"], required=False)

    def application(environ: dict[str, Any], start: Any) -> Any:
        if environ["PATH_INFO"] != "/written":
            return admitting(environ, start)
        fields = {key[5:].replace("_", "-").lower(): value for key, value in environ.items() if key.startswith("HTTP_")}
        return _answer(start, {"identity": None, "written": [item for item in fields.items() if item[0] in source.own]})

    return application


def _answer(start: Any, told: dict[str, Any]) -> list[bytes]:
    body = json.dumps(told).encode("ascii")
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def __getattr__(name: str) -> Any:
    """Make the application when gunicorn asks for it."""
    if name != "application":
        raise AttributeError(name)
    return program(Page(os.environ[PAGE]), Path(os.environ[FOLDER]))

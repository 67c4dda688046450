"""Werkzeug's server with a strict reading of headers, and the accepted socket for `integrations.wsgi.Middleware`."""

from __future__ import annotations

from typing import Any

from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import ACCEPTED, accepted
from mtlspolicy.integrations._strict_lines import StrictRequests

with Extra("werkzeug"):
    from werkzeug.serving import WSGIRequestHandler

__all__ = ["RequestHandler"]


class RequestHandler(StrictRequests, WSGIRequestHandler):
    """For ``run_simple(..., request_handler=RequestHandler)`` and ``app.run(request_handler=RequestHandler)``."""

    def make_environ(self) -> dict[str, Any]:
        """Return the environ, with what the socket says of its other end."""
        environ: dict[str, Any] = dict(super().make_environ())
        environ[ACCEPTED] = accepted(self.connection)
        return environ

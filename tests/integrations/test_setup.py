"""How the servers are configured: what is refused, and what each configuration leads to."""

from __future__ import annotations

import copy
import runpy
import sys
from typing import Any

import pytest
import uvicorn

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.integrations import hypercorn as our_hypercorn
from mtlspolicy.integrations import uvicorn as our_uvicorn
from mtlspolicy.integrations._immediate import Accepted
from tests.integrations import applications
from tests.integrations.test_tls import _context


@pytest.mark.parametrize("name", sorted(our_uvicorn._HOMES))
def test_each_protocol_is_found_by_its_name_and_is_one_of_uvicorns(name: str) -> None:
    """A worker of another process finds the class by the same path; it is uvicorn's, with something mixed in."""
    found = getattr(our_uvicorn, name)
    assert found is getattr(our_uvicorn, name)
    assert found.__mro__[1] in {our_uvicorn._Introducing, our_uvicorn._Requests, our_uvicorn._WithoutTrailers}
    assert found.__module__ == our_uvicorn.__name__


def test_a_protocol_that_is_not_there_is_none_of_ours() -> None:
    """An AttributeError, as of any module."""
    with pytest.raises(AttributeError, match="ZttpProtocol"):
        _ = our_uvicorn.ZttpProtocol


def test_where_no_websocket_library_is_there_uvicorn_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """uvicorn's automatic choice may be None, which means that upgrades are refused."""
    monkeypatch.setattr("uvicorn.protocols.websockets.auto.AutoWebSocketsProtocol", None)
    assert our_uvicorn.AutoWebSocketsProtocol is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"http": "zttp"}, "http='zttp'"),
        ({"ws": "wsproto2"}, "ws='wsproto2'"),
        ({"context": True, "ssl_certfile": "a.pem"}, "ssl_certfile"),
        ({"context": True, "workers": 2}, "several workers"),
        ({"context": True, "reload": True}, "several workers"),
    ],
)
def test_a_configuration_of_uvicorn_that_would_hide_the_connection_is_refused(options: Any, words: str) -> None:
    """The message names the option and what to do."""
    if options.get("context"):
        options = {**options, "context": _context()}
    with pytest.raises(ConfigurationError, match=words):
        our_uvicorn.config(applications.tell, log_config=None, **options)


def test_without_websockets() -> None:
    """``ws="none"`` stays."""
    assert our_uvicorn.config(applications.tell, log_config=None, ws="none").ws == "none"


def test_run_serves_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` is `config` and a server."""
    served: list[uvicorn.Config] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self: served.append(self.config))
    our_uvicorn.run(applications.tell, context=_context(), log_config=None, http="h11")
    assert isinstance(served[0].http, our_uvicorn.Gated)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quic": 1}, "no such attribute"),
        ({"context": True, "quic_bind": ["127.0.0.1:0"]}, "does not go with context="),
        ({"context": True, "certfile": "a.pem"}, "does not go with context="),
    ],
)
def test_a_configuration_of_hypercorn_that_does_not_fit_is_refused(options: Any, words: str) -> None:
    """HTTP/3 and files of certificates go past the context."""
    if options.get("context"):
        options = {**options, "context": _context()}
    with pytest.raises(ConfigurationError, match=words):
        our_hypercorn.config(**options)


@pytest.mark.skipif(sys.platform == "win32", reason="gunicorn is for Unix")
def test_the_worker_of_gunicorn_names_protocols_that_are_there() -> None:
    """gunicorn hands these names to uvicorn."""
    from mtlspolicy.integrations import gunicorn as our_gunicorn

    for key in ("http", "ws"):
        module, _, name = our_gunicorn.UvicornWorker.CONFIG_KWARGS[key].partition(":")
        assert (module, hasattr(our_uvicorn, name)) == (our_uvicorn.__name__, True)


def test_a_connection_in_a_copied_scope_is_the_same_connection() -> None:
    """Hypercorn's ProxyFix copies the whole scope."""
    found = Accepted(None, address="127.0.0.1")
    assert copy.deepcopy({"a": found})["a"] is found


def test_the_package_of_integrations_imports_no_framework() -> None:
    """Each file is imported by its own name, so that no framework has to be there."""
    assert "uvicorn" not in runpy.run_path(sys.modules["mtlspolicy.integrations"].__file__ or "")

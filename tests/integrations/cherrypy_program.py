"""A site of CherryPy, which has one engine and one server in a process; see test_cherrypy.py. Ends with its input."""

from __future__ import annotations

import json
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from mtlspolicy import VerificationError, policies
from mtlspolicy.integrations import cheroot, wsgi

cherrypy: Any = import_module("cherrypy")  # it has no types
_THROWS: Final = (KeyboardInterrupt, SystemExit, cherrypy.InternalRedirect, VerificationError)


class Site:
    """Tells each caller who it is, and writes one octet for each run."""

    @cherrypy.expose  # type: ignore[untyped-decorator]
    def index(self) -> bytes:
        """Tell who is asking."""
        environ = cherrypy.request.wsgi_environ
        return self._ran(peer=wsgi.peer(environ).common_name, subject=environ["SSL_CLIENT_S_DN"])

    @cherrypy.expose  # type: ignore[untyped-decorator]
    def sam(self) -> bytes:
        """Greet sam."""
        return self._ran(peer=wsgi.require(policies.CommonName("sam"))(cherrypy.request.wsgi_environ).common_name)

    @cherrypy.expose  # type: ignore[untyped-decorator]
    def broken(self) -> None:
        """Fail, as sites do."""
        raise RuntimeError("broken")

    def _ran(self, **told: Any) -> bytes:
        with Path("runs").open("ab") as file:
            file.write(b"x")
        return json.dumps(told).encode("ascii")


def main(mode: str) -> None:
    """Serve; *mode* is a value of ``refuse``, or ``misplaced`` for an adapter where CherryPy does not look for it."""
    context = runpy.run_path("settings.py")["ssl_context"](None, None)
    cherrypy.tree.mount(Site(), "/", {"/": {"request.throws": _THROWS, "wsgi.ExceptionTrapper.throws": _THROWS}})
    cherrypy.config.update({"engine.autoreload.on": False, "log.screen": False})
    cherrypy.server.bind_addr = ("127.0.0.1", 0)
    server = cherrypy.server.httpserver = import_module("cherrypy._cpwsgi_server").CPWSGIServer()
    server.wsgi_app = wsgi.Middleware(cherrypy.tree, source="connection")
    if mode == "misplaced":
        cherrypy.server.ssl_adapter = cheroot.SSLAdapter(context)
    else:
        server.ssl_adapter = cheroot.SSLAdapter(context, refuse=mode)  # type: ignore[arg-type]
    cherrypy.engine.start()
    sys.stdout.write(f"{cherrypy.server.bound_addr[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()
    cherrypy.engine.exit()


if __name__ == "__main__":
    main(sys.argv[1])

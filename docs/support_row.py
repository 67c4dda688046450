"""What a row of the table in ``reference/support.md`` says, and the words for it."""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

from typing import Final, NamedTuple

FEATURES: Final = {
    "before": "refused before the first byte",
    "peer": "peer in the application",
    "route": "policy of a route",
    "resumption": "resumption safe",
    "waits": "async resolver",
    "websocket": "WebSocket",
    "http2": "HTTP/2",
}
OF_CLIENTS: Final = {
    "dns": "DNS name",
    "ip": "IP address",
    "uri": "URI, SPIFFE ID",
    "cn": "CN by name",
    "dialed": "as dialed",
    "kept": "a kept connection is judged again",
}
OF_PROGRAMS: Final = {
    "plain": "asks a server of the standard library",
    "served": "asks an application server",
}
NEVER: Final = "-"
SERVER: Final = "as its server"
TESTS: Final = "tests/integrations/"
EACH: Final = f"{TESTS}test_each_server.py::"
INTEROP: Final = "tests/interop/"
CLIENT_TESTS: Final = "tests/clients/"
MAIL: Final = f"{INTEROP}test_mail.py::"
REAL_GRPC: Final = f"{TESTS}test_grpc.py::test_with_real_servers"


class Row(NamedTuple):
    """One server or client.

    Attributes:
        name: As printed.
        package: Distribution whose version is noted; "": the standard library.
        cells: By feature, the test that shows it, or why not: a text that does not begin with ``tests/``.
    """

    name: str
    package: str
    cells: dict[str, str]

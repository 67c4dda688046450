"""Node against our servers, by its ``https`` and by its ``fetch``: who is admitted, and what the others are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from .conftest import Site, Until  # noqa: TID252 - tests are no package that could be named
from .programs import require, run  # noqa: TID252 - the same
from .serving import serving_all  # noqa: TID252 - the same

SCRIPT: Final = Path(__file__).parent / "data" / "ask.mjs"
CODES: Final = ("name.mismatch", "tls.openssl-no-issuer", "tls.openssl-no-certificate")
TOLD: Final = {"gollum": "socket hang up", "stranger": "alert unknown ca", "nobody": "alert certificate required"}
"""What ``https`` says on TLS 1.3 where the alert of OpenSSL gets through, which it does on threads."""


@pytest.mark.parametrize("by", ["https", "fetch"])
def test_the_right_client_alone_is_served(site: Site, until: Until, by: str) -> None:
    """frodo is told who it is by every kind of server; a wrong name, an unknown CA and no certificate get an error."""
    require("node")
    with serving_all(site.server) as kinds:
        origins = [f"https://localhost:{port}" for port in kinds]
        done = run("node", SCRIPT, by, site.folder, *origins, good=True)
    lines = until(*CODES)
    seen = json.loads(done.stdout)
    if any("missing" in one for one in seen):
        pytest.skip(seen[0]["missing"])
    assert len(seen) == 4 * len(kinds)
    for one in seen:
        kind = kinds[int(one["origin"].rpartition(":")[2])]
        if one["client"] == "frodo":
            assert one["status"] == 200
            assert one["text"].startswith("frodo of CN=Partner Issuing CA,")
        else:
            _was_refused(one, by, kind)
    for code in CODES:
        found = len([line for line in lines if f": {code}: " in line])
        assert found == len(kinds) or (by == "fetch" and found > len(kinds))  # begun again now and then


def _was_refused(one: dict[str, Any], by: str, kind: str) -> None:
    assert "status" not in one
    if by == "fetch":
        assert one["error"] == "fetch failed"
        assert one["code"] in {"UND_ERR_SOCKET", "ECONNRESET"} or one["code"].startswith("ERR_SSL_")
    elif kind == "http.server":
        assert TOLD[one["client"]] in one["error"]
    else:  # asyncio drops the alert
        assert one["code"] == "ECONNRESET"

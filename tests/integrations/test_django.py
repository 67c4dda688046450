"""Django by ASGI and WSGI, in processes of their own: a refusal is the table's answer, whatever its own pages are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.integrations.frameworks import ROWS, asking, judge
from tests.integrations.serving import FOREIGN, HOST, PATIENCE, REPOSITORY, ROOT, listening

posix = pytest.mark.skipif(sys.platform == "win32", reason="the servers take over a descriptor")
_CLASSES: Final = [
    ("GET", f"/{kind}/{name}", None, "frodo", status, words)
    for kind in ("whole", "awaited", "around", "dispatched")
    for name, status, words in (("frodo", 200, "frodo"), ("sam", 403, "name.mismatch"))
]


def _environment(**more: str) -> dict[str, str]:
    paths = [str(REPOSITORY), str(REPOSITORY / "src"), *filter(None, sys.path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **more}


@contextmanager
def _serving(folder: Path, kind: str, **environment: str) -> Generator[int, None, None]:
    """Serve the site by *kind*; yields the port. What it says is in the file ``said`` afterwards."""
    ROOT.issue_server("localhost", HOST).files(folder, name="server")
    (folder / "root.pem").write_bytes(ROOT.pem)
    (folder / "foreign.pem").write_bytes(FOREIGN)
    (folder / "settings.py").write_text(
        "from mtlspolicy.integrations import gunicorn\nfrom tests.integrations import django_site\n"
        'certfile, keyfile = "server.pem", "server.key"\nssl_context = gunicorn.ssl_context(django_site.context())\n',
        encoding="utf-8",
    )
    with listening() as listener:
        bound = ["--bind", f"fd://{listener.fileno()}", "--config", "settings.py", "--log-level", "critical"]
        arguments = {
            "asgi": ["tests.integrations.django_site", str(listener.fileno())],
            "wsgi": ["gunicorn", *bound, "--no-control-socket", "tests.integrations.django_site:wsgi_application"],
        }
        with (folder / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments[kind]],
                cwd=folder, env=_environment(**environment), pass_fds=[listener.fileno()], stderr=said,
            )  # fmt: skip
        try:
            yield listener.getsockname()[1]
        finally:
            process.terminate()
            process.wait(PATIENCE)


@posix
@pytest.mark.parametrize(("kind", "debug"), [("asgi", True), ("asgi", False), ("wsgi", True), ("wsgi", False)])
def test_the_site_over_tls(tmp_path: Path, kind: str, *, debug: bool) -> None:
    """The bank's case and its neighbours, with Django's page for developers and with one of the site's own."""
    environment = {"MTLSPOLICY_TEST_DEBUG": "1"} if debug else {}
    rows = [(*row[:4], 401 if row[5] == "path.no-certificate" else row[4], row[5]) for row in [*ROWS, *_CLASSES]]
    with _serving(tmp_path, kind, **environment) as port:
        judge(port, direct=True, rows=rows)
        with asking(port, "frodo", direct=True) as client:
            headers = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https", "Client-Cert": ":AAAA:"}
            assert client.post("/async/pay", data={"user": "frodo"}, headers=headers).text == "frodo"
            assert client.post("/async/pay", data={"user": "sam"}).json() == {"error": "name.mismatch"}
            assert client.get("/asked").json() == {"error": "name.mismatch"}
            assert client.get("/called-another").status_code == 500
    said = (tmp_path / "said").read_text(encoding="utf-8")
    for refused in ("name.mismatch: expected 'sam', presented 'frodo'", "path.no-certificate: ", "policy.error: "):
        assert f"refused a request over 127.0.0.1: {refused}" in said, said


def test_djangos_own_test_clients(tmp_path: Path) -> None:
    """`as_peer` with each of them, run by Django's own case classes."""
    ended = subprocess.run(
        [sys.executable, "-m", "unittest", "tests.integrations.django_cases"],
        cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False, timeout=PATIENCE * 2,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"^Ran 5 tests", ended.stderr, re.MULTILINE)

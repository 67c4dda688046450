"""What mod_ssl calls a client's certificate, held against what our middleware for WSGI does."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from mtlspolicy import testing
from mtlspolicy.integrations._ssl_client import _names
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate

from .apache import apache  # noqa: TID252 - tests are no package that could be named
from .programs import HOST, free_port  # noqa: TID252 - the same

WEB: Final = CertificateAuthority("Names Web")
ROOT: Final = CertificateAuthority("Names Root")
ISSUING: Final = ROOT.intermediate("Upper").intermediate("Lower")
CLIENTS: Final[dict[str, IssuedCertificate]] = {
    "all": ISSUING.issue_client("frodo", organization='Åé "x", y', dns=["a.test", "b.test"], emails=["f@a.test"]),
    "no subject": ISSUING.issue_client(dns=["only.test"]),
    "control characters": ISSUING.issue_client("fr\no\x7fdo"),
    "special characters": ISSUING.issue_client("#f+\\o; <1> ", attributes={"OU": ["a", "b"]}, emails=["f\\o@a.test"]),
    "of the anchor": ROOT.issue_client("sam", serial=0xA12),
}
NAMES: Final = [
    *("VERIFY", "S_DN", "S_DN_CN", "I_DN", "I_DN_CN", "M_VERSION", "M_SERIAL", "V_START", "V_END", "CERT"),
    *(f"{kind}_{number}" for kind in ("SAN_DNS", "SAN_Email", "CERT_CHAIN") for number in range(3)),
]
_HOST: Final = """
Listen {host}:{port}
<VirtualHost {host}:{port}>
    SSLEngine on
    SSLCertificateFile {folder}/localhost.pem
    SSLCertificateKeyFile {folder}/localhost.key
    SSLCACertificateFile {folder}/root.pem
    SSLVerifyClient require
    SSLVerifyDepth 3
    SSLOptions +StdEnvVars +ExportCertData
{headers}
</VirtualHost>
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Generator[int, None, None]:
    """Run Apache, which answers each name in a header of its own."""
    folder = tmp_path_factory.mktemp("apache")
    WEB.issue_server("localhost").files(folder, name="localhost")
    (folder / "root.pem").write_bytes(ROOT.pem)
    listening = free_port()
    headers = "\n".join(f'    Header always set X-{name} "%{{SSL_CLIENT_{name}}}s"' for name in NAMES)
    with apache(_HOST.format(host=HOST, port=listening, folder=folder, headers=headers), folder, listening):
        yield listening


@pytest.mark.parametrize("who", CLIENTS)
def test_the_names_are_those_of_mod_ssl(port: int, tmp_path: Path, who: str) -> None:
    """Each as Apache writes it, where it has one; what it has not, and an empty name, is ``(null)`` there."""
    context = ssl.create_default_context(cadata=WEB.pem.decode("ascii"))
    context.load_cert_chain(*CLIENTS[who].files(tmp_path))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    connection.request("GET", "/")
    answer = connection.getresponse()
    connection.close()
    theirs = {name: str(answer.headers[f"X-{name}"]).encode("latin-1").decode("utf-8") for name in NAMES}
    written = _names(testing.evidence(certificate=CLIENTS[who]).path.certificates)
    ours = {name: written.get(f"SSL_CLIENT_{name}") or "(null)" for name in NAMES}
    assert {name: text.replace("\n", " ") for name, text in ours.items()} == theirs
    assert set(written) <= {f"SSL_CLIENT_{name}" for name in NAMES}

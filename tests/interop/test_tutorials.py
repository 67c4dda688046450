"""Certificates made by the openssl commands of tutorials, through a real server and curl: X.509 v1 and its price."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509

from mtlspolicy import PathProfile, ReferenceIdentifier, TrustStore, Verifier, policies, tls
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority

from .conftest import Site, Until  # noqa: TID252 - tests are no package that could be named
from .programs import require_curl_with_openssl, run  # noqa: TID252 - the same
from .serving import serving  # noqa: TID252 - the same
from .tutorials import (  # noqa: TID252 - the same
    GATEWAY,
    Made,
    first_guide,
    issue_again,
    makes_version_1,
    second_guide,
)

DATA: Final = Path(__file__).parent / "data"
KEPT: Final = {
    "first": Made(DATA / "first", "client", ("other", "server")),
    "second": Made(DATA / "second", "gateway", ("other",)),
}
GUIDES: Final = {"first": first_guide, "second": second_guide}


@pytest.fixture(scope="module")
def made_here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """Run both guides with the openssl of this machine."""
    return {name: guide(tmp_path_factory.mktemp(name)) for name, guide in GUIDES.items()}


@pytest.fixture(params=["first made here", "second made here", "first kept", "second kept"])
def made(request: pytest.FixtureRequest) -> Made:
    """Return what each guide made: here, by an openssl that makes v1 certificates, and long ago."""
    guide, _, where = str(request.param).partition(" ")
    if where == "kept":
        return KEPT[guide]
    if not makes_version_1():
        pytest.skip("this openssl makes no X.509 v1 certificates (3.2 or newer): the kept ones are tested")
    found: dict[str, Made] = request.getfixturevalue("made_here")
    return found[guide]


def server(made: Made, site: Site, profile: PathProfile) -> ssl.SSLContext:
    """Return a context that admits the right client of a guide; the first guide has a server's certificate too."""
    own = made.files("server")
    credential = tls.Credential.from_files(*own) if own[0].exists() else site.credential()
    policy = policies.CommonName(made.common_name)
    verifier = Verifier.for_clients(trust=TrustStore.from_file(made.root), policy=policy, profile=profile)
    return tls.server_context(credential=credential, verifier=verifier)


def curl(made: Made, site: Site, port: int, files: tuple[Path, Path] | None) -> subprocess.CompletedProcess[str]:
    """Ask the server with certificate and key."""
    require_curl_with_openssl()
    root = made.root if made.files("server")[0].exists() else site.web_root
    shown = () if files is None else ("--cert", files[0], "--key", files[1])
    return run("curl", "-sS", "--max-time", 20, "--cacert", root, *shown, f"https://localhost:{port}/")


@pytest.mark.parametrize("kind", ["http.server", "asyncio"])
def test_direct_admits_the_right_client_and_no_other(
    made: Made, site: Site, until: Until, tmp_path: Path, kind: str
) -> None:
    """Others of the same root, the same name from another root of the same name, and no certificate are refused."""
    subject = {"C": "XX", "O": "Example"} if made.right == "gateway" else {}
    impostor = CertificateAuthority("root", organization=None, attributes=subject)
    assert impostor.certificate.subject == x509.load_pem_x509_certificate(made.root.read_bytes()).subject
    forged = impostor.issue_client(made.common_name).files(tmp_path, name="forged")
    with serving(kind, server(made, site, PathProfile.DIRECT)) as port:
        good = curl(made, site, port, made.files(made.right))
        assert good.returncode == 0, good.stderr
        assert good.stdout.startswith(f"{made.common_name} of ")
        for files in [*map(made.files, made.wrong), forged, None]:
            refused = curl(made, site, port, files)
            assert refused.returncode != 0
            assert refused.stdout == ""
    found = until("name.mismatch", "tls.openssl-no-certificate")
    codes = Counter(line.split(": ")[1] for line in found)
    assert codes.pop("name.mismatch") == len(made.wrong)
    assert codes.pop("tls.openssl-no-certificate") == 1
    # Which of the two depends on whether the root has a key identifier, by which OpenSSL passes it over.
    assert list(codes.items()) in ([("tls.openssl-signature", 1)], [("tls.openssl-no-issuer", 1)])


def test_private_pki_names_the_v1_certificate_and_the_option(made: Made, site: Site, until: Until) -> None:
    """The default profile refuses the right client, and its line has the certificate, its version and the remedy."""
    with serving("http.server", server(made, site, PathProfile.PRIVATE_PKI)) as port:
        refused = curl(made, site, port, made.files(made.right))
        assert refused.returncode != 0
        assert refused.stdout == ""
    (line,) = until("path.version")
    assert f"CN={made.common_name}" in line
    assert "is an X.509 v1 certificate" in line
    assert "'openssl x509 -req' before OpenSSL 3.2" in line
    assert "'-extfile FILE'" in line
    assert "PathProfile.DIRECT" in line


def test_the_option_that_is_named_mends_it(
    made_here: dict[str, Made], site: Site, until: Until, tmp_path: Path
) -> None:
    """The gateway, issued again with -extfile as the refusal says, is admitted under the default profile."""
    made = made_here["second"]
    again = issue_again(made, "gateway", "subjectAltName=DNS:gateway.example\n", tmp_path)
    with serving("http.server", server(made, site, PathProfile.PRIVATE_PKI)) as port:
        good = curl(made, site, port, (again, made.files("gateway")[1]))
        assert good.stdout.startswith(f"{GATEWAY} of ")
        refused = curl(made, site, port, made.files("other"))
        assert refused.stdout == ""
    until("path.version" if makes_version_1() else "name.mismatch")


def test_the_root_that_openssl_3_2_makes_is_refused_for_want_of_constraints(
    made_here: dict[str, Made], tmp_path: Path
) -> None:
    """The root of the first guide is v3 without basicConstraints there: no CA, says the error, and what to add."""
    made = made_here["first"]
    older = makes_version_1()
    root = issue_again(made, "root", "subjectKeyIdentifier=hash\n", tmp_path) if older else made.root
    assert x509.load_pem_x509_certificate(root.read_bytes()).version is x509.Version.v3
    with pytest.raises(ConfigurationError) as caught:
        TrustStore.from_file(root)
    message = str(caught.value)
    assert "root.pem" in message
    assert "CN=root" in message
    assert "it has no basicConstraints" in message
    assert "basicConstraints=critical,CA:TRUE" in message


def test_the_second_guide_under_openssl_3_2_needs_no_special_profile(
    made_here: dict[str, Made], site: Site, tmp_path: Path
) -> None:
    """There the gateway's certificate is v3 with key identifiers alone, which both profiles admit."""
    made = made_here["second"]
    identifiers = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    certificate = issue_again(made, "gateway", identifiers, tmp_path)
    assert x509.load_pem_x509_certificate(certificate.read_bytes()).version is x509.Version.v3
    for profile in (PathProfile.PRIVATE_PKI, PathProfile.DIRECT):
        with serving("http.server", server(made, site, profile)) as port:
            done = curl(made, site, port, (certificate, made.files("gateway")[1]))
        assert done.stdout.startswith(f"{GATEWAY} of ")


@pytest.mark.parametrize("made", ["first made here", "first kept"], indirect=True)
def test_our_client_reaches_the_first_guides_server(made: Made, site: Site) -> None:
    """The server's certificate has no subjectAltName: who says so by name may take its common name, under DIRECT."""
    trust = TrustStore.from_file(made.root)

    def ask(port: int, common_name: str, profile: PathProfile = PathProfile.DIRECT) -> bytes:
        expected = ReferenceIdentifier.common_name(common_name)
        verifier = Verifier.for_servers(trust=trust, expected=expected, profile=profile)
        context = tls.client_context(credential=tls.Credential.from_files(*made.files("client")), verifier=verifier)
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read()
        finally:
            connection.close()

    with serving("http.server", server(made, site, PathProfile.DIRECT)) as port:
        assert ask(port, "localhost").startswith(b"client of CN=root")
        with pytest.raises(tls.HandshakeRejected, match="presented 'localhost'"):
            ask(port, "elsewhere")
        with pytest.raises(tls.HandshakeRejected, match="X.509 v1 certificate"):
            ask(port, "localhost", PathProfile.PRIVATE_PKI)

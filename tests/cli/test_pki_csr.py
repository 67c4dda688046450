"""``mtlspolicy pki csr``: a request is shown, and only what flags confirm is signed."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from .conftest import Call, require_printable  # noqa: TID252 - tests are no package that could be named

Make = Callable[..., Path]
KEY = ec.generate_private_key(ec.SECP256R1())
ALL: Sequence[x509.GeneralName] = (
    x509.DNSName("frodo.test"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    x509.UniformResourceIdentifier("spiffe://a.test/frodo"),
    x509.RFC822Name("frodo@a.test"),
    x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that writes a request."""

    def write(
        *, names: Sequence[x509.GeneralName] = ALL, subject: Sequence[tuple[str, str]] = (("2.5.4.3", "frodo"),),
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY, encoding: Encoding = Encoding.PEM,
    ) -> Path:  # fmt: skip
        attributes = [x509.NameAttribute(x509.ObjectIdentifier(oid), text) for oid, text in subject]
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        path = tmp_path / "request.csr"
        path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding))
        return path

    return write


def test_nothing_is_signed_without_confirmation(call: Call, pki: Path, make: Make) -> None:
    """A request alone is shown and not signed; what is printed to confirm it signs all of it."""
    before = sorted(pki.iterdir())
    answer = call("pki", "csr", pki, make())
    assert answer.status == 1
    for text in ("cn     'frodo'", "dns    'frodo.test'", "ip     '192.0.2.1'", "uri    'spiffe://a.test/frodo'",
                 "email  'frodo@a.test'", "never taken over: subjectAltName RegisteredID",
                 "never taken over: extension 2.5.29.19", "nothing is signed yet"):  # fmt: skip
        assert text in answer.out
    assert sorted(pki.iterdir()) == before
    line = answer.out.splitlines()[-1]
    assert "--as client" in line
    assert call(*shlex.split(line)[1:]).status == 0
    assert (pki / "frodo.pem").exists()


def test_only_what_is_asked_and_confirmed(call: Call, pki: Path, make: Make) -> None:
    """The certificate holds the confirmed names, the request's key, and nothing else of the request: it is no CA."""
    request = make(subject=(("2.5.4.10", "Acme"), ("2.5.4.3", "frodo"), ("2.5.4.3", "admin")))
    answer = call("pki", "csr", pki, request, "--as", "client", "--cn", "frodo", "--dns", "frodo.test")
    assert answer.status == 0, answer.err
    assert "left out, not confirmed: uri 'spiffe://a.test/frodo'" in answer.out
    assert "never taken over: subject O=Acme" in answer.out
    assert "never taken over: a further common name admin" in answer.out
    certificate = x509.load_pem_x509_certificate((pki / "frodo.pem").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=frodo"
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(san) == [x509.DNSName("frodo.test")]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.public_key() == KEY.public_key()
    assert not (pki / "frodo.key").exists()


@pytest.mark.parametrize(
    "flag", ["--cn=admin", "--dns=*.test", "--ip=192.0.2.2", "--uri=spiffe://a.test/x", "--email=x@a.test"]
)
def test_what_is_not_asked_for_is_not_given(call: Call, pki: Path, make: Make, flag: str) -> None:
    """A flag that confirms what the request does not ask for is an error, and nothing is signed."""
    before = sorted(pki.iterdir())
    answer = call("pki", "csr", pki, make(), "--as", "client", flag)
    assert answer.status == 2
    assert "the request does not ask for it" in answer.err
    assert sorted(pki.iterdir()) == before


def test_a_server_without_a_common_name(call: Call, pki: Path, make: Make) -> None:
    """A request without common name is signed by its other names; DER and standard input are read."""
    request = make(subject=(), names=[x509.DNSName("api.test")], encoding=Encoding.DER)
    assert "--as server --dns=api.test" in call("pki", "csr", pki, request).out
    answer = call("pki", "csr", pki, request, "--as", "server", "--dns", "api.test", "--out", "api", "--days", "5")
    assert answer.status == 0
    assert "signed for a server" in answer.out
    assert (pki / "api.pem").exists()


def test_where_to_ask_is_said_by_the_ca(call: Call, pki: Path, make: Make) -> None:
    """The places of the responder and of the list come from flags, as for the other certificates of the CA."""
    words = ("--as", "client", "--cn", "frodo", "--ocsp-url", "http://ocsp.test/")
    assert call("pki", "csr", pki, make(), *words).status == 0
    assert "OCSP responder   http://ocsp.test/" in call("inspect", pki / "frodo.pem").out


def test_a_request_without_names(call: Call, pki: Path, make: Make) -> None:
    """A request that asks for no name is shown as such and cannot be signed."""
    request = make(subject=(), names=())
    answer = call("pki", "csr", pki, request, "--as", "client")
    assert answer.status == 1
    assert "no name" in answer.out


def test_a_weak_key(call: Call, pki: Path, make: Make) -> None:
    """A request for a key that no verifier accepts is not signed."""
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak on purpose
    answer = call("pki", "csr", pki, make(key=weak), "--as", "client", "--cn", "frodo")
    assert answer.status == 2
    assert "RSA key of 1024 bits" in answer.err
    assert not (pki / "frodo.pem").exists()


def test_possession_of_the_key(call: Call, pki: Path, make: Make) -> None:
    """A request that its own key did not sign is refused: somebody else's key could be in it."""
    data = bytearray(make(encoding=Encoding.DER).read_bytes())
    data[data.index(b"frodo")] ^= 1
    request = make()
    request.write_bytes(bytes(data))
    answer = call("pki", "csr", pki, request, "--as", "client", "--cn", "grodo")
    assert answer.status == 2
    assert "not signed by its own key" in answer.err


@pytest.mark.parametrize(
    "content", [b"junk", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
)
def test_what_is_no_request(call: Call, pki: Path, tmp_path: Path, content: bytes) -> None:
    """Bytes that are no request are an error that names the file."""
    request = tmp_path / "junk.csr"
    request.write_bytes(content)
    answer = call("pki", "csr", pki, request)
    assert answer.status == 2
    assert "junk.csr' is no signing request" in answer.err


@pytest.mark.parametrize("name", ["fro\x1b[31mdo", "frodo\nsigned for a server", "\u202eodorf", "--dns=admin.test"])
def test_a_hostile_request(call: Call, pki: Path, make: Make, name: str) -> None:
    """Hostile names are shown escaped, never as flags of the proposed command, and never signed where they control."""
    request = make(subject=(("2.5.4.3", name),), names=())
    shown = call("pki", "csr", pki, request)
    assert shown.status == 1
    require_printable(shown.out)
    assert shlex.split(shown.out.splitlines()[-1])[-1].startswith("--cn=")
    signed = call("pki", "csr", pki, request, "--as", "client", f"--cn={name}")
    assert signed.status == (0 if name.isprintable() else 2)
    require_printable(signed.out + signed.err)

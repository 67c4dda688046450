"""A header that cannot be read: the message names it, says what is wrong, and what to set in which proxy."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from mtlspolicy import forwarded
from mtlspolicy.errors import MalformedEvidence
from mtlspolicy.forwarded import ForwardedSource
from mtlspolicy.forwarded._advice import advice_for, advised
from mtlspolicy.forwarded._header_dialect import CertificateHeaders
from mtlspolicy.forwarded._options import source_of
from tests.forwarded.dialects import BY_NAME, EVERY
from tests.forwarded.writing import FRODO, PROXY, TRUSTED, escaped, item, pem

CERT, VERIFY = "x-ssl-client-cert", "x-ssl-client-verify"
LONGEST = 600
"""Characters of a message; what a client sends has at most 80 of them."""
DOCUMENTED = {
    "nginx": forwarded.nginx, "haproxy": forwarded.haproxy, "apache": forwarded.apache, "caddy": forwarded.caddy,
    "google_cloud": forwarded.google_cloud, "azure_application_gateway": forwarded.azure_application_gateway,
}  # fmt: skip
"""Constructors whose description has the lines of the proxy's configuration."""


def refused(source: ForwardedSource, *fields: tuple[str, str]) -> str:
    """Return the message with which a request is refused as malformed."""
    with pytest.raises(MalformedEvidence) as caught:
        source.read(list(fields), peer=PROXY)
    assert caught.value.code == "forwarded.malformed"
    return str(caught.value)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("value", ["%zz", "hello", "-----BEGIN CERTIFICATE-----\n\tMII", "\x00", "é", "\x1b[31m" * 999])
def test_every_dialect_names_header_and_remedy(name: str, value: str) -> None:
    """Whatever stands in place of a certificate: the header's name, and what to set so that the proxy writes it."""
    row = BY_NAME[name]
    source = row.source()
    said = refused(source, *row.headers(FRODO.der, leaf=value))
    advice = source.dialect.advice()
    assert advice
    assert said.startswith(f"the header {row.leaf!r}")
    assert said.endswith(f"; {advice}")
    assert said.isprintable()
    assert len(said) <= LONGEST
    assert source.dialect.advice(row.leaf) == advice
    assert "HEADER" not in advice
    assert "FORM" not in advice


@pytest.mark.parametrize(("name", "header"), [(name, one) for name in EVERY for one in BY_NAME[name].chain])
def test_the_headers_of_the_chain_too(name: str, header: str) -> None:
    """What cannot be read in a header of the chain names that header, and what belongs there."""
    row = BY_NAME[name]
    said = refused(row.source(), *row.headers(FRODO.der), *((one, "%zz") for one in row.chain if one <= header))
    assert said.startswith(f"the header {row.chain[0]!r}: ")
    assert said.endswith(row.source().dialect.advice(row.chain[0]))
    assert row.source().dialect.advice(header) != row.source().dialect.advice() or name.startswith("custom")


def test_what_nginx_is_to_write() -> None:
    """Garbage and the folded variable: the line for nginx, with the name that the header has here."""
    source = forwarded.nginx(trusted=TRUSTED, header="ssl-client-cert")
    line = "proxy_set_header ssl-client-cert $ssl_client_escaped_cert;"
    for value in ("%zz", "hello", "a b", pem(FRODO.der), pem(FRODO.der).replace("\n", "\n\t").strip()):
        said = refused(source, ("ssl-client-cert", value), (VERIFY, "SUCCESS"))
        assert said.startswith("the header 'ssl-client-cert'")
        assert line in said
        assert "($ssl_client_cert has line ends)" in said
    said = refused(
        source,
        ("ssl-client-cert", quote("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")),
        (VERIFY, "SUCCESS"),
    )
    assert said.startswith("forwarded certificate 1 of 1: ")
    assert line in said
    assert line in refused(source, ("ssl-client-cert", escaped(FRODO.der, FRODO.der)), (VERIFY, "SUCCESS"))


@pytest.mark.parametrize("word", ["OK", "success", "SUCCESS\n", "\x00"])
def test_a_verdict_that_is_no_word(word: str) -> None:
    """A verdict in words that nginx does not have names its own header and variable, not those of the certificate."""
    said = refused(forwarded.nginx(trusted=TRUSTED), (CERT, escaped(FRODO.der)), (VERIFY, word))
    assert said.startswith(f"the header {VERIFY!r} ")
    assert said.endswith(f"have nginx write it: proxy_set_header {VERIFY} $ssl_client_verify;")


def test_a_digest_of_another_certificate() -> None:
    """So does a digest that is not that of the certificate."""
    row = BY_NAME["caddy"]
    fields = [(name, "0" * 64 if name == "x-client-fingerprint" else value) for name, value in row.headers(FRODO.der)]
    said = refused(row.source(), *fields)
    assert said.startswith("the header 'x-client-fingerprint' is not the SHA-256")
    assert said.endswith("header_up x-client-fingerprint {http.request.tls.client.fingerprint}")


def test_rfc9440_and_envoy() -> None:
    """The dialects with headers of their own name them as well; Envoy has one setting for everything."""
    source = forwarded.rfc9440(trusted=TRUSTED)
    assert "have the proxy write it as RFC 9440 says" in refused(source, ("client-cert", "MII"))
    said = refused(source, ("client-cert", item(FRODO.der)), ("client-cert-chain", "MII"))
    assert said.startswith("the header 'client-cert-chain': ")
    assert said.endswith("separated by commas")
    for value in ("\x00", "zz" * 999, "Hash=x", 'Cert="%zz"', f"Cert={escaped(FRODO.der)};Hash={'0' * 64}"):
        said = refused(forwarded.envoy(trusted=TRUSTED), ("x-forwarded-client-cert", value))
        assert said.startswith("the header 'x-forwarded-client-cert'")
        assert "set_current_client_cert_details: {cert: true, chain: true}" in said
        assert len(said) <= LONGEST


def test_hostile_labels_stay_short() -> None:
    """What a client writes into the header does not fill the log, and stands there as quoted text."""
    label = "A'\\B"
    block = f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"
    for value in (block, block * 500, f"-----BEGIN {'A' * 9000}-----"):
        said = refused(forwarded.nginx(trusted=TRUSTED), (CERT, quote(value)), (VERIFY, "SUCCESS"))
        assert said.isprintable()
        assert len(said) <= LONGEST


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_lines_are_those_of_the_documentation(name: str) -> None:
    """What a message advises is what the constructor's description says."""
    described = " ".join((DOCUMENTED[name].__doc__ or "").split())
    found = re.findall(r"%\{\w+\}s|%\[[\w,]+\]|\$ssl_\w+|\{[\w.]+\}", " ".join(advice_for(name)))
    assert found
    assert [one for one in found if one not in described] == []


def test_a_dialect_of_ones_own_has_its_own_advice() -> None:
    """A name that is not known has none; the message then ends with what is wrong. Other codes stay as they are."""
    source = source_of(CertificateHeaders(name="mine", leaf="x-cert", form="der-base64"), {"trusted": TRUSTED})
    said = refused(source, ("x-cert", "%zz"))
    assert said.startswith("the header 'x-cert': not base64: ")
    assert ";" not in said
    assert advice_for("mine") == ("", "", "", "")
    large = MalformedEvidence("too large", code="forwarded.too-large")
    assert advised(large, "do this", "x-cert") is large


def test_a_header_that_is_not_of_the_dialect() -> None:
    """The client's address is no matter of the dialect: no advice about certificates is given for it."""
    source = forwarded.nginx(trusted=TRUSTED, client_address=forwarded.x_forwarded_for())
    said = refused(source, ("x-forwarded-for", "\x00"))
    assert said == "the header 'x-forwarded-for' has a line end, another control character or one outside ASCII"

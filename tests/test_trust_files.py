"""CA files: which certificate of a file becomes what, and each shape of file that is refused with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mtlspolicy import _trust_files
from mtlspolicy._certificate import ParsedCertificate
from mtlspolicy._trust import TrustStore
from mtlspolicy._trust_files import certifi_ders
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, broken

ROOT = CertificateAuthority("root one")
OTHER = CertificateAuthority("root two")
ISSUING = ROOT.intermediate("issuing")
LEAF = ISSUING.issue_client("client")
V1_ROOT_PEM = broken("v1-root", ROOT).root_pem


def _roles(store: TrustStore) -> tuple[list[bytes], list[bytes]]:
    return [one.der for one in store.anchors], [one.der for one in store.intermediates]


def test_self_signed_cas_are_anchors_and_other_cas_intermediates(tmp_path: Path) -> None:
    """In a file the root is the anchor and the issuing CA is known, in any order, and text between them is none."""
    for data in (ROOT.pem + ISSUING.pem, b"the issuing CA:\n" + ISSUING.pem + b"\nthe root:\n" + ROOT.pem + ROOT.pem):
        assert _roles(TrustStore.from_pem(data)) == ([ROOT.der], [ISSUING.der])
        (tmp_path / "ca.pem").write_bytes(data)
        assert _roles(TrustStore.from_file(tmp_path / "ca.pem")) == ([ROOT.der], [ISSUING.der])
        assert _roles(TrustStore.from_file(str(tmp_path / "ca.pem"))) == ([ROOT.der], [ISSUING.der])


def test_a_v1_root_is_an_anchor() -> None:
    """The roots of the tutorials are v1; which profile follows them is for the verifier."""
    assert TrustStore.from_pem(V1_ROOT_PEM).anchors[0].version == 1


def test_a_lone_intermediate_is_not_promoted_to_an_anchor() -> None:
    """Removing the root from a file must not free the CA below of the root's constraints."""
    with pytest.raises(ConfigurationError, match="no self-signed CA.* only CN=issuing.* say anchors='all'") as caught:
        TrustStore.from_pem(ISSUING.pem, source="CA file 'x.pem'")
    assert caught.value.code == "trust.no-anchor"
    assert _roles(TrustStore.from_pem(ISSUING.pem, anchors="all")) == ([ISSUING.der], [])


def test_a_roll_over_certificate_is_not_promoted_to_an_anchor() -> None:
    """Self-issued is not self-signed: only a signature by the certificate's own key makes a root."""
    old, new = CertificateAuthority("rolling"), CertificateAuthority("rolling")
    rolled = old.cross_sign(new)
    assert ParsedCertificate(rolled.der).self_issued
    assert _roles(TrustStore.from_pem(old.pem + rolled.pem)) == ([old.der], [rolled.der])
    with pytest.raises(ConfigurationError, match="no self-signed CA certificate"):
        TrustStore.from_pem(rolled.pem)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", "trust.no-certificate", "the PEM data holds no PEM certificate"),
        (b"see -----BEGIN CERTIFICATE-----\n", "trust.no-certificate", "the PEM data holds no certificate"),
        (b"no certificate in here\n", "trust.no-certificate", "holds no PEM certificate: one begins with"),
        (ROOT.der, "trust.no-certificate", "it looks like DER: convert it with 'openssl x509 -inform der"),
        (ROOT.pem + LEAF.key_pem, "trust.private-key", "holds a private key: .* treat it as lost"),
        (ROOT.pem + LEAF.encrypted_key_pem(b"x"), "trust.private-key", "holds a private key"),
        (
            ROOT.pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
            "trust.trusted-certificate",
            "holds a 'TRUSTED CERTIFICATE', whose trust settings only OpenSSL reads: convert",
        ),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "trust.malformed",
            "a PEM block 'PUBLIC KEY' where only certificates belong",
        ),
        (ROOT.pem[:-30], "trust.malformed", "not PEM"),
        (ROOT.pem + broken("truncated", ROOT).certificate_pem, "trust.malformed", "certificate 2: not DER"),
        (ROOT.pem + b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "trust.malformed", "is empty"),
        (
            ROOT.pem + LEAF.certificate_pem,
            "trust.not-a-ca",
            "CN=client is not a CA .*CA:FALSE.* takes the certificates",
        ),
        (
            ROOT.pem + broken("self-signed", ROOT).certificate_pem,
            "trust.not-a-ca",
            "CN=client is self-signed and cannot be a CA: .* TrustStore\\(peers=\\[certificate\\]\\)",
        ),
        (ROOT.pem + broken("duplicate-extension", ROOT).certificate_pem, "trust.malformed", "cannot be read"),
        (ROOT.pem + broken("v1", ROOT).certificate_pem, "trust.not-a-ca", "CN=client cannot be an intermediate.* v1"),
    ],
)
def test_each_shape_of_a_bad_file_is_refused_by_name(data: bytes, code: str, says: str) -> None:
    """Nothing in a CA file is passed over: one entry that does not belong refuses the whole, with the remedy."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        TrustStore.from_pem(data)
    assert caught.value.code == code
    assert "the PEM data" in str(caught.value)


def test_all_as_anchors_is_no_way_around_the_rules() -> None:
    """With ``anchors="all"`` an end entity in the file is refused all the same."""
    with pytest.raises(ConfigurationError, match="the PEM data: CN=client cannot be a trust anchor"):
        TrustStore.from_pem(ROOT.pem + LEAF.certificate_pem, anchors="all")
    given: Any = "some"
    with pytest.raises(ConfigurationError, match="anchors='some': write 'self-signed' or 'all'"):
        TrustStore.from_pem(ROOT.pem, anchors=given)


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    """Missing, a directory, empty, blank or not a path: said at construction, never an empty store."""
    (tmp_path / "empty.pem").write_bytes(b"")
    (tmp_path / "blank.pem").write_bytes(b" \n\t\n")
    cases: list[tuple[Any, str]] = [
        (tmp_path / "missing.pem", "missing.pem' cannot be read: No such file or directory"),
        (tmp_path, "is a directory: use .from_directory"),
        (tmp_path / "empty.pem", "empty.pem' is empty"),
        (tmp_path / "blank.pem", "blank.pem' is empty"),
        ("nul\0byte.pem", r"nul\\x00byte.pem' cannot be read: embedded null"),
        (None, "CA file 'None' cannot be read"),
    ]
    for path, says in cases:
        with pytest.raises(ConfigurationError, match=says) as caught:
            TrustStore.from_file(path)
        assert caught.value.code == "config.file"


def test_a_file_of_another_order_of_size_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is no collection of CA certificates."""
    monkeypatch.setattr(_trust_files, "_LARGEST", 100)
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    with pytest.raises(ConfigurationError, match="bytes; at most 100"):
        TrustStore.from_file(tmp_path / "ca.pem")


def test_a_bad_file_is_named_in_the_message(tmp_path: Path) -> None:
    """Of several files the message names the one that is wrong, with hostile characters escaped."""
    (tmp_path / "good.pem").write_bytes(ROOT.pem)
    bad = tmp_path / "b\x1b[31mad.pem"
    bad.write_bytes(LEAF.certificate_pem)
    with pytest.raises(ConfigurationError) as caught:
        TrustStore.from_files(tmp_path / "good.pem", bad)
    assert "b\\x1b[31mad.pem" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_several_files_join(tmp_path: Path) -> None:
    """Each file is held to the rules by itself: an issuing CA in a file of its own is no reason to promote it."""
    (tmp_path / "one.pem").write_bytes(ROOT.pem + ISSUING.pem)
    (tmp_path / "two.pem").write_bytes(OTHER.pem)
    store = TrustStore.from_files(tmp_path / "one.pem", tmp_path / "two.pem")
    assert _roles(store) == ([ROOT.der, OTHER.der], [ISSUING.der])
    with pytest.raises(ConfigurationError, match="no CA file given"):
        TrustStore.from_files()
    (tmp_path / "alone.pem").write_bytes(ISSUING.pem)
    with pytest.raises(ConfigurationError, match="alone.pem' holds no self-signed"):
        TrustStore.from_files(tmp_path / "two.pem", tmp_path / "alone.pem")


def test_a_directory_is_all_its_certificate_files(tmp_path: Path) -> None:
    """*.pem, *.crt and *.cer, in any case; other files are none of our business, a bad one refuses the whole."""
    (tmp_path / "a.pem").write_bytes(ROOT.pem + ISSUING.pem)
    (tmp_path / "B.CRT").write_bytes(OTHER.pem)
    (tmp_path / "readme.txt").write_bytes(b"text")
    (tmp_path / "server.key").write_bytes(LEAF.key_pem)
    assert set(_roles(TrustStore.from_directory(tmp_path))[0]) == {ROOT.der, OTHER.der}
    assert len(TrustStore.from_directory(str(tmp_path), anchors="all").anchors) == 3
    (tmp_path / "c.cer").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="c.cer' is empty"):
        TrustStore.from_directory(tmp_path)


def test_a_directory_without_certificates_is_refused(tmp_path: Path) -> None:
    """An empty, missing or mistaken directory is an error, not an empty store."""
    with pytest.raises(ConfigurationError, match="has no file \\*.pem, \\*.crt or \\*.cer"):
        TrustStore.from_directory(tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        TrustStore.from_directory(tmp_path / "missing")
    (tmp_path / "file.pem").write_bytes(ROOT.pem)
    with pytest.raises(ConfigurationError, match="file.pem' cannot be read"):
        TrustStore.from_directory(tmp_path / "file.pem")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TrustStore.from_directory(None)


def test_the_public_store_is_certifis() -> None:
    """Every certificate of certifi is an anchor, and nothing else is."""
    public = TrustStore.public()
    assert public.registered == frozenset()
    assert {one.der for one in public.anchors} == certifi_ders()
    assert len(public.anchors) > 100
    keys = {one.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in public.anchors}
    assert len(keys) > 100

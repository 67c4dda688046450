"""Issued certificates: forms on disk and in memory, and where the private key does not go."""

from __future__ import annotations

import copy
import pickle
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority, IssuedCertificate


@pytest.fixture(scope="module")
def leaf() -> IssuedCertificate:
    """Return a client certificate of an intermediate CA."""
    return CertificateAuthority().intermediate("Issuing").issue_client("client")


def test_files_hold_chain_and_key(leaf: IssuedCertificate, tmp_path: Path) -> None:
    """The first file is the chain, leaf first, the second the key of the leaf."""
    chain, key = leaf.files(tmp_path / "new" / "folder", name="client")
    assert (chain.name, key.name) == ("client.pem", "client.key")
    assert x509.load_pem_x509_certificates(chain.read_bytes()) == list(leaf.chain)
    loaded = load_pem_private_key(key.read_bytes(), None)
    assert loaded.public_key() == leaf.certificate.public_key()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits of this kind")
def test_files_are_readable_by_the_owner_alone(leaf: IssuedCertificate, tmp_path: Path) -> None:
    """Both files have mode 0600, also where a file with wider permissions was there before."""
    (tmp_path / "client.key").write_text("old")
    (tmp_path / "client.key").chmod(0o644)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in leaf.files(tmp_path, name="client")}
    assert modes == {0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege on Windows")
def test_files_do_not_follow_links(leaf: IssuedCertificate, tmp_path: Path) -> None:
    """A link of the name is replaced and what it points to stays as it was."""
    target = tmp_path / "target"
    target.write_text("untouched")
    (tmp_path / "client.key").symlink_to(target)
    _, key = leaf.files(tmp_path, name="client")
    assert target.read_text() == "untouched"
    assert not key.is_symlink()


def test_default_file_names_differ_and_repeat(leaf: IssuedCertificate, tmp_path: Path) -> None:
    """Without a name the files of different certificates do not collide, and those of one are the same."""
    other = CertificateAuthority().issue_client("client")
    assert leaf.files(tmp_path) == leaf.files(tmp_path)
    assert leaf.files(tmp_path) != other.files(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("name", ["../client", "a/b", "", "."])
def test_name_with_a_directory_is_refused(leaf: IssuedCertificate, tmp_path: Path, name: str) -> None:
    """A name that leaves the directory is an error, and nothing is written."""
    with pytest.raises(ConfigurationError, match="is not a plain file name"):
        leaf.files(tmp_path / "inner", name=name)
    assert list(tmp_path.iterdir()) == []


def test_tempfiles_are_removed(leaf: IssuedCertificate) -> None:
    """The files are there inside the block and gone after it, also after an exception."""
    paths: list[Path] = []

    def fail_inside() -> None:
        with leaf.tempfiles() as (chain, key):
            paths.extend((chain, key))
            assert chain.read_bytes() == leaf.chain_pem
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert not paths[0].exists()
    assert not paths[1].parent.exists()


@pytest.mark.parametrize("password", [None, b"secret"])
def test_pkcs12_holds_everything(leaf: IssuedCertificate, password: bytes | None) -> None:
    """PKCS #12 gives back key, certificate and chain, under a password or without."""
    bundle = pkcs12.load_pkcs12(leaf.pkcs12(password), password)
    assert bundle.key is not None
    assert bundle.key.public_key() == leaf.certificate.public_key()
    assert bundle.cert is not None
    assert bundle.cert.certificate == leaf.certificate
    assert tuple(extra.certificate for extra in bundle.additional_certs) == leaf.chain[1:]


def test_pkcs12_refuses_a_key_it_is_not_made_for(leaf: IssuedCertificate) -> None:
    """A kind of key that PKCS #12 is not used with here is an error that names the other way."""
    odd = replace(leaf, key=dsa.generate_private_key(1024))  # noqa: S505 - weak on purpose
    with pytest.raises(ConfigurationError, match=r"DSAPrivateKey here: use \.chain_pem and \.key_pem"):
        odd.pkcs12(None)


def test_encrypted_key_needs_its_password(leaf: IssuedCertificate) -> None:
    """The encrypted key opens with its password and with nothing else."""
    pem = leaf.encrypted_key_pem(b"secret")
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in pem
    assert load_pem_private_key(pem, b"secret").public_key() == leaf.certificate.public_key()
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(pem, b"wrong")


def test_certificate_pem_is_the_leaf_alone(leaf: IssuedCertificate) -> None:
    """``certificate_pem`` is one block that cryptography reads as the leaf, its lines 64 characters at most."""
    assert x509.load_pem_x509_certificates(leaf.certificate_pem) == [leaf.certificate]
    assert max(len(line) for line in leaf.certificate_pem.splitlines()) == 64


def test_private_key_does_not_leave_by_itself(leaf: IssuedCertificate) -> None:
    """Neither the representation nor pickling nor copying gives the key away."""
    assert repr(leaf).startswith("IssuedCertificate(sha256=")
    assert "key" not in repr(leaf).lower()
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds a private key"):
            leak(leaf)

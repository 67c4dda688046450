"""The directory of a small CA: which file holds what, and how files with keys come into being.

Every file is made new (never over another one) for its owner alone. The one that is replaced is the revocation list.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast, get_args

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mtlspolicy._text import quoted
from mtlspolicy.cli._ca import Authority
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing._keys import PrivateKey

ROOT: Final = "root.pem"
ROOT_KEY: Final = "root.key"
ISSUING: Final = "issuing.pem"
ISSUING_KEY: Final = "issuing.key"
TRUST: Final = "ca.pem"
"""Root and issuing CA: what the other side trusts."""
CRL: Final = "crl.pem"
_STEM_LIMIT: Final = 64


def make_directory(path: Path) -> None:
    """Make the directory *path* for its owner alone; an empty one that exists becomes so.

    Raises:
        ConfigurationError: It exists with something in it, or cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise ConfigurationError(
                f"the directory {quoted(str(path))} is not empty: nothing is overwritten; name a new one"
            )
        path.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"the directory {quoted(str(path))} cannot be made: {error.strerror or error}"
        ) from None


def write_new(files: Mapping[Path, bytes]) -> None:
    """Write *files*, each new and readable by its owner alone; all of them or none.

    Raises:
        ConfigurationError: One exists already or cannot be written.
    """
    made: list[Path] = []
    for path, content in files.items():
        try:
            # O_EXCL: never over a file, and through no symbolic link (POSIX open).
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            made.append(path)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
        except OSError as error:
            for one in made:
                one.unlink(missing_ok=True)
            raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> ConfigurationError:
    if isinstance(error, FileExistsError):
        return ConfigurationError(
            f"the file {quoted(str(path))} exists already and is not overwritten: give another name with "
            "--out, or move it away"
        )
    return ConfigurationError(f"the file {quoted(str(path))} cannot be written: {error.strerror or error}")


def replace_file(path: Path, content: bytes) -> None:
    """Put *content* in the place of the file *path* in one step, readable by its owner alone.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # mode 0600
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        Path(temporary).replace(path)
    except OSError as error:
        raise _not_written(path, error) from None


def file_stem(name: str) -> str:
    """Return *name* as the beginning of a file name: letters, digits, ``.``, ``_`` and ``-`` alone, not hidden."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-")[:_STEM_LIMIT] or "certificate"


def require_stem(name: str) -> str:
    """Return *name*, given for files, if it is a plain file name.

    Raises:
        ConfigurationError: It leads elsewhere, or holds other characters than `file_stem` leaves.
    """
    if file_stem(name) != name:
        raise ConfigurationError(f"--out {quoted(name)} is no plain file name: use letters, digits, '.', '_' and '-'")
    return name


def load_issuing(directory: Path) -> Authority:
    """Return the issuing CA of *directory*.

    Raises:
        ConfigurationError: A file is missing or unreadable, or key and certificate do not belong together.
    """
    name = quoted(str(directory / ISSUING_KEY))
    try:
        certificate = x509.load_pem_x509_certificate(_read(directory / ISSUING))
        key = load_pem_private_key(_read(directory / ISSUING_KEY), None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"the CA in {quoted(str(directory))} cannot be read: {error}") from None
    if not isinstance(key, get_args(PrivateKey)) or key.public_key() != certificate.public_key():
        raise ConfigurationError(f"the key {name} is not that of {ISSUING} beside it: put the right one back")
    return Authority(certificate, cast("PrivateKey", key), (certificate,))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"the file {quoted(str(path))} cannot be read: {reason}; make a CA with 'mtlspolicy pki new DIR'",
            code="config.file",
        ) from None


def load_crl(directory: Path, authority: Authority) -> x509.CertificateRevocationList | None:
    """Return the revocation list of *directory*, which *authority* has signed; ``None`` where there is none.

    Raises:
        ConfigurationError: It cannot be read, or has another signature.
    """
    path = directory / CRL
    if not path.exists():
        return None
    try:
        crl = x509.load_pem_x509_crl(_read(path))
        signed = crl.is_signature_valid(authority.certificate.public_key())  # type: ignore[arg-type]  # any kind of key
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"the revocation list {quoted(str(path))} cannot be read: {error}") from None
    if not signed:
        raise ConfigurationError(
            f"the revocation list {quoted(str(path))} is not signed by {authority.name}: it was changed, or belongs to "
            "another CA"
        )
    return crl

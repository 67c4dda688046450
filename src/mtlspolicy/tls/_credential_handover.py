"""Hands a chain and its key to OpenSSL, which takes them from paths only (python/cpython#60691).

It decides where the bytes lie for that moment: in memory, in a file without a name, or in a directory of our own.
Wherever that is, the key is PKCS #8 encrypted under a random password that is used once and never written.
"""

from __future__ import annotations

import os
import secrets
import ssl
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from mtlspolicy._text import escape
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tls._credential_source import Secret

Stage = Callable[[Secret], Generator[str, None, None]]
"""A generator that lends one path to read the bytes from, and takes it away when resumed.

`OSError` or `AttributeError` before that: not available here.
"""


def memory_file(content: Secret) -> Generator[str, None, None]:
    """Lend *content* in an anonymous file in memory (Linux ``memfd_create``), closed on exec."""
    yield from _through_descriptor(os.memfd_create("mtlspolicy", os.MFD_CLOEXEC), content)


def nameless_file(content: Secret) -> Generator[str, None, None]:
    """Lend *content* in a file that never has a name (Linux ``O_TMPFILE``; with ``O_EXCL`` it cannot be given one)."""
    flags = os.O_TMPFILE | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    yield from _through_descriptor(os.open(tempfile.gettempdir(), flags, 0o600), content)


def private_directory(content: Secret) -> Generator[str, None, None]:
    """Lend *content* in a file of mode 0600 in a new directory of mode 0700, removed afterwards whatever happened."""
    with tempfile.TemporaryDirectory(prefix="mtlspolicy-") as directory:
        path = Path(directory, "credential.pem")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags, 0o600), "wb") as stream:
            stream.write(content.reveal())
        yield str(path)


STAGES: Final[tuple[Stage, ...]] = (memory_file, nameless_file, private_directory)
"""In the order of preference; the next one is taken when one is not available."""


def _through_descriptor(descriptor: int, content: Secret) -> Generator[str, None, None]:
    with os.fdopen(descriptor, "w+b") as stream:
        stream.write(content.reveal())
        stream.flush()
        path = f"/proc/self/fd/{descriptor}"
        # Opening it is the only sure test that /proc is mounted and lets us in.
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        yield path


@contextmanager
def staged(content: Secret, stages: Sequence[Stage] = STAGES) -> Generator[str, None, None]:
    """Lend a path to read *content* from, by the first of *stages* that is available.

    Raises:
        ConfigurationError: None is.
    """
    reasons: list[str] = []
    for stage in stages:
        with ExitStack() as stack:
            try:
                path = stack.enter_context(contextmanager(stage)(content))
            except (OSError, AttributeError) as error:  # refused by the system, or not there on this platform
                reasons.append(f"{stage.__name__}: {error}")
                continue
            yield path
            return
    raise ConfigurationError(
        f"there is no place to hand the key to OpenSSL from ({'; '.join(reasons)}): mount /proc, or set TMPDIR to a "
        "directory that this user may write to (the key is written encrypted only)",
        code="credential.handover",
    )


def hand_over(
    context: ssl.SSLContext,
    certificates: Sequence[x509.Certificate],
    key: PrivateKeyTypes,
    *,
    stages: Sequence[Stage] = STAGES,
) -> None:
    """Load *certificates* (end entity first) and *key* into *context*.

    Raises:
        ConfigurationError: The key does not leave its device, OpenSSL refuses certificate or key, or no stage is
            available.
    """
    # 256 random bits need no stretching: the 2,048 rounds that cryptography takes cost a quarter of a millisecond.
    password = Secret(secrets.token_hex(32).encode())
    content, problem = _encrypted(certificates, key, password)
    if problem is None:
        with staged(content, stages) as path:
            problem = _load(context, path, password)
    if problem is not None:
        raise ConfigurationError(problem, code="credential.handover")


def _encrypted(
    certificates: Sequence[x509.Certificate], key: PrivateKeyTypes, password: Secret
) -> tuple[Secret, str | None]:
    chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    try:
        protection = BestAvailableEncryption(password.reveal())
        return Secret(chain + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)), None
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm) as error:
        return Secret(b""), (
            f"the private key does not give its bytes ({escape(str(error))}): keys that stay in a device (PKCS #11, "
            "engines of OpenSSL) are not supported; use a key in a file or in memory"
        )


_REMEDIES: Final = {
    "EE_KEY_TOO_SMALL": "have it issued for a key of RSA 2048 bits or more, or EC P-256",
    "CA_KEY_TOO_SMALL": "have it issued by a CA with a key of RSA 2048 bits or more, or EC P-256",
    "CA_MD_TOO_WEAK": "have it issued again with SHA-256 (openssl x509 -req -sha256)",
}
_OTHER_REMEDY: Final = "have it issued for a kind of key that every version takes, such as EC P-256"


def _load(context: ssl.SSLContext, path: str, password: Secret) -> str | None:
    # The password is a callable for OpenSSL, so that no local variable and no argument holds it.
    try:
        context.load_cert_chain(path, password=password.reveal)
    except ssl.SSLError as error:
        reason = str(error.reason)
        return (
            f"{ssl.OPENSSL_VERSION}, which this Python uses, refuses the certificate and key ({escape(reason)}): "
            + _REMEDIES.get(reason, _OTHER_REMEDY)
        )
    return None

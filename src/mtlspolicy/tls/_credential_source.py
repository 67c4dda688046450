"""Where a credential comes from: files, bytes and passwords, read once and kept from every repr, traceback and pickle.

It decides what can be read at all; what the bytes mean is for `_credential_pem` and `_key_loading`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from mtlspolicy._text import escape, quoted
from mtlspolicy.errors import ConfigurationError

MAXIMUM_SIZE: Final = 1 << 20
"""Largest file in bytes: a chain of ten RSA-8192 certificates is 30 KiB, so more is a mistake, such as a log."""

Password = str | bytes | Callable[[], str | bytes] | None
"""A password: text (encoded as UTF-8), bytes, or a callable that is asked only when the key is encrypted."""


class Secret:
    """Bytes that `repr`, a traceback with local variables and a pickle do not show."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """Return the bytes. Pass the call itself on, never through a local variable, which a traceback may show."""
        return self._value

    def __repr__(self) -> str:
        """Show that something is there, not what."""
        return "<secret>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to pickle or copy."""
        raise TypeError("a secret does not pickle")


class PasswordSource:
    """A password that has not been asked for yet.

    Args:
        password: See `Password`. Whatever a callable raises goes through to the caller.
    """

    __slots__ = ("_password",)

    def __init__(self, password: Password) -> None:
        self._password = password

    @property
    def given(self) -> bool:
        """Whether there is a password to ask for."""
        return self._password is not None

    def ask(self, name: str) -> Secret | None:
        """Return the password for what is called *name*, or ``None`` where none was given or it is empty.

        Raises:
            ConfigurationError: It is neither text nor bytes.
        """
        secret = _as_secret(self._password() if callable(self._password) else self._password)
        if secret is None:
            raise ConfigurationError(
                f"the password for {name} is neither bytes nor str that UTF-8 can write: pass password= as one of "
                "these, or as a callable that returns one"
            )
        return secret if secret.reveal() else None

    def __repr__(self) -> str:
        """Show that something is there, not what."""
        return "<password>"


def _as_secret(value: object) -> Secret | None:
    if value is None:
        return Secret(b"")
    if isinstance(value, str):
        try:
            return Secret(
                value.encode("utf-8", "surrogateescape")
            )  # as os.environ and sys.argv give bytes that are no UTF-8
        except UnicodeEncodeError:
            return None
    if isinstance(value, bytes | bytearray):
        return Secret(bytes(value))
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes with a name for messages.

    Attributes:
        name: How messages call it, printable: a quoted path, or "the chain given".
        argument: How a suggested command calls it: the path quoted for a shell, or a placeholder.
        content: The bytes.
    """

    name: str
    argument: str
    content: Secret

    @classmethod
    def of_bytes(cls, value: object, what: str, argument: str) -> Source:
        """Wrap *value* (PEM text or bytes, DER bytes), called ``the {what} given`` in messages.

        Raises:
            ConfigurationError: *value* is neither text nor bytes.
        """
        content = _as_secret(value) if value is not None else None
        if content is None:
            raise ConfigurationError(
                f"the {what} given is a {type(value).__name__}: pass its content as bytes, or paths to "
                "Credential.from_files"
            )
        return cls(f"the {what} given", argument, content)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], what: str) -> Source:
        """Read the file at *path*, which messages say should hold *what*.

        Raises:
            ConfigurationError: *path* holds PEM instead of naming it, or the file is missing, unreadable or too large.
        """
        _refuse_content(path, what)
        # A path on the command line of a message: what the shell needs quoted, and nothing that a terminal obeys.
        name, argument = quoted(os.fspath(path)), escape(shlex.quote(os.fspath(path)))
        try:
            with Path(path).open("rb") as stream:
                content = Secret(stream.read(MAXIMUM_SIZE + 1))
        except FileNotFoundError:
            problem = f"there is no such file. Give the path of {what}; a relative path starts at {_here()}"
        except IsADirectoryError:
            problem = f"it is a directory. Give the path of the file that holds {what}"
        except PermissionError:
            problem = (
                f"this user may not read it. Let the user that runs this program read {what} and nobody else: "
                f"chown USER {argument} && chmod 0400 {argument}"
            )
        except (OSError, ValueError) as error:
            problem = f"it cannot be read ({error}). Give the path of a readable file that holds {what}"
        else:
            if len(content.reveal()) <= MAXIMUM_SIZE:
                return cls(name, argument, content)
            problem = f"it is larger than {MAXIMUM_SIZE} bytes. Give the path of the file that holds {what} alone"
        raise ConfigurationError(f"{name}: {problem}", code="credential.unreadable")


def _here() -> str:
    return quoted(str(Path.cwd()))


def _refuse_content(path: object, what: str) -> None:
    # The message shows nothing of the value: it may be a private key.
    try:
        text = str(Path(path))  # type: ignore[arg-type]
    except TypeError:
        raise ConfigurationError(
            f"the path of {what} is a {type(path).__name__}, not str or os.PathLike: give a path, or give content to "
            "Credential.from_pem"
        ) from None
    if "-----BEGIN" in text:
        raise ConfigurationError(
            f"the path of {what} is PEM text, not a path: give PEM text and bytes to Credential.from_pem"
        )

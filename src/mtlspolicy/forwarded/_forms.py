"""The forms in which headers hold certificates, by name, and the one reader of each.

A reader knows its form alone. What is in another form is malformed, also where somebody could guess it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.forwarded._encodings import base64_der, concatenated_der, malformed, pem_certificates, percent_decoded
from mtlspolicy.forwarded._structured_fields import byte_sequence

__all__ = ["Form", "read_form", "usable_form"]

Form: TypeAlias = Literal["der-base64", "der-base64-list", "pem-base64", "pem-percent", "pem-spaces", "rfc9440"]
"""``"der-base64"``: standard base64 of DER, of several certificates one after the other; ``"der-base64-list"``: the
base64 of each, separated by commas; ``"pem-base64"``: base64 of PEM text; ``"pem-percent"``: PEM, percent-encoded as
RFC 3986 says; ``"pem-spaces"``: PEM with a space for each end of a line; ``"rfc9440"``: byte sequences."""

_BLOCK: Final = r"-----BEGIN CERTIFICATE-----((?: [A-Za-z0-9+/=]+)+) -----END CERTIFICATE-----"
_FIRST_BLOCK: Final = re.compile(_BLOCK)
_NEXT_BLOCK: Final = re.compile(" " + _BLOCK)


def usable_form(form: str, forms: tuple[str, ...] = get_args(Form), what: str = "encoding") -> None:
    """Return if *form* is one of *forms*.

    Raises:
        ConfigurationError: It is not; *what* names the argument.
    """
    if form not in forms:
        raise ConfigurationError(f"{what}={form!r}: one of {', '.join(map(repr, forms))}")


def read_form(form: Form, text: str, *, joined: bool) -> tuple[bytes, ...]:
    """Return the DER of the certificates in *text*, in order.

    Args:
        form: How they are written.
        text: The header's value, not empty, without white space around it.
        joined: Whether a comma may be the work of somebody who joined two copies of the header.

    Raises:
        MalformedEvidence: It is not written so, or it has several members where they may be several copies
            (``forwarded.duplicate``).
    """
    if joined and form in ("der-base64-list", "rfc9440") and "," in text:
        raise MalformedEvidence(
            "a list of certificates, which under WSGI may as well be two copies of the header that somebody joined: "
            "use an ASGI server, or have the proxy forward the client's own certificate alone",
            code="forwarded.duplicate",
        )
    return _READERS[form](text)


def _der_base64(text: str) -> tuple[bytes, ...]:
    return concatenated_der(base64_der(text))


def _der_base64_list(text: str) -> tuple[bytes, ...]:
    return tuple(map(base64_der, text.split(",")))


def _pem_base64(text: str) -> tuple[bytes, ...]:
    return pem_certificates(base64_der(text))


def _pem_percent(text: str) -> tuple[bytes, ...]:
    if " " in text or "\t" in text:
        raise malformed("a space where percent-encoding leaves none: this is another encoding than the dialect's")
    return pem_certificates(percent_decoded(text))


def _rfc9440(text: str) -> tuple[bytes, ...]:
    return tuple(byte_sequence(member.strip(" \t")) for member in text.split(","))


def _pem_spaces(text: str) -> tuple[bytes, ...]:
    """Return the certificates of PEM whose line ends became spaces; read as one pattern from end to end."""
    block = _FIRST_BLOCK.match(text)
    found: list[bytes] = []
    end = 0
    while block is not None:
        found.append(base64_der(block[1].replace(" ", "")))
        end = block.end()
        block = _NEXT_BLOCK.match(text, end)
    if not found or end != len(text):
        raise malformed("not PEM certificates alone with a space in place of each line end")
    return tuple(found)


_READERS: Final = MappingProxyType[Form, Callable[[str], tuple[bytes, ...]]](
    {
        "der-base64": _der_base64,
        "der-base64-list": _der_base64_list,
        "pem-base64": _pem_base64,
        "pem-percent": _pem_percent,
        "pem-spaces": _pem_spaces,
        "rfc9440": _rfc9440,
    }
)

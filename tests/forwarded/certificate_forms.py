"""How certificates are written into a header, form by form, by the standard library and no code of the package."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from tests.forwarded.writing import escaped, item, pem


def b64(data: bytes) -> str:
    """Return standard base64."""
    return base64.b64encode(data).decode("ascii")


def der_base64(*ders: bytes) -> str:
    """Return base64 of concatenated DER."""
    return b64(b"".join(ders))


def der_base64_list(*ders: bytes) -> str:
    """Return base64 of each, separated by commas."""
    return ",".join(map(b64, ders))


def pem_base64(*ders: bytes) -> str:
    """Return base64 of PEM."""
    return b64(pem(*ders).encode("ascii"))


def pem_spaces(*ders: bytes) -> str:
    """Return PEM with spaces for line ends, as a server that trims the value passes it on."""
    return pem(*ders).replace("\n", " ").strip()


def pem_safe(*ders: bytes) -> str:
    """Return percent-encoded PEM that leaves ``+``, ``=`` and ``/``, as Amazon's load balancer writes it."""
    return quote(pem(*ders), safe="+=/")


def rfc9440(*ders: bytes) -> str:
    """Return byte sequences, separated by commas."""
    return ", ".join(map(item, ders))


FORMS: Final[dict[str, Callable[..., str]]] = {
    "der-base64": der_base64,
    "der-base64-list": der_base64_list,
    "pem-base64": pem_base64,
    "pem-percent": escaped,
    "pem-spaces": pem_spaces,
    "rfc9440": rfc9440,
}

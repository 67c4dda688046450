"""Which names of tenants and files an index may have, and when two of them are one. Nothing is opened here.

Names are compared as they stand: nothing is trimmed, folded or normalised into a name that is accepted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from mtlspolicy._text import quoted

COMMON: Final = "common"
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_LONGEST: Final = 255
"""Bytes of a file name on the usual file systems."""
_FORBIDDEN: Final = frozenset('/\\:*?"<>|')
"""What some system takes for a path, a stream or a pattern."""
_DEVICES: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE | re.ASCII)


def tenant_fault(name: str) -> str | None:
    """Return what is wrong with *name* as a tenant's, or ``None``."""
    if name == COMMON:
        return f"the name {quoted(name)} is reserved for what all tenants share"
    if not _TENANT.fullmatch(name):
        return (
            f"{quoted(name, 100)} is no name of a tenant: one to 63 characters a-z, 0-9, '.', '_' and '-', the first a "
            "letter or digit"
        )
    return None


def file_fault(name: str) -> str | None:
    """Return what is wrong with *name* as that of a file in its tenant's directory, or ``None``."""
    if not name or name.startswith(".") or name != name.strip() or not name.isprintable():
        return f"{quoted(name, 100)} is no plain file name"
    if _FORBIDDEN.intersection(name) or len(name.encode("utf-8", "surrogatepass")) > _LONGEST:
        return f"{quoted(name, 100)} is no plain file name: entries name files in the tenant's own directory"
    return None


def taken_for_another(name: str) -> bool:
    """Return whether Windows opens something else than a file or directory called *name*."""
    return name.endswith((".", " ")) or _DEVICES.fullmatch(name) is not None


def twins(names: Iterable[str]) -> tuple[str, str] | None:
    """Return two of *names* that are equal after case folding and normalisation (NFC), or ``None``."""
    known: dict[str, str] = {}
    for name in names:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        if folded in known:
            return known[folded], name
        known[folded] = name
    return None

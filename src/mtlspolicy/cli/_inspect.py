"""``mtlspolicy inspect``: what certificates say, with pins ready to copy and warnings. Trust is not judged."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from mtlspolicy._text import escape
from mtlspolicy.cli._input import Found, parse_time, read_certificates
from mtlspolicy.cli._output import fields, paint, say, say_json, wrapped
from mtlspolicy.cli._report import report
from mtlspolicy.cli._warnings import chain_warnings, warnings_on

_LISTS: Final = {
    "common_name": "common name", "dns": "DNS name", "ip": "IP address", "uri": "URI", "email": "e-mail",
    "email_in_subject": "e-mail in subject", "unreadable": "unreadable",
    "ocsp": "OCSP responder", "crl": "revocation list",
}  # fmt: skip
_PINS: Final = {
    "spki": "key pin", "certificate": "certificate pin", "certificate_hex": "SHA-256", "x5t#S256": "x5t#S256",
    "issuer": "issuer pin",
}  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Print a report on each certificate of each file; 0, whatever the warnings say.

    Raises:
        ConfigurationError: A file cannot be read or holds no certificate.
    """
    at = datetime.now(UTC) if arguments.at is None else parse_time(arguments.at)
    found = [(source, read_certificates(source)) for source in arguments.files]
    rows = [_file_row(source, one, at, arguments.role) for source, one in found]
    if arguments.json:
        say_json(rows)
        return 0
    for number, row in enumerate(rows):
        if number:
            say()
        for line in _file_lines(row):
            say(line)
    return 0


def _file_row(source: str, found: Found, at: datetime, role: str | None) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for position, certificate in enumerate(found.certificates):
        # The role is that of the one who presents the chain: its own certificate comes first.
        warnings = warnings_on(certificate, at=at, role=role if position == 0 else None)
        rows.append(report(certificate, at) | {"warnings": warnings})
    return {
        "file": escape(source),
        "certificates": rows,
        "other_blocks": list(found.others),
        "warnings": chain_warnings(found.certificates),
    }


def _file_lines(row: Mapping[str, Any]) -> Iterator[str]:
    count = len(row["certificates"])
    also = f", and {', '.join(row['other_blocks'])} (not shown)" if row["other_blocks"] else ""
    yield f"{row['file']}: {count} certificate{'s' if count > 1 else ''}{also}"
    yield from map(_warning, row["warnings"])
    for number, certificate in enumerate(row["certificates"], 1):
        yield ""
        yield f"{number}  {paint(certificate['subject'], 'bold')}"
        yield from fields(_shown(certificate), indent="   ")
        yield from map(_warning, certificate["warnings"])


def _warning(text: str) -> str:
    return paint(wrapped(text, first="   ! ", rest="     "), "yellow")


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    lines: dict[str, Any] = {
        "issuer": "itself" if row["self_signed"] else row["issuer"],
        "serial number": row["serial_number"],
        "version": row["version"],
        "valid": f"{row['not_before']} to {row['not_after']} ({row['remaining']})",
        "key": row["key"],
        "signature": row["signature"],
        "CA": _ca(row["basic_constraints"]),
        "key usage": _listed(row["key_usage"]),
        "extended usage": _listed(row["extended_key_usage"]),
    }
    for part in ("names", "revocation"):
        found: dict[str, list[str]] | str = row[part]
        lines |= {part: found} if isinstance(found, str) else {_LISTS[kind]: texts for kind, texts in found.items()}
    return lines | {_PINS[kind]: text for kind, text in row["pins"].items()}


def _ca(constraints: dict[str, Any] | str | None) -> str:
    if constraints is None or isinstance(constraints, str):
        return constraints or "no (no basicConstraints)"
    if not constraints["ca"]:
        return "no"
    length = constraints["path_length"]
    return "yes" if length is None else f"yes, with at most {length} CA{'' if length == 1 else 's'} below it"


def _listed(values: list[str] | str | None) -> str:
    if values is None:
        return "(absent)"
    return values if isinstance(values, str) else ", ".join(values) or "(empty)"

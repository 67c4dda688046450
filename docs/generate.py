"""Writes the parts of the reference that are made of the source: the table of reason codes and the help of commands.

Run it as ``python docs/generate.py`` after a change of either; a test compares the pages with what it would write.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import argparse
import os
import re
from itertools import groupby
from pathlib import Path
from typing import Final

from mtlspolicy._codes import CODES, PERMITTED
from mtlspolicy._setup_codes import SETUP_CODES
from mtlspolicy.cli._flags import build_parser

REFERENCE: Final = Path(__file__).parent / "reference"
BEGIN: Final = "<!-- generated: begin -->\n"
END: Final = "<!-- generated: end -->\n"
SETUP: Final = """\
The `.code` of a `ConfigurationError`, or of a finding on a credential. No peer sees them, and nothing is admitted."""
AREAS: Final = {
    "path": "The path",
    "chain": "The bytes",
    "name": "Names",
    "serial": "Serial numbers",
    "trust": "Trust",
    "tenant": "Tenants",
    "resumption": "Resumption",
    "policy": "Combinations",
    "fact": "Facts",
    "identity": "The server's identity",
    "spiffe": "SPIFFE",
    "issuer": "Issuers",
    "pin": "Pins",
    "eku": "Extended key usage",
    "policy-oid": "Policy OIDs",
    "key": "Keys",
    "lifetime": "Lifetime",
    "address": "Addresses",
    "revocation": "Revocation",
    "ocsp": "OCSP",
    "crl": "CRL",
    "fetch": "Fetching",
    "peer": "The peer",
    "tls": "The connection",
    "gate": "The gate",
    "forwarded": "Forwarded certificates",
    "oauth": "OAuth 2.0",
}


def code_tables() -> str:
    """Return a Markdown table of the reason codes for each area, in the order of their appearance in the source."""
    order = list(dict.fromkeys(code.partition(".")[0] for code in CODES))
    rows = sorted(CODES.items(), key=lambda row: order.index(row[0].partition(".")[0]))
    parts: list[str] = []
    for area, group in groupby(rows, key=lambda row: row[0].partition(".")[0]):
        parts += [
            f"### {AREAS.get(area, area.capitalize())}\n",
            "| code | says | HTTP | gRPC | TLS alert | retry |",
            "|---|---|---|---|---|---|",
        ]
        for code, (meaning, outcome) in group:
            if outcome is PERMITTED:
                parts.append(f"| `{code}` | {meaning} | admits |  |  |  |")
            else:
                retry = "yes" if outcome.retryable else "no"
                told = f"{outcome.http_status} | {outcome.grpc_status} | {outcome.tls_alert} | {retry}"
                parts.append(f"| `{code}` | {meaning} | {told} |")
        parts.append("")
    return "\n".join(parts)


def setup_table() -> str:
    """Return a Markdown table of the codes of set-ups."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in SETUP_CODES.items()]
    return "\n".join(["| code | says |", "|---|---|", *rows, ""])


def all_codes() -> str:
    """Return both tables, each under its heading."""
    return f"## Decisions\n\n{code_tables()}\n## Set-up\n\n{SETUP}\n\n{setup_table()}"


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return *parser* and those of its commands, in their order."""
    found = [parser]
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to its commands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            for child in action.choices.values():
                found += parsers(child)
    return found


def command_help() -> str:
    """Return a section for each command, with its help as ``--help`` prints it at 100 columns."""
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    parts: list[str] = []
    for parser in parsers(build_parser()):
        parts += [f"## {parser.prog}\n", f"```text\n{parser.format_help()}```\n"]
    return "\n".join(parts)


def support_table() -> str:
    """Return the tables of servers and clients, as ``support.py`` has noted them."""
    import support  # a script beside this one, which needs nothing of the package

    text: str = support.table(support.read())
    return text


PAGES: Final = {"codes.md": all_codes, "command-line.md": command_help, "support.md": support_table}


def section(page: Path) -> str:
    """Return what stands between the marks on *page*."""
    found = re.search(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", page.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise ValueError(f"{page} has no marks {BEGIN!r} and {END!r}")
    return found[1]


def main() -> None:
    """Write the sections anew."""
    for name, make in PAGES.items():
        page = REFERENCE / name
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(f"{BEGIN}{section(page)}{END}", f"{BEGIN}\n{make()}\n{END}"), encoding="utf-8")


if __name__ == "__main__":
    main()

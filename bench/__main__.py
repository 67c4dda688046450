"""``python -m bench [--quick] [--json FILE] [GROUP ...]``: the rows of the speed table, each with its A/A control.

The exit status is 0 whatever the figures are: a busy machine is no defect. ``over`` stands where a budget is exceeded.
"""

from __future__ import annotations

import argparse
import json
import platform
import ssl
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import cryptography

from bench._harness import HEADER, Row, Scale

GROUPS = (
    *("verify", "against", "forwarded", "lists", "tenants", "ocsp", "crls"),
    *("revocation_against", "revocation_live"),
    *("imports", "hostile", "handshakes", "first_handshake", "servers", "kept_alive"),
)


def _rows(group: str, scale: Scale) -> Iterator[Row]:
    rows: Callable[[Scale], Iterator[Row]] = import_module(f"bench.{group}").rows
    return rows(scale)


def main(arguments: list[str]) -> int:
    """Run the groups that are asked for, or all, and print each row as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"some of: {', '.join(GROUPS)}")
    parser.add_argument(
        "--quick", action="store_true", help="few rounds, small lists: shows that it runs, not how fast"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE as well")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.groups) - set(GROUPS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    print(f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, cryptography {cryptography.__version__}")
    print(HEADER, flush=True)
    found: list[Row] = []
    for group in given.groups or GROUPS:
        for row in _rows(group, Scale(quick=given.quick)):
            print(row.line(), flush=True)
            found.append(row)
    if given.json is not None:
        given.json.write_text(json.dumps([row.as_dict() for row in found], indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

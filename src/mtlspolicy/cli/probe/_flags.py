"""The flags of ``mtlspolicy probe``, with what ``--help`` says of them. The command reads the values."""

from __future__ import annotations

import argparse
from typing import Final

LONGEST: Final = 600.0
"""Seconds that a probe may take at most."""


def add_probe_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command to its parser."""
    parser.add_argument("target", metavar="HOST:PORT", help="the server; an IPv6 address in brackets")
    parser.add_argument("--server-name", metavar="NAME", help="ask for this name, and verify it (default: HOST)")
    parser.add_argument(
        "--ca",
        action="append",
        default=[],
        metavar="FILE",
        help="CA of the server, PEM (default: certifi's public CAs)",
    )
    parser.add_argument(
        "--allow-private", action="store_true", help="let the server have a private address, such as 127.0.0.1"
    )
    clients = parser.add_argument_group(
        "client certificates (shown to a verified server alone; passwords: MTLSPOLICY_KEY_PASSWORD, or a prompt)"
    )
    clients.add_argument("--cert", metavar="FILE", help="the good one: chain, PEM")
    clients.add_argument("--key", metavar="FILE", help="its private key, PEM (default: in --cert)")
    clients.add_argument("--other-ca-cert", metavar="FILE", help="one of another CA (default: one made up)")
    clients.add_argument("--other-ca-key", metavar="FILE", help="its private key")
    clients.add_argument(
        "--issuer-cert", metavar="FILE", help="a test CA that the server trusts, to try an expired one and a wrong EKU"
    )
    clients.add_argument("--issuer-key", metavar="FILE", help="its private key")
    asking = parser.add_argument_group("what is asked for")
    asking.add_argument("--path", default="/", help="GET this, without following redirects (default: /)")
    asking.add_argument(
        "--expect-status", type=_status, default=200, metavar="N", help="HTTP status that means served (default: 200)"
    )
    asking.add_argument(
        "--no-http", action="store_true", help="no HTTP: served is who is not refused after the handshake"
    )
    asking.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="for the whole probe (default: 60)"
    )
    out = parser.add_argument_group("output")
    out.add_argument("--json", action="store_true", help="print JSON")
    out.add_argument("--html", metavar="FILE", help="write one self-contained page as well; never over a file")


def _status(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 200 <= int(text) <= 599):
        raise argparse.ArgumentTypeError(f"{text!r} is no final HTTP status: 200 to 599")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds: up to {LONGEST:.0f}")
    return seconds

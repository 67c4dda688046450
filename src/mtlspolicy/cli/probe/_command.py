"""``mtlspolicy probe``: the endpoint test that partners ask for before they connect. It reads arguments and prints.

What the server says is seen by `_connect` and judged by `_judge`. Only the host that is given is connected
to, at one address, and a private one only where that is allowed.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import re
import socket
from concurrent.futures import wait
from pathlib import Path
from typing import Final

from mtlspolicy._peer import now
from mtlspolicy._profile import PathProfile
from mtlspolicy._text import quoted
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.cli._output import say, say_json
from mtlspolicy.cli.probe._connect import Plan, observe
from mtlspolicy.cli.probe._credentials import Issuer, read_credential, read_issuer
from mtlspolicy.cli.probe._html import as_html
from mtlspolicy.cli.probe._json import as_json
from mtlspolicy.cli.probe._judge import Report, judge
from mtlspolicy.cli.probe._seen import Place
from mtlspolicy.cli.probe._table import as_lines
from mtlspolicy.cli.probe._wire import Clock
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._destinations import Destinations, FetchFailed, Target, permitted_addresses, target_of
from mtlspolicy.revocation._lookups import Lookups, answer_of
from mtlspolicy.tls._credential import Credential

_PATH: Final = re.compile(r"/[!-~]{0,2000}", re.ASCII)
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")
_TARGET: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]+):([0-9]{1,5})", re.ASCII)


def run(arguments: argparse.Namespace) -> int:
    """Probe and print the report; 0: a passing grade, 1: a failing one.

    Raises:
        ConfigurationError: A flag or a file is wrong, or no TLS server is there.
    """
    credentials = _credentials(arguments)
    page = None if arguments.html is None else _new_file(arguments.html)
    clock = Clock(arguments.timeout)  # begins after passwords were typed
    place = _place(arguments, clock)
    plan = Plan(place, _verifier(arguments, place.server_name), *credentials, now())
    quiet = logging.NullHandler()  # what the library logs of a refusal is in the report
    logger = logging.getLogger("mtlspolicy")
    logger.addHandler(quiet)
    try:
        report = judge(observe(plan, clock))
    except TimeoutError:
        raise ConfigurationError("the time of the probe was up before anything was seen: raise --timeout") from None
    finally:
        logger.removeHandler(quiet)
    _tell(report, page, as_data=arguments.json)
    return 0 if report.passed else 1


def _tell(report: Report, page: Path | None, *, as_data: bool) -> None:
    if page is not None:
        try:
            with page.open("x", encoding="utf-8") as stream:
                stream.write(as_html(report))
        except OSError as error:
            raise ConfigurationError(f"--html {quoted(str(page))} cannot be written: {error.strerror}") from None
    if as_data:
        say_json(as_json(report))
        return
    for line in as_lines(report):
        say(line)


def _new_file(name: str) -> Path:
    path = Path(name)
    if os.path.lexists(path):
        raise ConfigurationError(f"--html {quoted(name)} is there already: name a new file", code="config.file")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--html {quoted(name)}: there is no such folder: make it first", code="config.file")
    return path


def _place(arguments: argparse.Namespace, clock: Clock) -> Place:
    text: str = arguments.target
    port = _TARGET.fullmatch(text)
    if port is None:
        raise ConfigurationError(f"{quoted(text)} is no HOST:PORT, such as api.example.com:443 or [2001:db8::7]:443")
    if not _PATH.fullmatch(arguments.path):
        raise ConfigurationError(f"--path {quoted(arguments.path)} is no path of printable ASCII, such as /health")
    destinations = Destinations(
        ports={int(port[1])} if 0 < int(port[1]) < 65536 else {443},
        addresses=_EVERYWHERE if arguments.allow_private else (),
    )
    try:
        target = target_of(f"https://{text}{arguments.path}", destinations)
        address = _address(target, destinations, clock)
    except FetchFailed as error:
        remedy = "; where this server is meant, say --allow-private" if error.code == "fetch.address" else ""
        raise ConfigurationError(f"{str(error).partition('; where it is meant')[0]}{remedy}") from None
    path = None if arguments.no_http else arguments.path
    name = _name(arguments.server_name) if arguments.server_name is not None else target.host
    return Place(target.host, target.port, name, address, path, arguments.expect_status)


def _name(text: str) -> str:
    """Return a server name as it is sent: a DNS name in ASCII, or an IP address."""
    try:
        return target_of(f"https://{f'[{text}]' if ':' in text else text}/", Destinations()).host
    except FetchFailed:
        raise ConfigurationError(
            f"--server-name {quoted(text)} is no DNS name or IP address; write an IDN in its xn-- form"
        ) from None


def _address(target: Target, destinations: Destinations, clock: Clock) -> str:
    """Return the one address that every connection goes to; the name is resolved once."""
    if target.address is not None:
        return str(permitted_addresses(target, (target.address,), destinations)[0])
    future = Lookups(socket.getaddrinfo).start(target)
    if not wait((future,), max(clock.left(), 0)).done:
        raise FetchFailed("fetch.timeout", f"{target.origin}: the name was not resolved in time")
    found = permitted_addresses(target, answer_of(future, target), destinations)
    first = min(found, key=lambda one: isinstance(one, ipaddress.IPv6Address))
    return str(first)  # IPv4 first: not every network that a probe is run in has the other


def _verifier(arguments: argparse.Namespace, name: str) -> Verifier:
    if arguments.ca:
        return Verifier.for_servers(trust=TrustStore.from_files(*arguments.ca), expected=name)
    return Verifier.for_servers(trust=TrustStore.public(), expected=name, profile=PathProfile.WEBPKI)


def _credentials(arguments: argparse.Namespace) -> tuple[Credential | None, Credential | None, Issuer | None]:
    """Return the good credential, the one of another CA and the test CA, those that are given."""
    for name in ("", "other_ca_", "issuer_"):
        flag = name.replace("_", "-")
        if getattr(arguments, f"{name}key") is not None and getattr(arguments, f"{name}cert") is None:
            raise ConfigurationError(f"--{flag}key is given without --{flag}cert: a key goes with its certificate")
    if arguments.issuer_cert is not None and arguments.issuer_key is None:
        raise ConfigurationError("--issuer-cert is given without --issuer-key: a CA signs with its key")
    good = None if arguments.cert is None else read_credential(arguments.cert, arguments.key, "--cert")
    other = (
        None
        if arguments.other_ca_cert is None
        else read_credential(arguments.other_ca_cert, arguments.other_ca_key, "--other-ca-cert")
    )
    issuer = None if arguments.issuer_cert is None else read_issuer(arguments.issuer_cert, arguments.issuer_key)
    return good, other, issuer

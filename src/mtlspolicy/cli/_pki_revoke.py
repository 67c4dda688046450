"""``mtlspolicy pki revoke``: puts a serial number, or that of a certificate's file, on the CA's revocation list."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mtlspolicy._certificate import ParsedCertificate, issued_by
from mtlspolicy._text import escape, quoted
from mtlspolicy.cli._ca import Authority
from mtlspolicy.cli._ca_files import CRL, TRUST, load_crl, load_issuing, replace_file
from mtlspolicy.cli._crl import sign_crl
from mtlspolicy.cli._input import read_certificates
from mtlspolicy.cli._output import say, say_command
from mtlspolicy.errors import ConfigurationError

_SERVER: Final = """\
  policy = policies.CommonName("frodo") & policies.NotRevoked("crl", scope="end-entity")
  lists = revocation.crls_source(revocation.CRLFiles({crl!r}))
  options = tls.ServerOptions(resolver=Resolver({{revocation.CRL: lists}}))"""
_SERIAL: Final = re.compile(r"0[xX][0-9A-Fa-f]{1,40}|[0-9]{1,49}", re.ASCII)
_LIMIT: Final = 1 << 159
"""RFC 5280, section 4.1.2.2: positive and at most 20 octets."""


def run(arguments: argparse.Namespace) -> int:
    """Sign and write the next revocation list; 0, also where the certificate was revoked before.

    Raises:
        ConfigurationError: The CA or the certificate cannot be read, or another CA issued it.
    """
    directory = Path(arguments.directory)
    authority = load_issuing(directory)
    serial = _serial(arguments.which, authority)
    previous = load_crl(directory, authority)
    known = previous is not None and previous.get_revoked_certificate_by_serial_number(serial) is not None
    replace_file(directory / CRL, sign_crl(authority, previous=previous, revoked=serial, days=arguments.days))
    found = list(_found(directory, serial, authority))
    who = ", ".join(sorted({subject for _, subject in found}))
    say(f"{'was revoked before' if known else 'revoked'}: {serial:#x}{f', {who}' if who else ''}")
    if not who:
        say(f"note: no certificate in {escape(str(directory))} has this serial number; it is on the list all the same")
    say(f"  {escape(str(directory / CRL))}  (renew it within {arguments.days} days)")
    _say_next(directory, found[0][0] if found else None)
    return 0


def _say_next(directory: Path, chain: Path | None) -> None:
    say("a server refuses who is on it, and reads it anew by itself, with:")
    say("\n".join(escape(line) for line in _SERVER.format(crl=str(directory / CRL)).splitlines()))
    if chain is not None:
        say("next:")
        say_command("explain", chain, "--trust", directory / TRUST, "--crl", directory / CRL)


def _serial(which: str, authority: Authority) -> int:
    if Path(which).is_file():
        certificate = read_certificates(which).certificates[0]
        if not issued_by(certificate, ParsedCertificate.of(authority.certificate)):
            raise ConfigurationError(
                f"{certificate} in {quoted(which)} was not issued by {authority.name}: revoke it at its own CA"
            )
        return certificate.serial_number
    if not _SERIAL.fullmatch(which):
        raise ConfigurationError(
            f"{quoted(which)} is neither a file nor a serial number: write 0x and hex digits, or a "
            "decimal number (see inspect)"
        )
    serial = int(which, 16 if which[:2] in ("0x", "0X") else 10)
    if not 0 < serial < _LIMIT:
        raise ConfigurationError(
            f"the serial number {which} is not positive or exceeds 20 octets (RFC 5280, section 4.1.2.2)"
        )
    return serial


def _found(directory: Path, serial: int, authority: Authority) -> Iterator[tuple[Path, str]]:
    """Yield file and subject of the certificates in *directory* that *authority* issued under *serial*."""
    issuer = ParsedCertificate.of(authority.certificate)
    for path in sorted(directory.glob("*.pem")):
        try:
            certificate = read_certificates(str(path)).certificates[0]
        except ConfigurationError:
            continue  # another kind of file, the list itself among them
        if certificate.serial_number == serial and issued_by(certificate, issuer):
            yield path, str(certificate)

"""``mtlspolicy pki csr``: shows what a signing request (PKCS #10, RFC 2986) asks for, and signs what flags confirm.

Names go into the certificate only where the request asks for them and a flag repeats them; nothing else of the request
is taken over but its key, whose possession its signature proves.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mtlspolicy._certificate import PARSER_ERRORS, ParsedCertificate
from mtlspolicy._keys import weakness
from mtlspolicy._pem import looks_like_pem
from mtlspolicy._text import escape, quoted
from mtlspolicy.cli._ca import Wanted, alternative_names, issue, pem_of, require_plain
from mtlspolicy.cli._ca_files import load_issuing, write_new
from mtlspolicy.cli._input import read_bytes, source_name
from mtlspolicy.cli._output import say, say_command
from mtlspolicy.cli._pki import pointers_of, stem_of, validity
from mtlspolicy.errors import ConfigurationError

_FLAGS: Final = ("cn", "dns", "ip", "uri", "email")


class Asked(NamedTuple):
    """What a request asks for: its key, its names by flag, and what is never taken over, as text."""

    public_key: CertificatePublicKeyTypes
    names: dict[str, tuple[str, ...]]
    left_out: tuple[str, ...]


def run(arguments: argparse.Namespace) -> int:
    """Show the request; sign it where flags say for what and for which names. 0 signed, 1 not signed.

    Raises:
        ConfigurationError: The request cannot be read or its signature is wrong, or a flag confirms more than it asks.
    """
    asked = _read(arguments.file)
    _show(asked)
    confirmed = {flag: _values(getattr(arguments, flag)) for flag in _FLAGS}
    if arguments.role is None or not any(confirmed.values()):
        _propose(arguments, asked)
        return 1
    _require_asked(asked, confirmed)
    directory = Path(arguments.directory)
    authority = load_issuing(directory)
    certificate = issue(authority, _wanted(arguments), asked.public_key)
    weak = weakness(ParsedCertificate.of(certificate))
    if weak is not None:
        raise ConfigurationError(f"the request has {weak}: make it again with a stronger key, such as EC P-256")
    first = next(values[0] for values in confirmed.values() if values)
    chain = directory / (stem_of(arguments, first) + ".pem")
    write_new({chain: pem_of(certificate, *authority.chain)})
    say(f"signed for a {arguments.role}, {certificate.serial_number:#x}, valid for {arguments.days} days")
    say(f"  {escape(str(chain))}  (with the issuing CA)")
    return 0


def _values(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _wanted(arguments: argparse.Namespace) -> Wanted:
    if arguments.cn is not None:
        require_plain(arguments.cn, "the common name")
    names = alternative_names(dns=arguments.dns, ips=arguments.ip, uris=arguments.uri, emails=arguments.email)
    return Wanted(arguments.role, arguments.cn, names, validity(arguments.days), pointers_of(arguments))


def _read(source: str) -> Asked:
    data, name = read_bytes(source), source_name(source)
    load = x509.load_pem_x509_csr if looks_like_pem(data) else x509.load_der_x509_csr
    try:
        request = load(data)
        if not request.is_signature_valid:
            raise ConfigurationError(f"{name}: the request is not signed by its own key: have it made again")
        return _asked(request)
    except PARSER_ERRORS as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{name} is no signing request (PKCS #10) that can be read: {error}") from None


def _asked(request: x509.CertificateSigningRequest) -> Asked:
    common_names = [str(one.value) for one in request.subject if one.oid == x509.NameOID.COMMON_NAME]
    left_out = [f"subject {one.rfc4514_string()}" for one in request.subject if one.oid != x509.NameOID.COMMON_NAME]
    found: dict[str, list[str]] = {flag: [] for flag in _FLAGS} | {"cn": common_names[:1]}
    left_out += [f"a further common name {name}" for name in common_names[1:]]
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            left_out += [text for entry in extension.value if (text := _take(entry, found)) is not None]
        else:
            left_out.append(f"extension {extension.oid.dotted_string}")
    names = {flag: tuple(dict.fromkeys(texts)) for flag, texts in found.items() if texts}
    return Asked(request.public_key(), names, tuple(map(escape, left_out)))


def _take(entry: x509.GeneralName, found: dict[str, list[str]]) -> str | None:
    """Put *entry* to the others of its kind, or return what it is, where no certificate gets one of its kind here."""
    kinds = (
        (x509.DNSName, "dns"),
        (x509.IPAddress, "ip"),
        (x509.UniformResourceIdentifier, "uri"),
        (x509.RFC822Name, "email"),
    )
    flag = next((flag for kind, flag in kinds if isinstance(entry, kind)), None)
    if flag is None:
        return f"subjectAltName {type(entry).__name__}"
    found[flag].append(str(entry.value))
    return None


def _show(asked: Asked) -> None:
    say("the request asks for:")
    for flag, texts in asked.names.items():
        for text in texts:
            say(f"  {flag:<6} {quoted(text)}")
    if not asked.names:
        say("  no name")
    for text in asked.left_out:
        say(f"  never taken over: {text}")


def _propose(arguments: argparse.Namespace, asked: Asked) -> None:
    flags = [f"--{flag}={text}" for flag, texts in asked.names.items() for text in texts]
    role = arguments.role or ("server" if "dns" in asked.names and "uri" not in asked.names else "client")
    say("nothing is signed yet: say what it is for, and repeat the names that its sender has confirmed to you, such as")
    say_command("pki", "csr", arguments.directory, arguments.file, "--as", role, *flags)


def _require_asked(asked: Asked, confirmed: dict[str, tuple[str, ...]]) -> None:
    for flag, texts in confirmed.items():
        for text in texts:
            if text not in asked.names.get(flag, ()):
                raise ConfigurationError(
                    f"--{flag} {quoted(text)}: the request does not ask for it; have the sender make one with this name"
                )
    for flag, texts in asked.names.items():
        for text in texts:
            if text not in confirmed[flag]:
                say(f"left out, not confirmed: {flag} {quoted(text)}")

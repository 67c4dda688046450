"""The flags of every command. What they mean is written here once, for ``--help``; the commands read the values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from mtlspolicy._version import __version__
from mtlspolicy.cli.probe._flags import add_probe_flags

_DESCRIPTION: Final = (
    "Mutual TLS with a policy: who may connect, enforced in the handshake, with a reason for each answer."
)
_STATUS: Final = "Exit status: 0 done or permitted, 1 refused, 2 wrong usage or configuration."
KEYS: Final = ("ec-p256", "ec-p384", "rsa-2048", "rsa-3072", "rsa-4096")


_AddParser = Callable[..., argparse.ArgumentParser]
"""The ``add_parser`` of a group of commands."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``module`` of its result names the module that runs the command."""
    parser = argparse.ArgumentParser(prog="mtlspolicy", description=_DESCRIPTION, epilog=_STATUS)
    parser.add_argument("--version", action="version", version=f"mtlspolicy {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command").add_parser
    _add_demo(commands)
    _add_serve(commands)
    _add_pki(commands)
    _add_inspect(commands)
    _add_explain(commands)
    _add_probe(commands)
    return parser


def _command(commands: _AddParser, name: str, *, module: str, text: str) -> argparse.ArgumentParser:
    parser = commands(name, help=text, description=text[0].upper() + text[1:] + ".", epilog=_STATUS)
    parser.set_defaults(module=module)
    return parser


def _add_demo(commands: _AddParser) -> None:
    _command(
        commands,
        "demo",
        module="_demo",
        text="run a real mTLS server and clients on loopback, one admitted, each of the others refused with its reason",
    )


def _add_serve(commands: _AddParser) -> None:
    parser = _command(
        commands,
        "serve",
        module="_serve",
        text="keep the demo's server running, for curl; every refusal is explained here",
    )
    parser.add_argument("--port", type=_port, default=8443, help="port on 127.0.0.1; 0: any free one (default: 8443)")
    parser.add_argument(
        "--dir", metavar="DIR", help="write the files for clients here (default: a temporary directory)"
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 36_500):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days: 1 to 36500")
    return int(text)


def _add_inspect(commands: _AddParser) -> None:
    parser = _command(
        commands, "inspect", module="_inspect", text="say what certificates say, with pins ready to copy and warnings"
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="certificate or chain, PEM or DER; -: standard input")
    parser.add_argument("--as", dest="role", choices=("client", "server"), help="warn of what keeps it from this role")
    _add_at(parser)
    _add_json(parser)


def _add_at(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", metavar="TIME", help="judge at this time, such as 2026-01-31T12:00:00Z (default: now)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_explain(commands: _AddParser) -> None:
    parser = _command(
        commands, "explain", module="_explain", text="decide on a chain against trust and policy, and say why"
    )
    parser.add_argument(
        "chain", metavar="CHAIN", help="the peer's chain, PEM or DER, its own certificate first; -: standard input"
    )
    trust = parser.add_argument_group("trust (at least one)")
    trust.add_argument("--trust", action="append", default=[], metavar="FILE", help="PEM file of CA certificates")
    trust.add_argument(
        "--anchors",
        choices=("self-signed", "all"),
        default="self-signed",
        help="which of them are anchors; all: also an issuing CA",
    )
    trust.add_argument("--public", action="store_true", help="certifi's public CAs")
    trust.add_argument(
        "--peer", action="append", default=[], metavar="FILE", help="a registered certificate, with --profile direct"
    )
    parser.add_argument(
        "--profile", choices=("private-pki", "webpki", "direct"), default="private-pki", help="rules for the path"
    )
    parser.add_argument("--server", metavar="NAME", help="the peer is a server, of this DNS name, IP address or URI")
    policy = parser.add_argument_group("policy (names are alternatives to each other; --pin and --issuer come on top)")
    policy.add_argument("--allow-cn", action="append", default=[], metavar="NAME", help="a common name")
    policy.add_argument(
        "--allow-dns", action="append", default=[], metavar="NAME", help="a DNS name of the subjectAltName"
    )
    policy.add_argument("--allow-uri", action="append", default=[], metavar="URI", help="a URI of the subjectAltName")
    policy.add_argument(
        "--pin", action="append", default=[], metavar="PIN", help="sha256/BASE64= of the peer's key; see inspect"
    )
    policy.add_argument(
        "--issuer", action="append", default=[], metavar="FILE", help="certificate of the CA that must have issued it"
    )
    _add_ocsp(parser)
    _add_at(parser)
    _add_json(parser)


def _add_probe(commands: _AddParser) -> None:
    add_probe_flags(
        _command(
            commands,
            "probe",
            module="probe._command",
            text="test a server as partners do before they connect: its chain, its TLS, and whom it lets in",
        )
    )


def _add_ocsp(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("revocation (nobody is asked unless it is said here)")
    group.add_argument(
        "--ocsp",
        nargs="?",
        const="",
        metavar="URL",
        help="require that it is not revoked: ask this responder about the peer's certificate; without URL, about each "
        "certificate of the path the responder that it names",
    )
    group.add_argument(
        "--crl",
        nargs="?",
        const="",
        metavar="FILE|URL",
        help="require that it is not revoked: look for the peer's certificate on this revocation list, and say what it "
        "says; without FILE or URL, for each certificate of the path on the lists that it names",
    )
    group.add_argument(
        "--allow-private",
        action="store_true",
        help="let responders and servers of lists have private addresses, such as 127.0.0.1, and any port",
    )


def _add_pki(commands: _AddParser) -> None:
    text = "a small private CA for development, in a directory"
    parser = commands("pki", help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=_STATUS)
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action").add_parser
    new = _command(actions, "new", module="_pki", text="make a root, an issuing CA and an empty revocation list")
    _add_directory(new, "the directory to make")
    new.add_argument("--name", default="Development", help="what the CAs are called (default: Development)")
    new.add_argument("--days", type=_days, default=3650, help="validity of the root and the issuing CA (default: 3650)")
    _add_key(new)
    _add_leaf(actions, "server", text="issue a certificate for a server").add_argument(
        "names", nargs="+", metavar="NAME", help="DNS names and IP addresses that clients connect to"
    )
    client = _add_leaf(actions, "client", text="issue a certificate for a client")
    client.add_argument("cn", metavar="CN", help="common name")
    _add_names(client)
    _add_csr(actions)
    revoke = _command(actions, "revoke", module="_pki_revoke", text="put a certificate on the revocation list, crl.pem")
    _add_directory(revoke, "the directory of the CA")
    revoke.add_argument(
        "which", metavar="SERIAL|FILE", help="serial number (0x..., or decimal), or the certificate's file"
    )
    revoke.add_argument("--days", type=_days, default=30, help="until the list must be renewed (default: 30)")


def _add_csr(actions: _AddParser) -> None:
    parser = _add_leaf(
        actions, "csr", text="show what a signing request asks for, and sign what is confirmed by flags", key=False
    )
    parser.set_defaults(module="_pki_csr")
    parser.add_argument("file", metavar="FILE", help="the request (PKCS #10), PEM or DER; -: standard input")
    parser.add_argument(
        "--as", dest="role", choices=("client", "server"), help="what the certificate is for; needed to sign"
    )
    parser.add_argument("--cn", help="confirm this common name")
    _add_names(parser)
    parser.add_argument(
        "--ip", action="append", default=[], metavar="ADDRESS", help="IP address for the subjectAltName"
    )


def _add_leaf(actions: _AddParser, name: str, *, text: str, key: bool = True) -> argparse.ArgumentParser:
    parser = _command(actions, name, module="_pki", text=text)
    _add_directory(parser, "the directory of the CA")
    parser.add_argument("--days", type=_days, default=90, help="validity (default: 90)")
    parser.add_argument(
        "--out", metavar="NAME", help="name of the files, without suffix (default: from the first name)"
    )
    parser.add_argument(
        "--ocsp-url", metavar="URL", help="say in the certificate that the CA's OCSP responder is here (default: none)"
    )
    parser.add_argument(
        "--crl-url", metavar="URL", help="say in it that the CA's revocation list, crl.pem, is here (default: none)"
    )
    if key:
        _add_key(parser)
    return parser


def _add_directory(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("directory", metavar="DIR", help=text)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", choices=KEYS, default="ec-p256", help="kind of key (default: ec-p256)")


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dns", action="append", default=[], metavar="NAME", help="DNS name for the subjectAltName")
    parser.add_argument("--uri", action="append", default=[], metavar="URI", help="URI for it, such as a SPIFFE ID")
    parser.add_argument("--email", action="append", default=[], metavar="ADDRESS", help="e-mail address for it")

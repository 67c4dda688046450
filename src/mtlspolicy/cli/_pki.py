"""``mtlspolicy pki new``, ``server`` and ``client``: a small private CA in a directory, for development.

Its keys lie unencrypted in files for the owner alone. No register is kept of what was issued.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from mtlspolicy._text import escape, quoted
from mtlspolicy.cli._ca import (
    Authority,
    Wanted,
    alternative_names,
    issue,
    key_pem,
    make_issuing,
    make_root,
    pem_of,
    pointers_to,
    require_plain,
)
from mtlspolicy.cli._ca_files import (
    CRL,
    ISSUING,
    ISSUING_KEY,
    ROOT,
    ROOT_KEY,
    TRUST,
    file_stem,
    load_issuing,
    make_directory,
    require_stem,
    write_new,
)
from mtlspolicy.cli._crl import CRL_DAYS, sign_crl
from mtlspolicy.cli._output import say, say_command, shell
from mtlspolicy.testing._keys import generate_key
from mtlspolicy.testing._template import build_validity, sort_server_names

_CN_LENGTH: Final = 64
"""Characters; ub-common-name of RFC 5280, appendix A.1."""
_SERVER: Final = """\
  import http.server
  from mtlspolicy import TrustStore, Verifier, policies, tls
  verifier = Verifier.for_clients(trust=TrustStore.from_file({trust!r}), policy=policies.CommonName("frodo"))
  credential = tls.Credential.from_files({chain!r}, {key!r})
  context = tls.server_context(credential=credential, verifier=verifier)
  class Hello(http.server.BaseHTTPRequestHandler):
      def do_GET(self):
          self.send_response(200)
          self.end_headers()
          self.wfile.write(f"hello {{tls.peer_of(self.connection).common_name}}\\n".encode())
  httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Hello)
  httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
  httpd.serve_forever()"""


def run(arguments: argparse.Namespace) -> int:
    """Make what the action names and print where it is and what to do next; 0.

    Raises:
        ConfigurationError: A value cannot be written, or a file is there already.
    """
    directory = Path(arguments.directory)
    if arguments.action == "new":
        _new(directory, arguments)
    else:
        _leaf(directory, arguments)
    return 0


def _new(directory: Path, arguments: argparse.Namespace) -> None:
    until = datetime.now(UTC) + timedelta(days=arguments.days)
    root = make_root(f"{arguments.name} Root", until=until, key=arguments.key)
    issuing = make_issuing(root, f"{arguments.name} Issuing CA", until=until, key=arguments.key)
    make_directory(directory)
    write_new(
        {
            directory / ROOT_KEY: key_pem(root.key),
            directory / ROOT: pem_of(root.certificate),
            directory / ISSUING_KEY: key_pem(issuing.key),
            directory / ISSUING: pem_of(issuing.certificate),
            directory / TRUST: pem_of(root.certificate, issuing.certificate),
            directory / CRL: sign_crl(issuing, previous=None, revoked=None, days=CRL_DAYS),
        }
    )
    say(f"a CA for development, valid for {arguments.days} days; its keys are in files, so never use it for production")
    _say_files(
        directory, {TRUST: "what the other side trusts", ISSUING: "for IssuerPin", CRL: "revocation list, empty"}
    )
    say("next:")
    say_command("pki", "server", directory, "localhost", "127.0.0.1")
    say_command("pki", "client", directory, "frodo")


def _say_files(directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        say(f"  {escape(str(directory / name))}  ({text})")


def _leaf(directory: Path, arguments: argparse.Namespace) -> None:
    wanted = _server(arguments) if arguments.action == "server" else _client(arguments)
    first = arguments.names[0] if arguments.action == "server" else arguments.cn
    chain = issue_files(load_issuing(directory), wanted, directory / stem_of(arguments, first), key=arguments.key)
    if wanted.role == "server":
        _next_for_server(directory, chain)
    else:
        _next_for_client(directory, chain, arguments.cn)


def stem_of(arguments: argparse.Namespace, first: str) -> str:
    """Return the beginning of the file names: what ``--out`` says, else made of the *first* name."""
    return file_stem(first) if arguments.out is None else require_stem(arguments.out)


def validity(days: int) -> tuple[datetime, datetime]:
    """Return one hour ago, so that a slow clock does no harm, and *days* from now; aware, whole seconds."""
    return build_validity(None, datetime.now(UTC) + timedelta(days=days))


def _server(arguments: argparse.Namespace) -> Wanted:
    dns, ips, uris = sort_server_names(arguments.names)
    common_name = next((name for name in arguments.names if len(name) <= _CN_LENGTH), None)
    names = alternative_names(dns=dns, ips=ips, uris=uris)
    return Wanted("server", common_name, names, validity(arguments.days), pointers_of(arguments))


def _client(arguments: argparse.Namespace) -> Wanted:
    require_plain(arguments.cn, "the common name")
    names = alternative_names(dns=arguments.dns, uris=arguments.uri, emails=arguments.email)
    return Wanted("client", arguments.cn, names, validity(arguments.days), pointers_of(arguments))


def pointers_of(arguments: argparse.Namespace) -> list[tuple[x509.ExtensionType, bool]]:
    """Return what ``--ocsp-url`` and ``--crl-url`` put into a certificate."""
    return pointers_to(ocsp_url=arguments.ocsp_url, crl_url=arguments.crl_url)


def issue_files(authority: Authority, wanted: Wanted, stem: Path, *, key: str) -> Path:
    """Issue a certificate for a new key, write ``STEM.pem`` (with the issuing CA) and ``STEM.key``, and say so.

    Returns:
        The file of the chain.
    """
    private = generate_key(key)
    certificate = issue(authority, wanted, private.public_key())
    chain, secret = stem.with_name(stem.name + ".pem"), stem.with_name(stem.name + ".key")
    write_new({secret: key_pem(private), chain: pem_of(certificate, *authority.chain)})
    say(f"a certificate for a {wanted.role}, {certificate.serial_number:#x}, until {wanted.validity[1]:%Y-%m-%d}")
    say(f"  {escape(str(chain))}  (with the issuing CA)")
    say(f"  {escape(str(secret))}  (private key)")
    return chain


def _next_for_server(directory: Path, chain: Path) -> None:
    say("a server with it, for the client 'frodo' alone:")
    snippet = _SERVER.format(trust=str(directory / TRUST), chain=str(chain), key=str(chain.with_suffix(".key")))
    say("\n".join(escape(line) for line in snippet.splitlines()))
    say("next:")
    say_command("pki", "client", directory, "frodo")


def _next_for_client(directory: Path, chain: Path, common_name: str) -> None:
    trust = directory / TRUST
    say("next:")
    say(
        "  "
        + shell(
            "curl", "--cacert", trust, "--cert", chain, "--key", chain.with_suffix(".key"), "https://localhost:8443/"
        )
    )
    say_command("explain", chain, "--trust", trust, "--allow-cn", common_name)
    say(f"to admit it: policies.CommonName({quoted(common_name)})")

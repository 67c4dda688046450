"""``mtlspolicy serve``: the demo's server left running for somebody with curl, until Ctrl-C.

It answers admitted callers with who they are, and prints here who came and the tree of each refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Final

from mtlspolicy._peer import VerifiedPeer
from mtlspolicy._text import escape
from mtlspolicy.cli._ca_files import make_directory, write_new
from mtlspolicy.cli._demo_pki import ALLOWED, DemoPKI, Desk, Identity, verifier_for
from mtlspolicy.cli._output import fold, paint, say, shell
from mtlspolicy.cli._refusals import Refusal, Refusals
from mtlspolicy.cli._server import HOST, listen, port_of
from mtlspolicy.tls import server_context

_TRUST: Final = "ca.pem"


def run(arguments: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; 0.

    Raises:
        ConfigurationError: The port or the directory cannot be had.
    """
    pki = DemoPKI()
    with _directory(arguments.dir) as directory:
        clients = _write_clients(pki, directory)
        asyncio.run(_serve(pki, arguments.port, directory, clients))
    return 0


@contextmanager
def _directory(given: str | None) -> Generator[Path, None, None]:
    """Lend the directory for the clients' files: the *given* one, which stays, or a temporary one, which goes."""
    if given is not None:
        make_directory(Path(given))
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="mtlspolicy-") as name:  # mode 0700
        yield Path(name)


def _write_clients(pki: DemoPKI, directory: Path) -> dict[str, str]:
    """Write the files of the clients, for their owner alone, and return what each is by the stem of its files."""
    identities: dict[str, tuple[str, Identity]] = {
        "frodo": ("admitted", pki.client("frodo")),
        "frodo-other-ca": ("refused: another issuing CA", pki.client("frodo", pki.other)),
        "gollum": ("refused: a name that is not allowed", pki.client("gollum")),
        "sam-expired": ("refused: expired yesterday", pki.expired_client("sam")),
        "frodo-self-signed": ("refused: self-signed", pki.self_signed_client("frodo")),
    }
    files = {directory / _TRUST: pki.trust_pem}
    for stem, (_, identity) in identities.items():
        files[directory / f"{stem}.pem"] = identity.chain_pem
        files[directory / f"{stem}.key"] = identity.key_pem
    write_new(files)
    return {stem: text for stem, (text, _) in identities.items()}


async def _serve(pki: DemoPKI, port: int, directory: Path, clients: dict[str, str]) -> None:
    desk, refusals, stop = Desk(pki.policy(*ALLOWED)), Refusals(), asyncio.Event()
    verifier = verifier_for(pki, desk)
    context = server_context(credential=pki.server.credential, verifier=verifier)
    server = await listen(context, port, _say_admitted)
    with refusals.listening():
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows: there Ctrl-C cancels this coroutine
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        _say_commands(port_of(server), directory, clients, admits=repr(desk.policy))
        printing = asyncio.create_task(asyncio.to_thread(_print_refusals, refusals))
        try:
            await stop.wait()
        finally:
            server.close()
            refusals.end()
            await printing
    say("stopped")


def _say_commands(port: int, directory: Path, clients: dict[str, str], *, admits: str) -> None:
    say(f"an mTLS server on https://localhost:{port}/ ({HOST} alone); Ctrl-C ends it")
    say(f"it admits {admits}")
    say(f"the clients' files are in {escape(str(directory))}")
    url = f"https://localhost:{port}/"
    for stem, text in clients.items():
        say()
        say(f"# {text}")
        files = ("--cert", directory / f"{stem}.pem", "--key", directory / f"{stem}.key")
        say(shell("curl", "--cacert", directory / _TRUST, *files, url))
    say()
    say("# refused: no certificate")
    say(shell("curl", "--cacert", directory / _TRUST, url))
    say()
    say("a refused client sees an empty reply or a reset: Python's ssl cannot send an alert of ours")


def _say_admitted(peer: VerifiedPeer, address: str) -> None:
    say()
    say(f"{_clock()}  {paint('admitted', 'green')} {escape(address)}: {peer.subject}, {peer.decision.code}")


def _print_refusals(refusals: Refusals) -> None:
    while (refusal := refusals.next()) is not None:
        _print_refusal(refusal)


def _print_refusal(refusal: Refusal) -> None:
    say()
    say(f"{_clock()}  {paint('refused', 'red')} {refusal.address or 'address unknown'}: {refusal.code}")
    say(fold(refusal.decision.explain(), indent="  "))


def _clock() -> str:
    return f"{datetime.now().astimezone():%H:%M:%S}"

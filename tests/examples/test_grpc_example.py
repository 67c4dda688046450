"""``examples/grpc`` as a program of its own, asked by a client in another process: gRPC's threads survive no fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from mtlspolicy.testing import CertificateAuthority

PROGRAM: Final = Path(__file__).parents[2] / "examples" / "grpc" / "app.py"
PATIENCE: Final = 20.0
ASK: Final = """
    import sys

    import grpc

    from mtlspolicy import TrustStore, tls
    from mtlspolicy.integrations import grpc as mtls

    port, name, account = sys.argv[1:]
    own = tls.Credential.from_files(f"{name}.pem", f"{name}.key") if name else None
    credentials = mtls.channel_credentials(trust=TrustStore.from_file("server-ca.pem"), credential=own)
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        try:
            print(channel.unary_unary("/shire.Bank/Balance")(account.encode(), timeout=20.0).decode())
        except grpc.RpcError as error:
            print(error.code().name, error.details().partition(":")[0])
"""


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GRPC_VERBOSITY": "NONE"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the example names, and clients."""
    found = tmp_path_factory.mktemp("bank")
    public, clients = CertificateAuthority("Public"), CertificateAuthority("Clients")
    (found / "server-ca.pem").write_bytes(public.pem)
    (found / "clients-ca.pem").write_bytes(clients.pem)
    public.issue_server("localhost").files(found, name="server")
    for name in ("frodo", "sam", "gollum"):
        clients.issue_client(name).files(found, name=name)
    CertificateAuthority("Foreign").issue_client("frodo").files(found, name="foreign")
    return found


@pytest.fixture(scope="module")
def port(folder: Path) -> Generator[str, None, None]:
    """Run the example and lend its port."""
    command = [sys.executable, str(PROGRAM), "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.mark.parametrize(
    ("name", "account", "answer"),
    [
        ("frodo", "frodo", "frodo has 144 rings"),
        ("sam", "sam", "sam has 144 rings"),
        ("frodo", "sam", "PERMISSION_DENIED name.mismatch"),
        ("sam", "", "PERMISSION_DENIED policy.error"),
        ("gollum", "gollum", "PERMISSION_DENIED name.mismatch"),
        ("foreign", "frodo", "UNAVAILABLE "),
        ("", "frodo", "UNAVAILABLE "),
    ],
)
def test_each_client_is_told_of_his_own_account(folder: Path, port: str, name: str, account: str, answer: str) -> None:
    """The owner is answered; other names, strangers and clients without a certificate are not."""
    command = [sys.executable, "-c", textwrap.dedent(ASK), port, name, account]
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout.startswith(answer), done.stderr

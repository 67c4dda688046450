"""eventlet and gevent as they are: where they have replaced `ssl`, no context is built, and the reason is said."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import Final

import pytest

PROGRAM: Final = """
import {library}
{patch}
from mtlspolicy import ConfigurationError, TrustStore, Verifier, policies, testing, tls

root = testing.CertificateAuthority()
leaf, trust = root.issue_server("localhost"), TrustStore(anchors=[root.certificate])
clients = Verifier.for_clients(trust=trust, policy=policies.CommonName("frodo"))
servers = Verifier.for_servers(trust=trust, expected="localhost")
for build in (
    lambda: tls.server_context(credential=tls.Credential.of(leaf.chain, leaf.key), verifier=clients),
    lambda: tls.client_context(verifier=servers),
):
    try:
        build()
    except ConfigurationError as error:
        print(error.code)
"""
PATCHES: Final = {
    "eventlet": "eventlet.monkey_patch()",
    "gevent": "from gevent import monkey; monkey.patch_all()",
}


@pytest.mark.parametrize("library", PATCHES)
def test_rule_8_a_library_that_replaced_ssl_is_refused_by_name(library: str) -> None:
    """Their connections would never ask a policy, so that nothing is built for them; importing is no error yet."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    program = PROGRAM.format(library=library, patch=PATCHES[library])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.returncode, done.stdout) == (0, "tls.patched-ssl\ntls.patched-ssl\n"), done.stderr

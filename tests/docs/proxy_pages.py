"""What the pages about proxies need before their Python blocks run, and what must be true afterwards.

The proxies themselves are run with the configurations of these pages in ``tests/interop/proxies``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mtlspolicy import PresentedChain
from mtlspolicy.forwarded import ForwardedSource
from mtlspolicy.testing import CertificateAuthority

if TYPE_CHECKING:
    from tests.docs.conftest import Lab


def _proxies(lab: Lab) -> Iterator[None]:
    root = CertificateAuthority("Clients")
    issuing = root.intermediate("Issuing CA")
    Path("clients-root.pem").write_bytes(root.pem)
    Path("clients-ca.pem").write_bytes(root.pem + issuing.pem)
    yield
    assert isinstance(lab.namespace["source"], ForwardedSource)
    verifier = lab.namespace["verifier"]
    assert verifier.decide(PresentedChain.parse(issuing.issue_client("frodo").chain_pem))
    assert not verifier.decide(PresentedChain.parse(issuing.issue_client("gollum").chain_pem))


PROXY_SETUPS: Final[dict[str, Callable[[Lab], Iterator[None]]]] = {
    f"docs/howto/proxy-{name}.md": _proxies
    for name in ("apache", "caddy", "clouds", "envoy", "haproxy", "nginx", "traefik")
}

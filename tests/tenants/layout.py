"""The directory of tenants that the tests of this folder write, CAs and clients of theirs, and a clock to be set."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from mtlspolicy import Decision, policies
from mtlspolicy.tenants import TenantTrust
from mtlspolicy.testing import CertificateAuthority

RED, BLUE, SHARED, NEW = (CertificateAuthority(name) for name in ("red", "blue", "shared", "new"))
CHAINS = {ca: ca.issue_client("gateway").chain_pem for ca in (RED, BLUE, SHARED, NEW)}
GATEWAY = policies.CommonName("gateway")
GARBAGE = b"-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"
LONG_AGO = 1_700_000_000


@dataclass
class Clock:
    """Monotonic time in seconds, which stands still until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@dataclass(frozen=True)
class Layout:
    """A directory for `TenantTrust.from_directory`."""

    root: Path

    def write(self, place: str, content: bytes | str) -> Path:
        """Put *content* at *place*, as a new file in the place of an old one, as careful operators do."""
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.replace(path)
        return path

    def index(self, *, common: list[str] | None = None, **tenants: list[str]) -> Path:
        """Write ``index.json``."""
        return self.write("index.json", json.dumps({"common": common or [], "tenants": tenants}))

    def usual(self) -> Layout:
        """Write two tenants with a CA each, one that lists none, and a common CA."""
        self.write("common/common.pem", SHARED.pem)
        self.write("tenants/red/ca.pem", RED.pem)
        self.write("tenants/blue/ca.pem", BLUE.pem)
        self.index(common=["common.pem"], red=["ca.pem"], blue=["ca.pem"], bare=[])
        return self

    def age(self) -> None:
        """Let every file be long ago, so that the same time and size mean the same content."""
        for path in self.root.rglob("*"):
            if path.is_file():
                os.utime(path, (LONG_AGO, LONG_AGO))


def decided(trust: TenantTrust, tenant: str, ca: CertificateAuthority) -> Decision:
    """Return the decision on a client of *ca* at *tenant*."""
    return trust.verifier(tenant, policy=GATEWAY).decide(CHAINS[ca])


def code(trust: TenantTrust, tenant: str, ca: CertificateAuthority) -> str:
    """Return the code of that decision."""
    return decided(trust, tenant, ca).code


def look(trust: TenantTrust) -> float:
    """Look at the files as the thread does."""
    return trust._keeper.look()

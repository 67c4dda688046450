"""Many tenants: a decision at one of ten thousand against one at the only one, loading, looking again, and memory."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._harness import Row, Scale, at_most, compare, cost, cost_row, ratio_row, timed, timed_each
from bench._material import P256, Pki
from mtlspolicy import Policy
from mtlspolicy.tenants import TenantTrust
from mtlspolicy.testing import CertificateAuthority

PAGE = 4096
ASKED = "tenant-00007"


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    pki = Pki.new(P256, scale.size(24, 3))
    policy = pki.six_policies()
    count = scale.size(10_000, 50)
    with TemporaryDirectory(prefix="mtlspolicy-bench-") as directory:
        one, many, again = (Path(directory, name) for name in ("one", "many", "again"))
        _write(one, pki, 1)
        _write(again, pki, 1)
        _write(many, pki, count)
        yield from _loading(many, count, scale)
        # all three are looked at by hand, so that no thread runs in somebody's round
        trusts = [TenantTrust.from_directory(path, interval=None) for path in (many, one, again)]
        new = [_new_peers(pki, trust, policy) for trust in trusts]
        found = compare(new[0], new[1], rounds=scale.rounds(60), again=new[2])
        yield ratio_row(f"verify, new peer, at one of {count:,} tenants / at the only one", found, at_most(1.02))
        known = [timed(_known_peer(pki, trust, policy), number=scale.size(200, 20)) for trust in trusts]
        found = compare(known[0], known[1], rounds=scale.rounds(200), again=known[2])
        yield ratio_row(
            f"verify, path seen before, at one of {count:,} tenants / at the only one", found, at_most(1.02)
        )
        yield from _shown(pki, trusts[0], policy, scale)


def _write(root: Path, pki: Pki, count: int) -> None:
    """Lay out *count* tenants with a CA each, one of them the CA of *pki*, and a common one."""
    key = pki.root.key
    names = [f"tenant-{number:05}" for number in range(7, 7 + count)]
    for name in names:
        folder = root / "tenants" / name
        folder.mkdir(parents=True)
        ca = pki.root.pem if name == ASKED else CertificateAuthority(f"CA of {name}", key=key).pem
        (folder / "ca.pem").write_bytes(ca)
    (root / "common").mkdir()
    (root / "common" / "common.pem").write_bytes(CertificateAuthority("common", key=key).pem)
    listed = {"common": ["common.pem"], "tenants": {name: ["ca.pem"] for name in names}}
    (root / "index.json").write_text(json.dumps(listed), encoding="ascii")


def _new_peers(pki: Pki, trust: TenantTrust, policy: Policy) -> Callable[[], float]:
    chains = [pki.chain(client) for client in pki.clients]

    def verify(chain: list[bytes]) -> None:
        trust.verifier(ASKED, policy=policy).verify(chain)

    def prepare() -> list[Callable[[], object]]:
        trust._shelves.clear()  # noqa: SLF001 - a new verifier each round has seen nobody
        trust.verifier(ASKED, policy=policy)
        return [partial(verify, chain) for chain in chains]

    return timed_each(prepare)


def _known_peer(pki: Pki, trust: TenantTrust, policy: Policy) -> Callable[[], object]:
    chain = pki.chain(pki.clients[0])

    def verify() -> object:
        return trust.verifier(ASKED, policy=policy).verify(chain)

    verify()
    return verify


def _shown(pki: Pki, trust: TenantTrust, policy: Policy, scale: Scale) -> Iterator[Row]:
    """Yield figures without a budget."""
    number = scale.size(200, 20)
    trust.verifier(ASKED, policy=policy)
    asked = timed(partial(trust.verifier, ASKED, policy=policy), number=number)
    yield cost_row("TenantTrust.verifier(tenant, policy=...)", cost(asked, rounds=scale.rounds(100)), "us", None)
    known = timed(_known_peer(pki, trust, policy), number=number)
    yield cost_row("the same, and verify, path seen before", cost(known, rounds=scale.rounds(100)), "us", None)


def _loading(root: Path, count: int, scale: Scale) -> Iterator[Row]:
    command = [sys.executable, "-m", "bench.tenants", str(root)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
    megabytes, seconds = float(output[0]), float(output[1])
    yield Row(f"{count:,} tenants: load", seconds * 1e3, "ms")
    known = None if math.isnan(megabytes) else megabytes
    yield Row(f"{count:,} tenants: memory", known, "MB", note="" if known else "only Linux tells without more")
    trust = TenantTrust.from_directory(root, interval=None)
    look = timed(trust._keeper.look)  # noqa: SLF001 - what the thread does
    look()
    yield cost_row(f"{count:,} tenants: one look, nothing new", cost(look, rounds=scale.rounds(10)), "ms", None)


def _measure(root: str) -> str:
    """Load the directory and say by how many MB the process has grown, and how many seconds it took."""
    statm = Path("/proc/self/statm")
    CertificateAuthority("warm up")
    gc.collect()
    before = _resident(statm)
    start = time.perf_counter()
    trust = TenantTrust.from_directory(root, interval=None)
    seconds = time.perf_counter() - start
    gc.collect()
    return f"{(_resident(statm) - before) / 1e6} {seconds} {trust!r}"


def _resident(statm: Path) -> float:
    """Return the resident memory of this process in bytes, or NaN."""
    return int(statm.read_text(encoding="ascii").split()[1]) * PAGE if statm.exists() else math.nan


if __name__ == "__main__":
    print(_measure(*sys.argv[1:]))

"""Long lists: 10,000 anchors against one, and a million pins or serial numbers from a file."""

from __future__ import annotations

import gc
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._harness import Row, Scale, at_most, compare, cost, cost_row, ratio_row, timed, timed_each
from bench._material import P256, Pki
from mtlspolicy import Policy, TrustStore, Verifier, policies
from mtlspolicy.testing import CertificateAuthority

PAGE = 4096


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    yield from _anchors(scale)
    entries = scale.size(1_000_000, 2_000)
    for kind in ("pins", "serials"):
        yield from _list(kind, entries, scale)


def _anchors(scale: Scale) -> Iterator[Row]:
    pki = Pki.new(P256, scale.size(24, 3))
    count = scale.size(10_000, 50)
    key = pki.root.key
    others = [CertificateAuthority(f"tenant {number}", key=key).certificate for number in range(count - 1)]
    start = time.process_time()
    many = TrustStore(anchors=[*others, pki.root.certificate])
    built = time.process_time() - start
    policy, one = pki.six_policies(), pki.store
    found = compare(_under(pki, many, policy), _under(pki, one, policy), rounds=scale.rounds(60))
    yield ratio_row(f"verify, new peer, {count:,} anchors / one anchor", found, at_most(1.02))
    yield Row(f"TrustStore of {count:,} anchors: build, for each anchor", built / count * 1e6, "us")


def _under(pki: Pki, store: TrustStore, policy: Policy) -> Callable[[], float]:
    chains = [pki.chain(client) for client in pki.clients]

    def prepare() -> list[Callable[[], object]]:
        verifier = Verifier.for_clients(trust=store, policy=policy)
        return [lambda chain=chain: verifier.verify(chain) for chain in chains]  # type: ignore[misc]

    return timed_each(prepare)


def _entry(kind: str, number: random.Random) -> str:
    return number.randbytes(32).hex() if kind == "pins" else f"{number.getrandbits(127) + 1:#x}"


def _load(kind: str, path: str | Path) -> policies.SPKIPin | policies.SerialNumbers:
    if kind == "pins":
        return policies.SPKIPin.from_list_file(path)
    return policies.SerialNumbers.from_list_file(path, issuer=CertificateAuthority("bench CA").certificate)


def _list(kind: str, entries: int, scale: Scale) -> Iterator[Row]:
    number = random.Random(7)  # noqa: S311 - entries that are the same in every run
    with TemporaryDirectory(prefix="mtlspolicy-bench-") as directory:
        path = Path(directory, "list")
        path.write_text("".join(f"{_entry(kind, number)}\n" for _ in range(entries)), encoding="ascii")
        command = [sys.executable, "-m", "bench.lists", kind, str(path)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
        megabytes, seconds = float(output[0]), float(output[1])
        policy = _load(kind, path)
    known = None if math.isnan(megabytes) else megabytes
    note = f"loaded in {seconds:.1f} s" if known is not None else "only Linux tells without another package"
    yield Row(f"{entries:,} {kind}: memory", known, "MB", None, at_most(120), note)
    held = policy.entries
    if callable(held):
        raise TypeError("a list from a file is no source")
    wanted = random.Random(8).sample(sorted(held), min(1000, entries))  # noqa: S311 - the same
    # copies, since a digest that a policy looks up is a new object, whose hash is not known yet
    probes = [bytes(bytearray(one)) if isinstance(one, bytes) else one for one in wanted]

    def look_up() -> None:
        for one in probes:
            one in held  # noqa: B015 - the look-up is what is measured

    found = cost(timed(look_up, number=1), rounds=scale.rounds(200))
    scaled = type(found)(found.subject / len(probes), found.baseline / len(probes), found.control, found.rounds)
    yield cost_row(f"{entries:,} {kind}: look-up", scaled, "us", at_most(0.5))


def _resident() -> float:
    """Return the resident memory of this process in bytes; Linux alone tells without another package."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def _measure(kind: str, path: str) -> str:
    """Load the list and say by how many MB the process has grown, and how many seconds it took."""
    small = Path(path).with_suffix(".small")
    small.write_text("0x1\n" if kind == "serials" else f"{'00' * 32}\n", encoding="ascii")
    _load(kind, small)
    gc.collect()
    if not Path("/proc/self/statm").exists():
        return f"nan {_seconds(kind, path)}"
    before = _resident()
    start = time.process_time()
    policy = _load(kind, path)
    seconds = time.process_time() - start
    gc.collect()
    return f"{(_resident() - before) / 1e6} {seconds} {policy!r}"


def _seconds(kind: str, path: str) -> float:
    start = time.process_time()
    _load(kind, path)
    return time.process_time() - start


if __name__ == "__main__":
    print(_measure(*sys.argv[1:]))

"""The first handshake after `tls.server_context` returned, against the median of those that follow, in fresh processes.

The bare context stands beside it: what a first handshake costs anyway. Client and OpenSSL are warm in both: handshakes
with another context came before.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from bench._harness import Row, Scale, Side, at_most, interleave
from bench._material import LABELS, P256, RSA, Pki
from bench.handshakes import bare_client, bare_server, our_server, shake_hands

FOLLOWING = 40


def _side(kind: str, which: str) -> Side:
    """Return the side that starts a process; its cost is a ratio, not seconds."""
    command = [sys.executable, "-m", "bench.first_handshake", kind, which]
    return lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def _measure(kind: str, which: str) -> float:
    pki = Pki.new(kind, 1)
    client = bare_client(pki)
    with pki.files() as files:
        other = bare_server(pki, files, tickets=False)
        for _ in range(5):
            shake_hands(other, client)
        server = our_server(pki) if which == "ours" else bare_server(pki, files, tickets=False)
    costs: list[float] = []
    for _ in range(1 + FOLLOWING):
        start = time.thread_time()
        shake_hands(server, client)
        costs.append(time.thread_time() - start)
    return costs[0] / statistics.median(costs[1:])


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    for kind in (P256, RSA):
        rounds = scale.rounds(11)
        ours, bare, again = interleave([_side(kind, "ours"), _side(kind, "bare"), _side(kind, "bare")], rounds=rounds)
        figure, usual = statistics.median(ours), statistics.median(bare + again)
        control = statistics.median(again) / statistics.median(bare)
        note = f"a bare context: {usual:.2f}; {rounds} processes each"
        yield Row(
            f"first handshake after server_context / median, {LABELS[kind]}", figure, "x", control, at_most(1.5), note
        )


if __name__ == "__main__":
    print(_measure(*sys.argv[1:]))

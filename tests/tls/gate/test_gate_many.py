"""RULES 10: what ten thousand clients cost who are held, and that the deadline ends every one of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("holding.py")
KILOBYTE = 1000


@contextmanager
def running(role: str, *arguments: object) -> Generator[Any, None, None]:
    """Run one of the programs in `holding`, at most as long as the block lasts."""
    command = [sys.executable, str(PROGRAM), role, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


def result(program: Any) -> dict[str, Any]:
    """Return what the program found."""
    out, err = program.communicate(timeout=250)
    assert program.returncode == 0, err
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@pytest.mark.timeout(300)  # half a minute on two idle cores
@pytest.mark.parametrize(
    ("loop", "number", "most"),
    [("uvloop", 10_000, 100 * KILOBYTE), ("asyncio", 1_000, 500 * KILOBYTE)],
    ids=["uvloop-10000", "asyncio-1000"],
)
def test_clients_that_come_by_the_thousand_and_wait(loop: str, number: int, most: int, tmp_path: Path) -> None:
    """They are held together, each for one file and bounded memory, and the deadline closes them all without a byte.

    Real connections over TCP between two processes, cheap for who opens them: all but the first resume a session of
    TLS 1.2. Ten thousand under uvloop, where each takes some 32 kB. asyncio reserves 256 KiB to read into for every TLS
    connection, held or not, hence a thousand there.
    """
    pytest.importorskip("resource")
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with running("serve", tmp_path, number, loop) as server:
        port = server.stdout.readline().strip()
        if not port:
            pytest.skip(f"the system allows no {number} open files")
        with running("dial", tmp_path, number, port) as client:
            assert result(client) == {"ended": number, "received": 0}
        found = result(server)
    # All of them, but where the machine is so busy that the first had to go before the last could come.
    assert number // 2 <= found["peak"] <= number
    assert 0 < found["each"] < most
    assert found["files_each"] == pytest.approx(1.0, abs=0.05)
    assert found["files_left"] <= 0
    assert (found["held_left"], found["origins_left"], found["made"]) == (0, 0, 0)
    assert found["took"] < found["hold_timeout"] + 120.0, "the deadline has closed them, and not the test"

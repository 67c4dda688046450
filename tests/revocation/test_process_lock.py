"""A lock that outlives a fork: in a process of its own, since a test's threads are no company for one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from mtlspolicy.revocation._process_lock import ProcessLock

PROGRAM = textwrap.dedent(
    """
    import os, threading, sys
    from pathlib import Path
    from mtlspolicy.revocation import CRLFiles, crls_source

    source = crls_source(CRLFiles(sys.argv[1]))
    locks = [source._lock, source._files._lock, source._seen._lock]
    for lock in locks:
        lock.acquire()
    child = os.fork()
    if child == 0:
        for lock in locks:
            free = lock.acquire(blocking=False)
            lock.release()
            if not free:
                os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    held = [lock.acquire(blocking=False) for lock in locks]
    sys.exit(os.waitstatus_to_exitcode(status) or any(held))
    """
)


def test_only_one_has_it() -> None:
    """Like the lock that it is made of."""
    lock = ProcessLock()
    with lock:
        assert not lock.acquire(blocking=False)
    assert lock.acquire()
    lock.release()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_fork_while_a_thread_reads_a_list_leaves_the_child_able(tmp_path: object) -> None:
    """Every question of that child about a CRL would time out, for ever."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)], check=False, timeout=50, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")

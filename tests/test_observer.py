"""Observed decisions: a hook learns of every decision, and its failure or slowness changes and delays none."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from typing import Any, NoReturn

import pytest

from mtlspolicy import _observer, policies
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._observer import Observer
from mtlspolicy._trust import TrustStore
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.testing import CertificateAuthority

ROOT = CertificateAuthority("root")
LEAF = ROOT.issue_client("frodo")
WAIT = 10.0
"""Seconds that a delivery may take on a busy machine; it takes microseconds."""


def _verifier() -> Verifier:
    return Verifier.for_clients(trust=TrustStore(anchors=[ROOT.der]), policy=policies.CommonName("frodo"))


def _observer_of(verifier: Verifier) -> Observer:
    assert verifier._observer is not None
    return verifier._observer


def _decision(number: int = 0) -> Decision:
    return Decision(Verdict.DENY, "test.number", str(number))


def test_every_decision_reaches_the_hook_in_order() -> None:
    """Permits and refusals of `verify` and `decide`, malformed chains included, in the order of their making."""
    seen: list[Decision] = []
    verifier = _verifier().observed_by(seen.append)
    made = [verifier.decide(chain) for chain in (LEAF.der, b"rubbish", ROOT.issue_client("sam").der, LEAF.der)]
    made.append(verifier.verify(LEAF.der).decision)
    assert _observer_of(verifier).drain(WAIT)
    assert [(one.verdict, one.code) for one in seen] == [(one.verdict, one.code) for one in made]
    assert seen[0] is made[0]


def test_observing_is_a_copy() -> None:
    """The verifier that was copied is not observed, and the copy decides alike."""
    seen: list[Decision] = []
    plain = _verifier()
    observed = plain.observed_by(seen.append)
    assert observed is not plain
    assert plain.decide(LEAF.der)
    assert observed.decide(LEAF.der)
    assert _observer_of(observed).drain(WAIT)
    assert len(seen) == 1
    assert plain._observer is None
    servers = Verifier.for_servers(trust=TrustStore(anchors=[ROOT.der]), expected="a.test").observed_by(print)
    assert (servers.peer_role, len(servers.expected)) == ("server", 1)


@pytest.mark.parametrize("error", [ValueError("x"), KeyError(), SystemExit(3), KeyboardInterrupt()])
def test_a_hook_that_raises_changes_nothing(error: BaseException) -> None:
    """Whatever the hook raises is counted, and the next decision reaches it."""
    calls: list[Decision] = []

    def hook(decision: Decision) -> NoReturn:
        calls.append(decision)
        raise error

    verifier = _verifier().observed_by(hook)
    for _ in range(3):
        assert verifier.decide(LEAF.der).verdict is Verdict.PERMIT
    assert _observer_of(verifier).drain(WAIT)
    assert (len(calls), _observer_of(verifier).failed) == (3, 3)


def test_a_hook_that_blocks_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decisions are made while the hook hangs; what it cannot take in time is dropped, counted, and bounded."""
    monkeypatch.setattr(_observer, "BACKLOG", 5)
    entered, release = threading.Event(), threading.Event()
    seen: list[Decision] = []

    def hook(decision: Decision) -> None:
        seen.append(decision)
        entered.set()
        assert release.wait(WAIT)

    verifier = _verifier().observed_by(hook)
    observer = _observer_of(verifier)
    assert verifier.decide(LEAF.der)
    assert entered.wait(WAIT)
    for _ in range(20):
        assert verifier.decide(LEAF.der).verdict is Verdict.PERMIT
    assert (len(seen), observer.dropped) == (1, 15)
    release.set()
    assert observer.drain(WAIT)
    assert len(seen) == 6


def test_no_thread_before_the_first_decision() -> None:
    """Building a verifier starts no thread, so that a server may still fork."""
    observer = Observer(print)
    assert observer._thread is None
    assert observer.drain(0.0), "nothing was left, so everything was delivered"


def test_a_thread_that_ended_is_started_again() -> None:
    """A process that was forked has the queue and no thread: the next decision starts one."""
    seen: list[Decision] = []
    observer = Observer(seen.append)
    dead = threading.Thread(target=int)
    dead.start()
    dead.join()
    observer._thread = dead
    observer.put(_decision())
    assert observer.drain(WAIT)
    assert len(seen) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_forked_server_observes_in_each_process() -> None:
    """Pre-forking: parent and child both deliver after the fork, although the thread existed before it."""
    script = """
        import os, warnings
        warnings.simplefilter("ignore")
        from mtlspolicy._decision import Decision, Verdict
        from mtlspolicy._observer import Observer
        seen = []
        observer = Observer(seen.append)
        observer.put(Decision(Verdict.DENY, "test.before"))
        assert observer.drain(10)
        child = os.fork()
        observer.put(Decision(Verdict.DENY, "test.after"))
        assert observer.drain(10)
        assert [one.code for one in seen] == ["test.before", "test.after"]
        if child:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_where_no_thread_can_be_had_the_decision_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter ends no thread starts: counted, and the decision stands."""

    def start(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    observer = Observer(print)
    monkeypatch.setattr(threading.Thread, "start", start)
    observer.put(_decision())
    assert observer.dropped == 1
    assert not observer.drain(0.0) or observer._thread is None


def test_two_threads_start_one() -> None:
    """While one thread starts the delivery another does not wait for it, nor start a second one."""
    seen: list[Decision] = []
    observer = Observer(seen.append)
    with observer._starting:
        observer.put(_decision())
        assert observer._thread is None
    observer.put(_decision(1))
    first = observer._thread
    observer._start()
    assert observer._thread is first
    assert observer.drain(WAIT)
    assert len(seen) == 2


def test_a_hook_is_a_callable() -> None:
    """Anything else is refused when the verifier is built."""
    wrong: Any = "print"
    with pytest.raises(ConfigurationError, match="observed_by takes a callable .* not str"):
        _verifier().observed_by(wrong)

"""What the tests of the resolver share: a policy that needs a fact, a real judgement under it, and both event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Hashable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, TypeAlias, TypeVar

import pytest

from mtlspolicy import CertificationPath, Decision, Evidence, Need, Policy, PresentedChain, TrustStore, Verifier
from mtlspolicy._judgement import Judgement
from mtlspolicy.testing import CertificateAuthority
from mtlspolicy.tls import _log

T = TypeVar("T")
Judge: TypeAlias = Callable[[Policy], Judgement]
Run: TypeAlias = Callable[[Coroutine[Any, Any, Any]], Any]


@dataclass(frozen=True)
class Asks(Policy):
    """Permits where the fact for its need is true, denies where it is anything else, and has no answer without it."""

    identifies: ClassVar[bool] = True
    kind: str = "partner.enrolled"
    key: Hashable = "frodo"
    max_age: timedelta | None = None

    @property
    def need(self) -> Need:
        """The one need of this policy."""
        return Need(self.kind, self.key, self.max_age)

    def requires(self, path: CertificationPath) -> tuple[Need, ...]:
        """Return the need."""
        del path
        return (self.need,)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Read the fact."""
        fact = evidence.fact(self.need)
        if fact is None:
            return self.indeterminate("fact.missing", needs=(self.need,))
        return self.permit("fact.found") if fact.value is True else self.deny("fact.refused")


@pytest.fixture(autouse=True)
def every_line() -> None:
    """Let the rate limit of the log begin anew for each test, so that no test silences another."""
    _log.LIMITER.clear()


@pytest.fixture
def asks() -> type[Asks]:
    """The policy that needs a fact."""
    return Asks


@pytest.fixture(scope="session")
def judge() -> Judge:
    """Give a real judgement of one good client under a policy."""
    authority = CertificateAuthority()
    trust = TrustStore(anchors=[authority.certificate])
    presented = PresentedChain.parse(authority.issue_client("frodo").chain_pem)
    return lambda policy: Verifier.for_clients(trust=trust, policy=policy).judgement(presented)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end on a new event loop of each kind."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run_coroutine


@pytest.fixture
def opened() -> Iterator[threading.Event]:
    """Give an event for sources to block on, which is set at the end so that no thread is left behind."""
    event = threading.Event()
    yield event
    event.set()

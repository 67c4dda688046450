"""Ends of a hold other than PERMIT: denial, doubt, a client that leaves, cancellation, interrupts, failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from mtlspolicy import Decision, Evidence, Policy, Resolver, policies

DOWN = [OSError("data base down"), TimeoutError(), asyncio.CancelledError()]


CASES = [(False, False), (None, False), *((failure, negated) for failure in DOWN for negated in (False, True))]


@pytest.mark.parametrize(("answer", "negated"), CASES, ids=repr)
def test_whoever_is_not_permitted_never_meets_the_application(
    site13: Any, run: Any, answer: object, caplog: pytest.LogCaptureFixture, *, negated: bool
) -> None:
    """A denial, a missing row, a resolver that is down, also under ~: the connection ends and is logged, once."""
    policy = policies.CommonName("frodo") & ~site13.policy if negated else site13.policy
    site13.source.answer = answer
    site13.source.released.set()

    async def main() -> None:
        async with site13.serving(site13.context(policy)) as port, site13.client(port) as client:
            client.writer.write(b"request")
            assert await client.ended() == b""
            assert (site13.made, site13.held) == ([], 0)

    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        run(main())
    decision = site13.keepers[0]._latch.decision
    assert decision.code == ("fact.refused" if answer in {False, None} else "fact.missing")
    lines = [record.getMessage() for record in caplog.records if record.name == "mtlspolicy.connection"]
    assert len(lines) == 1
    assert decision.code in lines[0]
    assert "frodo" in lines[0]


@pytest.mark.parametrize("way", ["reset", "end", "half-close"])
def test_a_client_that_leaves_while_held_is_forgotten(site: Any, run: Any, way: str) -> None:
    """Reset, end and half-close end the hold at once: the application never runs for a client that has gone."""

    async def main() -> None:
        async with site.serving(site.context()) as port, site.client(port) as client:
            client.writer.write(b"request")
            await client.writer.drain()
            await site.source.began.wait()
            with socket.socket(fileno=os.dup(client.writer.get_extra_info("socket").fileno())) as same:
                if way == "reset":
                    same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.writer.transport.abort()
                elif way == "end":
                    client.writer.transport.abort()
                else:
                    same.shutdown(socket.SHUT_WR)
                await asyncio.sleep(0.01)
            await site.until(lambda: site.held == 0)
            site.source.released.set()
            await asyncio.sleep(0.02)
            assert site.made == []
            latch = site.keepers[0]._latch
            assert (latch.state.value, latch.decision.code) == ("refused", "tls.peer-gone")

    run(main())


def test_a_client_that_says_goodbye_and_waits_is_answered_as_ever(site: Any, run: Any) -> None:
    """A close_notify behind the request, on an open connection, is read after PERMIT: request first, then the end."""

    async def main() -> None:
        async with site.serving(site.context()) as port, site.client(port) as client:
            client.writer.write(b"request")
            await site.source.began.wait()
            client.writer.close()
            await asyncio.sleep(0.01)
            assert (site.made, site.held) == ([], 1)
            site.source.released.set()
            await site.until(lambda: bool(site.made))
            await asyncio.wait_for(site.made[0].lost.wait(), 20)
            assert site.made[0].received == b"request"

    run(main())


def test_a_connection_lost_at_the_moment_of_the_decision_meets_no_application(site13: Any, run: Any) -> None:
    """Where the connection goes in the same turn of the loop that brings the PERMIT, there is nobody to hand over."""

    async def main() -> None:
        async with site13.serving(site13.context()) as port, site13.client(port):
            await site13.source.began.wait()
            keeper = site13.keepers[0]
            keeper._task.remove_done_callback(keeper._decided)
            site13.source.released.set()
            await site13.until(keeper._task.done)
            keeper._transport.abort()
            keeper._decided(keeper._task)
            assert (site13.made, site13.held, keeper._latch.state.value) == ([], 0, "refused")

    run(main())


def test_an_unanswered_hold_ends_at_its_deadline(site: Any, run: Any) -> None:
    """After hold_timeout a held connection is closed, and the code says that a fact was missing."""

    async def main() -> None:
        async with site.serving(site.context(hold_timeout=0.05)) as port, site.client(port) as client:
            client.writer.write(b"request")
            assert await client.ended() == b""
            assert (site.made, site.held) == ([], 0)
            assert site.keepers[0]._latch.decision.code == "fact.missing"

    run(main())


@pytest.mark.parametrize("whose", ["the decision's task", "every task"])
def test_a_cancelled_hold_ends_refused(site13: Any, run: Any, whose: str) -> None:
    """A decision that is cancelled, alone or with all tasks of a loop that ends, closes the connection."""

    async def main() -> None:
        async with site13.serving(site13.context()) as port, site13.client(port) as client:
            await site13.source.began.wait()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in {site13.keepers[0]._task} if whose == "the decision's task" else others:
                task.cancel()
            assert await client.ended() == b""
        latch = site13.keepers[0]._latch
        assert (site13.made, site13.held, latch.state.value) == ([], 0, "refused")
        assert latch.decision.code == "gate.interrupted"

    run(main())


def test_an_interrupt_in_a_policy_admits_nobody(site13: Any, run: Any) -> None:
    """A policy that ends the program while it decides on a held connection leaves that connection refused."""

    @policies.lookup("partner.enrolled", key=lambda path: str(path), identifies=True)  # noqa: PLW0108 - a class is no function
    def deadly(_row: object, _evidence: object) -> bool:
        raise SystemExit(7)

    async def main() -> None:
        async with site13.serving(site13.context(deadly)) as port, site13.client(port) as client:
            site13.source.released.set()
            await client.ended()

    with pytest.raises(SystemExit):
        run(main())
    assert (site13.made, site13.held) == ([], 0)
    assert site13.keepers[0]._latch.state.value == "refused"


@dataclass(frozen=True)
class SecondThought(Policy):
    """Has no answer when it is asked first, and ends the program when it is asked again."""

    identifies: ClassVar[bool] = True
    seen: list[Evidence] = field(default_factory=list, hash=False, compare=False)

    def evaluate(self, evidence: Evidence) -> Decision:
        """Answer once."""
        self.seen.append(evidence)
        if len(self.seen) > 1:
            raise SystemExit(7)
        return self.indeterminate("test.later")


def test_an_interrupt_while_claiming_leaves_the_connection_shut(site13: Any, run: Any) -> None:
    """A policy that ends the program in the gate's own turn leaves it shut; uvloop logs what asyncio raises."""

    async def main() -> None:
        async with site13.serving(site13.context(SecondThought())) as port:
            await site13.turned_away(port)

    with contextlib.suppress(SystemExit):
        run(main())
    assert (site13.made, site13.held) == ([], 0)
    latch = site13.keepers[0]._latch
    assert (latch.state.value, latch.decision.code) == ("refused", "gate.interrupted")
    assert site13.keepers[0]._transport.is_closing()


class Deaf(logging.Handler):
    """A log handler that fails, as a full disk makes one fail."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Fail."""
        raise OSError(28, f"No space left on device for {record.name}")


def test_a_log_that_fails_leaves_no_connection_held(site13: Any, run: Any) -> None:
    """Where refusing itself fails the connection is closed all the same."""
    handler, logger = Deaf(), logging.getLogger("mtlspolicy.connection")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        async with site13.serving(site13.context(hold_timeout=0.05)) as port:
            assert await site13.turned_away(port) == b""

    told: list[BaseException] = []
    logger.addHandler(handler)
    try:
        run(main())
    finally:
        logger.removeHandler(handler)
    assert (site13.made, site13.held) == ([], 0)
    assert [type(error) for error in told] == [OSError]


def test_a_loop_that_takes_no_task_admits_nobody(site13: Any, run: Any) -> None:
    """Where the decision's task cannot be made the connection is shut, and does not count as held."""

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Any = None, **_: Any) -> asyncio.Task[Any]:
        if coroutine.__name__ == "settle_async":
            coroutine.close()
            raise TypeError("no task")
        return asyncio.Task(coroutine, loop=loop, context=context)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        async with site13.serving(site13.context()) as port:
            assert await site13.turned_away(port) == b""

    told: list[str] = []
    run(main())
    assert told == ["no task"]
    assert (site13.made, site13.held, site13.keepers[0]._latch.state.value) == ([], 0, "refused")


def test_a_resolver_without_the_kind_is_not_waited_for(site13: Any, run: Any) -> None:
    """A need that has no source cannot become a fact: the connection is refused as soon as that is known."""

    async def main() -> None:
        async with Resolver({"other": site13.source}) as resolver:
            context = site13.context(resolver=resolver, hold_timeout=3000)
            async with site13.serving(context) as port, site13.client(port) as client:
                assert await client.ended() == b""
        assert site13.keepers[0]._latch.decision.code == "fact.missing"

    run(main())

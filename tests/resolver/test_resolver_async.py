"""The resolver on event loops: single flight that no waiter can break, deadlines, cancellation, several loops."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

from mtlspolicy import Need, Resolver, Verdict
from mtlspolicy._resolver import settle_async


def test_a_thousand_waiters_ask_once(judge: Any, asks: Any, run: Any) -> None:
    """However many tasks wait for one key, the source is called once and all get its answer."""
    called: list[str] = []

    async def main() -> list[Verdict]:
        asked, release = asyncio.Event(), asyncio.Event()

        async def fetch(key: str) -> bool:
            called.append(key)
            asked.set()
            await release.wait()
            return True

        async with Resolver({"partner.enrolled": fetch}, deadline=30) as resolver:
            tasks = [asyncio.create_task(settle_async(judge(asks()), resolver)) for _ in range(1000)]
            await asked.wait()
            release.set()
            return [outcome.decision.verdict for outcome in await asyncio.gather(*tasks)]

    assert run(main()) == [Verdict.PERMIT] * 1000
    assert called == ["frodo"]


@pytest.mark.parametrize("steps", range(6))
def test_a_cancelled_first_waiter_harms_nobody(judge: Any, asks: Any, run: Any, steps: int) -> None:
    """The first to ask may be cancelled at any point: the others get the one answer."""
    called: list[str] = []

    async def main() -> list[Verdict]:
        release = asyncio.Event()

        async def fetch(key: str) -> bool:
            called.append(key)
            await release.wait()
            return True

        async with Resolver({"partner.enrolled": fetch}, deadline=30) as resolver:
            first, *others = [asyncio.create_task(settle_async(judge(asks()), resolver)) for _ in range(6)]
            for _ in range(steps):
                await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            release.set()
            return [outcome.decision.verdict for outcome in await asyncio.gather(*others)]

    assert run(main()) == [Verdict.PERMIT] * 5
    assert called == ["frodo"]


def test_what_the_last_waiter_left_is_there_for_the_next(judge: Any, asks: Any, run: Any) -> None:
    """A flight goes on when all who waited have gone: clients that hang up in a loop do not keep the answer away."""
    called: list[str] = []

    async def main() -> Verdict:
        release = asyncio.Event()

        async def fetch(key: str) -> bool:
            called.append(key)
            await release.wait()
            return True

        async with Resolver({"partner.enrolled": fetch}, deadline=30) as resolver:
            for _ in range(3):
                task = asyncio.create_task(settle_async(judge(asks()), resolver))
                await asyncio.sleep(0.01)
                task.cancel()
            release.set()
            return (await settle_async(judge(asks()), resolver)).decision.verdict

    assert run(main()) is Verdict.PERMIT
    assert called == ["frodo"]


def test_a_source_that_hangs_is_cancelled_at_the_deadline(judge: Any, asks: Any, run: Any) -> None:
    """After the deadline the source is cancelled, also where nobody waits, and the decision is INDETERMINATE."""

    async def main() -> str:
        ended = asyncio.Event()

        async def hang(_key: str) -> bool:
            try:
                return await asyncio.Event().wait()
            finally:
                ended.set()

        async with Resolver({"partner.enrolled": hang}, deadline=0.05) as resolver:
            outcome = await settle_async(judge(asks()), resolver)
            await ended.wait()
            return outcome.decision.code

    assert run(main()) == "fact.missing"


def test_a_source_that_will_not_be_cancelled_holds_nobody(judge: Any, asks: Any, run: Any) -> None:
    """A source that swallows its cancellation and answers later is too late: no fact, not even for the next."""
    called: list[str] = []

    async def main() -> tuple[str, bool]:
        stubborn = asyncio.Event()
        answered = asyncio.Event()

        async def fetch(key: str) -> bool:
            called.append(key)
            try:
                await stubborn.wait()
            except asyncio.CancelledError:
                await stubborn.wait()
            answered.set()
            return True

        async with Resolver({"partner.enrolled": fetch}, deadline=0.05) as resolver:
            outcome = await settle_async(judge(asks()), resolver, deadline=30)
            stubborn.set()
            await answered.wait()
            await asyncio.sleep(0)
            return outcome.decision.code, bool(resolver.at_hand([asks().need]))

    assert run(main()) == ("fact.missing", False)
    assert called == ["frodo"]


@pytest.mark.parametrize("failure", [ValueError("no"), TimeoutError(), asyncio.CancelledError()], ids=repr)
def test_a_source_that_fails_gives_no_fact(judge: Any, asks: Any, run: Any, failure: BaseException) -> None:
    """A failure, a stray cancellation included, is INDETERMINATE for all who wait, also under ~."""

    async def fail(_key: str) -> bool:
        await asyncio.sleep(0)
        raise failure

    async def main() -> set[tuple[Verdict, str]]:
        async with Resolver({"partner.enrolled": fail}, negative_max_age=0) as resolver:
            policies = [asks(), asks(), ~asks() & asks(key="sam")]
            outcomes = await asyncio.gather(*(settle_async(judge(policy), resolver) for policy in policies))
            return {(outcome.decision.verdict, outcome.decision.code) for outcome in outcomes}

    assert run(main()) == {(Verdict.INDETERMINATE, "fact.missing")}


def test_an_interrupt_ends_the_loop_it_was_raised_on(judge: Any, asks: Any, run: Any) -> None:
    """An interrupt in a source on the application's loop is not swallowed."""

    async def interrupted(_key: str) -> bool:
        raise KeyboardInterrupt

    async def main() -> None:
        await settle_async(judge(asks()), Resolver({"partner.enrolled": interrupted}))

    with pytest.raises(KeyboardInterrupt):
        run(main())


def test_a_plain_function_does_not_block_the_loop(judge: Any, asks: Any, run: Any) -> None:
    """A blocking source asked from a loop runs in a thread: the loop goes on, and can even be what it waits for."""
    gate = threading.Event()

    def fetch(_key: str) -> bool:
        return gate.wait(30)

    async def main() -> Verdict:
        async with Resolver({"partner.enrolled": fetch}, deadline=30) as resolver:
            task = asyncio.create_task(settle_async(judge(asks()), resolver))
            await asyncio.sleep(0.01)
            assert not task.done()
            gate.set()
            return (await task).decision.verdict

    assert run(main()) is Verdict.PERMIT


def test_without_a_resolver_nothing_is_awaited(judge: Any, asks: Any, run: Any) -> None:
    """No resolver: the decision is the one without facts."""

    async def main() -> str:
        return (await settle_async(judge(asks()), None)).decision.code

    assert run(main()) == "fact.missing"


def test_a_shorter_deadline_of_the_caller_holds(judge: Any, asks: Any, run: Any) -> None:
    """The caller's deadline ends its waiting, and the flight goes on for others."""

    async def main() -> tuple[str, Verdict]:
        release = asyncio.Event()

        async def fetch(_key: str) -> bool:
            return await release.wait()

        async with Resolver({"partner.enrolled": fetch}, deadline=30) as resolver:
            patient = asyncio.create_task(settle_async(judge(asks()), resolver))
            hasty = await settle_async(judge(asks()), resolver, deadline=0.02)
            release.set()
            return hasty.decision.code, (await patient).decision.verdict

    assert run(main()) == ("fact.missing", Verdict.PERMIT)


def test_loops_in_several_threads_share_a_resolver(judge: Any, asks: Any, run: Any) -> None:
    """Each loop awaits the source on its own loop, at the same time, and none waits for another's."""
    both = threading.Barrier(2)
    loops: set[asyncio.AbstractEventLoop] = set()
    verdicts: list[Verdict] = []

    async def fetch(_key: str) -> bool:
        loops.add(asyncio.get_running_loop())
        await asyncio.to_thread(both.wait, 20)
        return True

    resolver = Resolver({"partner.enrolled": fetch}, deadline=30)

    async def main() -> None:
        verdicts.append((await settle_async(judge(asks()), resolver)).decision.verdict)

    threads = [threading.Thread(target=lambda: run(main())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    resolver.close()
    assert verdicts == [Verdict.PERMIT] * 2
    assert len(loops) == 2


def test_the_first_callers_context_does_not_leak(judge: Any, asks: Any, run: Any) -> None:
    """A shared flight does not see the context variables of whoever asked first."""
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    seen: list[str] = []

    async def fetch(_key: str) -> bool:
        seen.append(tenant.get())
        return True

    async def main() -> None:
        tenant.set("first")
        async with Resolver({"partner.enrolled": fetch}) as resolver:
            await settle_async(judge(asks()), resolver)

    run(main())
    assert seen == ["nobody"]


def test_a_loop_that_was_closed_leaves_nothing_that_hurts(judge: Any, asks: Any, run: Any) -> None:
    """A loop closed under a flight: the next loop asks anew, and closing the resolver raises nothing."""
    asked: list[asyncio.AbstractEventLoop] = []

    async def fetch(_key: str) -> bool:
        asked.append(asyncio.get_running_loop())
        return len(asked) > 1 or await asyncio.Event().wait()

    resolver = Resolver({"partner.enrolled": fetch}, deadline=30)

    async def leave() -> None:
        asyncio.get_running_loop().set_debug(enabled=False)
        resolver.ask([asks().need], asyncio.get_running_loop())

    async def main() -> Verdict:
        return (await settle_async(judge(asks()), resolver)).decision.verdict

    run(leave())
    assert run(main()) in {Verdict.PERMIT, Verdict.INDETERMINATE}
    resolver.close()


def test_closing_cancels_what_is_under_way(judge: Any, asks: Any, run: Any) -> None:
    """Closing from the loop fails the flight for those who wait and cancels the source."""

    async def main() -> str:
        began, ended = asyncio.Event(), asyncio.Event()

        async def hang(_key: str) -> bool:
            began.set()
            try:
                return await asyncio.Event().wait()
            finally:
                ended.set()

        resolver = Resolver({"partner.enrolled": hang}, deadline=40)
        task = asyncio.create_task(settle_async(judge(asks()), resolver))
        await began.wait()
        resolver.close()
        await ended.wait()
        return (await task).decision.code

    assert run(main()) == "fact.missing"


class Row:
    """A source that is an object with an async call."""

    async def __call__(self, _key: str) -> bool:
        """Answer on the loop that asks."""
        return asyncio.get_running_loop() is not None


def test_an_object_with_an_async_call_is_an_async_source(judge: Any, asks: Any, run: Any) -> None:
    """Objects whose call is async are awaited on the loop that asks."""

    async def main() -> Verdict:
        async with Resolver({"partner.enrolled": Row()}) as resolver:
            assert resolver.ask([Need("partner.enrolled", 0)], asyncio.get_running_loop())[1]
            return (await settle_async(judge(asks()), resolver)).decision.verdict

    assert run(main()) is Verdict.PERMIT


def test_a_task_that_never_started_cannot_be_cancelled() -> None:
    """Closing while a loop is already closed, or before the task exists, does nothing."""
    from mtlspolicy._resolver._flight import Flight
    from mtlspolicy._resolver._loops import cancel

    flight = Flight(("k", 0), None, (0.0, None), 0.0)  # type: ignore[arg-type]

    async def main() -> asyncio.Task[None]:
        cancel(asyncio.get_running_loop(), flight)
        return asyncio.create_task(asyncio.sleep(0))

    loop = asyncio.new_event_loop()
    flight.task = loop.run_until_complete(main())
    assert not flight.task.done()
    loop.run_until_complete(flight.task)
    loop.close()
    cancel(loop, flight)
    assert not flight.task.cancelled()

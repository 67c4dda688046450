"""Looking names up: a resolver that hangs, fails or lies costs one fetch, and a bounded number of threads."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from mtlspolicy.revocation._destinations import Destinations, target_of
from mtlspolicy.revocation._http import Exchange, HTTPTransport
from mtlspolicy.revocation._lookups import MOST, Lookups, answer_of
from tests.revocation.loopback import LIVENESS, failure, names, row, soon


def test_the_deadline_covers_the_resolver() -> None:
    """A resolver that hangs costs the deadline, and its thread is left behind."""
    release = threading.Event()

    def resolve(*_: object, **__: object) -> list[Any]:
        release.wait(LIVENESS)
        return []

    error = failure(lambda: HTTPTransport(resolve=resolve).fetch(Exchange("http://slow.example/"), until=soon(0.2)))
    release.set()
    assert (error.code, error.counts_for) == ("fetch.timeout", "responder")


@pytest.mark.parametrize(
    "raised",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or\x1b service not known"),
        OSError(),
        TimeoutError(),
        ValueError("x"),
        KeyError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_resolver_that_fails(raised: Exception) -> None:
    """Whatever a resolver raises, the name could not be resolved."""

    def resolve(*_: object, **__: object) -> list[Any]:
        raise raised

    error = failure(lambda: HTTPTransport(resolve=resolve).fetch(Exchange("http://h.example/"), until=soon()))
    assert (error.code, error.retryable, error.counts_for) == ("fetch.resolve", True, "responder")
    assert str(error).isprintable()


@pytest.mark.parametrize("rows", [[], [("not a row",)], [row("localhost")], [()], None])
def test_a_resolver_that_answers_something_else(rows: Any) -> None:
    """No address, or what is none, is never connected to."""

    def resolve(*_: object, **__: object) -> Any:
        return rows

    transport = HTTPTransport(resolve=resolve)
    assert failure(lambda: transport.fetch(Exchange("http://h.example/"), until=soon())).code == "fetch.resolve"


def test_an_interrupt_in_the_resolver_is_no_answer() -> None:
    """What ends a program is not made into a failed fetch."""

    def resolve(*_: object, **__: object) -> list[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        HTTPTransport(resolve=resolve).fetch(Exchange("http://h.example/"), until=soon())


def test_hanging_names_hold_a_bounded_number_of_threads() -> None:
    """One thread for each name however often it is asked for, and no more than the bound in all."""
    release = threading.Event()

    def resolve(*_: object, **__: object) -> list[Any]:
        release.wait(LIVENESS)
        return [row("192.0.2.1")]

    lookups = Lookups(resolve)
    futures = [lookups.start(target_of(f"http://h{number}.example/", Destinations())) for number in range(MOST)]
    assert lookups.start(target_of("http://h0.example/", Destinations())) is futures[0]
    error = failure(lambda: lookups.start(target_of("http://more.example/", Destinations())))
    assert (error.code, "resolver is slow" in str(error)) == ("fetch.resolve", True)
    release.set()
    assert [str(*answer_of(future, target_of("http://h/", Destinations()))) for future in futures] == [
        "192.0.2.1"
    ] * MOST
    assert lookups.start(target_of("http://h0.example/", Destinations())) is not futures[0]


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system starts no thread the name is not resolved, and the next question is not kept waiting for it."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lookups = Lookups(names("192.0.2.1"))
    target = target_of("http://h.example/", Destinations())
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        assert failure(lambda: lookups.start(target)).code == "fetch.resolve"
    assert [str(one) for one in answer_of(lookups.start(target), target)] == ["192.0.2.1"]

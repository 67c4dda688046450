"""Resolves host names on daemon threads, so that a resolver that hangs costs no more than the caller's deadline.

It decides nothing about the addresses. Answers are not kept: each fetch asks, unless the same question is under way.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Final, TypeAlias

from mtlspolicy._identifiers import IPAddress
from mtlspolicy.revocation._destinations import FetchFailed, Target

__all__ = ["Lookups", "Resolve", "answer_of"]

Resolve: TypeAlias = Callable[..., Iterable[tuple[Any, ...]]]
"""Like `socket.getaddrinfo`: called with host, port and ``type``, it returns rows whose fifth item is the address."""
Outcome: TypeAlias = "tuple[IPAddress, ...] | Exception"
"""Addresses, or what the resolver raised. A future's own exception is kept for what ends a program."""
MOST: Final = 16
"""Questions under way at once, each on a thread of its own, for one transport."""


class Lookups:
    """Questions to the resolver that are under way. At most `MOST` threads, and one for each host.

    A thread whose caller gave up ends when the resolver answers; it keeps no program from ending.
    """

    def __init__(self, resolve: Resolve = socket.getaddrinfo) -> None:
        self._resolve = resolve
        self._pending: dict[tuple[str, int], Future[Outcome]] = {}
        self._lock = threading.Lock()

    def start(self, target: Target) -> Future[Outcome]:
        """Return the future answer, to be read with `answer_of`; that of the question under way where there is one.

        Raises:
            FetchFailed: ``fetch.resolve`` where too many questions are under way.
        """
        key = target.host, target.port
        with self._lock:
            pending = self._pending.get(key)
            if pending is not None:
                return pending
            if len(self._pending) >= MOST:
                raise FetchFailed(
                    "fetch.resolve", f"{target.origin}: {MOST} other names are being resolved and the resolver is slow"
                )
            future: Future[Outcome] = Future()
            future.set_running_or_notify_cancel()  # from here on no waiter that leaves can cancel it for the others
            thread = threading.Thread(target=self._ask, args=(key, future), name="mtlspolicy-resolve", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                raise FetchFailed("fetch.resolve", f"{target.origin}: no thread can be started") from None
            self._pending[key] = future
            return future

    def _ask(self, key: tuple[str, int], future: Future[Outcome]) -> None:
        outcome: Outcome
        try:
            rows = self._resolve(*key, type=socket.SOCK_STREAM)
            outcome = tuple(ipaddress.ip_address(row[4][0]) for row in rows)
        except Exception as error:  # noqa: BLE001 - a resolver of the caller's own may raise anything
            outcome = error
        except BaseException as error:  # noqa: BLE001 - the thread is ours alone: whoever waits is told
            self._over(key)
            future.set_exception(error)
            return
        self._over(key)
        future.set_result(outcome)

    def _over(self, key: tuple[str, int]) -> None:
        with self._lock:
            del self._pending[key]


def answer_of(future: Future[Outcome], target: Target) -> tuple[IPAddress, ...]:
    """Return what the resolver answered.

    Raises:
        FetchFailed: ``fetch.resolve``: the resolver failed, or answered something that is no address.
    """
    outcome = future.result()
    if isinstance(outcome, tuple):
        return outcome
    reason = getattr(outcome, "strerror", None) or type(outcome).__name__
    raise FetchFailed("fetch.resolve", f"{target.origin}: the name cannot be resolved: {reason}")

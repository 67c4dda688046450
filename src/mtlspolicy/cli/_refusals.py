"""Listens to what a server refuses: its log lines, each with the decision that it tells of.

It watches and changes nothing.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

from mtlspolicy._decision import Decision

_LOGGER: Final = "mtlspolicy.connection"


class Refusal(NamedTuple):
    """One refused connection: the other end (``127.0.0.1:54321`` or ``None``), reason code, log line and decision."""

    address: str | None
    code: str
    line: str
    decision: Decision


class Refusals(logging.Handler):
    """Takes the log lines of refused connections, as a handler of their logger."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: queue.SimpleQueue[Refusal | None] = queue.SimpleQueue()

    @contextmanager
    def listening(self) -> Generator[None, None, None]:
        """Take log lines inside the ``with`` block, and keep them from other handlers."""
        logger = logging.getLogger(_LOGGER)
        before = logger.propagate
        logger.addHandler(self)
        logger.propagate = False
        try:
            yield
        finally:
            logger.propagate = before
            logger.removeHandler(self)
            self.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what the log line *record* tells of for `next`; other lines of the logger tell of no refusal."""
        decision = getattr(record, "mtlspolicy_decision", None)
        if isinstance(decision, Decision):
            address: str | None = getattr(record, "mtlspolicy_address", None)
            self._lines.put(Refusal(address, decision.code, record.getMessage(), decision))

    def end(self) -> None:
        """Let a thread that waits in `next` go on."""
        self._lines.put(None)

    def next(self, timeout: float | None = None) -> Refusal | None:
        """Wait for the next refusal and return it; ``None`` after *timeout* seconds, or after `end`."""
        try:
            return self._lines.get(timeout=timeout)
        except queue.Empty:
            return None

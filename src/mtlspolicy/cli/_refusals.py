"""Listens to what a server refuses: its log lines, each with the decision that was made on the peer, if one was made.

It watches and changes nothing. OpenSSL refuses some peers before a decision; then there is the line alone.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, NamedTuple

from mtlspolicy._decision import Decision
from mtlspolicy.tls._errors import refusal

_LOGGER: Final = "mtlspolicy.connection"
_KEPT: Final = 256
_DELAY: Final = 2.0
"""Seconds after its log line in which the observer's thread brings a decision."""


class Refusal(NamedTuple):
    """One refused connection: the other end (``127.0.0.1:54321`` or ``None``), reason code, log line and decision."""

    address: str | None
    code: str
    line: str
    decision: Decision


class Refusals(logging.Handler):
    """Takes the log lines, as a handler of the logger, and the decisions, as a hook for `Verifier.observed_by`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
        self._decisions: deque[Decision] = deque(maxlen=_KEPT)
        self._arrived = threading.Condition()

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

    def observe(self, decision: Decision) -> None:
        """Keep a refusing *decision* until its log line is read; a hook for `Verifier.observed_by`."""
        if not decision:
            with self._arrived:
                self._decisions.append(decision)
                self._arrived.notify_all()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the log line *record* for `next`."""
        self._lines.put(record)

    def end(self) -> None:
        """Let a thread that waits in `next` go on."""
        self._lines.put(None)

    def next(self, timeout: float | None = None) -> Refusal | None:
        """Wait for the next refusal and return it; ``None`` after *timeout* seconds, or after `end`."""
        try:
            record = self._lines.get(timeout=timeout)
        except queue.Empty:
            return None
        if record is None:
            return None
        code = str(getattr(record, "mtlspolicy_code", "tls.openssl-error"))
        address: str | None = getattr(record, "mtlspolicy_address", None)
        line = record.getMessage()
        # What is refused without a judgement has a code of the connection's own, and one sentence, in the line.
        decision = None if code.startswith(("tls.", "gate.")) else self._decision_for(code, line)
        if decision is None:
            decision = refusal(code, line.partition(f"{code}: ")[2].rpartition("; subject: ")[0])
        return Refusal(address, code, line, decision)

    def _decision_for(self, code: str, line: str) -> Decision | None:
        """Return the oldest decision that the log *line* tells of, and forget those before it."""
        with self._arrived:
            self._arrived.wait_for(lambda: any(_told(one, code, line) for one in self._decisions), _DELAY)
            while self._decisions:
                decision = self._decisions.popleft()
                if _told(decision, code, line):
                    return decision
            return None


def _told(decision: Decision, code: str, line: str) -> bool:
    return decision.code == code and decision.summary in line

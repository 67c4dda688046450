"""Connections to one SQLite file: one for each thread, none that crosses a fork, each operation ended in time.

It knows how a file of ours is laid out and opens no other; what lies in the rows it does not look at.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Final, TypeVar

from mtlspolicy.revocation._cache import CacheFailed
from mtlspolicy.revocation._cache_file import Identity, Unsafe, identity, prepared, reason_of

__all__ = ["Database"]

APPLICATION: Final = 0x6D746C73
"""PRAGMA application_id: "mtls"; so that nobody's other data base is taken for a cache."""
VERSION: Final = 1
"""PRAGMA user_version: of the layout. A file of another version is refused, not converted."""
_TABLE: Final = (
    "CREATE TABLE statements (key TEXT PRIMARY KEY NOT NULL, this_update INTEGER NOT NULL, "
    "keep_until INTEGER NOT NULL, final INTEGER NOT NULL, data BLOB NOT NULL)"
)
SCHEMA: Final = (_TABLE, "CREATE INDEX by_end ON statements (final, keep_until)")
_MARKS: Final = (f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {VERSION}")
_STEPS: Final = 1_000
"""Instructions of SQLite's machine between two looks at the clock: some tens of microseconds."""

_TURN: Final = 0.005
"""Seconds between two attempts at what SQLite does not wait for."""
_FAILURES: Final = (sqlite3.Error, sqlite3.Warning, OSError, Unsafe)

_T = TypeVar("_T")


class _Deadline:
    """When the operation that runs has to end, in seconds of the monotonic clock."""

    def __init__(self) -> None:
        self.end = 0.0

    def over(self) -> bool:
        return monotonic() > self.end


class _Connection:
    """One thread's connection, open or not, and whose it is."""

    def __init__(self, database: Database) -> None:
        self.database = weakref.ref(database)
        self.lock = threading.RLock()
        self.raw: sqlite3.Connection | None = None
        self.file: Identity | None = None
        self.pid = os.getpid()
        self.deadline = _Deadline()

    def close(self) -> None:
        """Close it, unless it came along in a fork: SQLite forbids even that."""
        raw, self.raw = self.raw, None
        if raw is not None and self.pid != os.getpid():
            _INHERITED.append(raw)
        elif raw is not None:
            with suppress(sqlite3.Error):
                raw.close()

    def __del__(self) -> None:
        self.close()  # the thread has ended


_FORKING: Final = threading.RLock()
_OPENING: Final = threading.RLock()
"""Held while a connection is opened or made known, and while the process forks."""
_CONNECTIONS: Final[weakref.WeakSet[_Connection]] = weakref.WeakSet()
_INHERITED: Final[list[sqlite3.Connection]] = []
_STOPPED: Final[list[_Connection]] = []


def _before_fork() -> None:
    """Wait until no connection is in use, and close them all: a child shares the files, and has none of their locks.

    An operation ends within its deadline, and so does the wait. Locks are taken in the order that `Database.run` has.
    """
    _FORKING.acquire()
    while True:
        for connection in _known():
            connection.lock.acquire()
            connection.close()
            _STOPPED.append(connection)
        _OPENING.acquire()
        if len(_STOPPED) == len(_CONNECTIONS):  # no thread has made another known in between
            return
        _OPENING.release()


def _known() -> list[_Connection]:
    """Return the connections that are not stopped, and keep them alive."""
    with _OPENING:
        return [connection for connection in _CONNECTIONS if connection not in _STOPPED]


def _after_fork() -> None:
    while _STOPPED:
        _STOPPED.pop().lock.release()
    _OPENING.release()
    _FORKING.release()


def _never(**_hooks: object) -> None:
    """Stand for `os.register_at_fork` where no process forks."""


_register: Callable[..., None] = getattr(os, "register_at_fork", _never)
_register(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class Database:
    """One file, and the connections of this process to it.

    Args:
        path: The file; `prepared` has to find it safe whenever it is opened.
        timeout: Seconds that an operation waits for other processes, and as many that it runs.
        most_bytes: Size above which the file does not grow.
    """

    def __init__(self, path: Path, timeout: float, most_bytes: int) -> None:
        self.path = path
        self._timeout, self._most_bytes = timeout, most_bytes
        self._local = threading.local()
        self._closed = False
        with _OPENING:
            prepared(path)

    def run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what *work* returns for this thread's connection.

        Raises:
            CacheFailed: Whatever the file, SQLite or the time does not allow. The file is left as it is.
        """
        connection = self._connection()
        with connection.lock:
            connection.deadline.end = monotonic() + 2 * self._timeout
            try:
                return work(self._opened(connection))
            except BaseException as error:
                connection.close()  # the next operation starts with a fresh look at the file
                if isinstance(error, _FAILURES):
                    raise CacheFailed(f"{self.path}: {reason_of(error)}") from error
                raise

    def close(self) -> None:
        """Close the connections of all threads, each when its operation has ended."""
        with _OPENING:
            self._closed = True
            mine = [connection for connection in _CONNECTIONS if connection.database() is self]
        for connection in mine:
            with connection.lock:
                connection.close()

    def _connection(self) -> _Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _Connection(self)
            with _OPENING:
                _CONNECTIONS.add(connection)
        return connection

    def _opened(self, connection: _Connection) -> sqlite3.Connection:
        """Return the connection, opened where it is not, or where another file has taken the place of its own."""
        raw = connection.raw
        if raw is not None and connection.pid == os.getpid() and connection.file == identity(self.path):
            return raw
        if not _OPENING.acquire(timeout=self._timeout):
            raise CacheFailed(f"{self.path}: other threads are opening it")
        try:
            return self._open(connection)
        finally:
            _OPENING.release()

    def _open(self, connection: _Connection) -> sqlite3.Connection:
        if self._closed:
            raise CacheFailed("the cache was closed")
        connection.close()
        if _INHERITED or any(other.raw is not None and other.pid != os.getpid() for other in _CONNECTIONS):
            raise CacheFailed(
                f"{self.path}: the process was forked, unseen by Python, with the data base open, which SQLite does "
                "not survive; fork first, or close the cache before"
            )
        connection.pid = os.getpid()
        connection.file = prepared(self.path)
        # opened for reading and writing and never created: SQLite would let others read it
        connection.raw = raw = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", uri=True, timeout=self._timeout, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        raw.set_progress_handler(connection.deadline.over, _STEPS)
        self._arrange(raw)
        return raw

    def _arrange(self, raw: sqlite3.Connection) -> None:
        """Set what each connection needs, and lay out a file that is empty; nothing is written into any other."""
        for setting in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            raw.execute(f"PRAGMA {setting}").close()
        empty = _layout(raw) == (0, 0, ())
        if not empty:
            self._require_ours(raw)
        if _logged(raw, monotonic() + self._timeout) != "wal":
            raise CacheFailed(f"{self.path}: this file system is not one for SQLite's write-ahead log")
        if empty:
            raw.execute("BEGIN IMMEDIATE")
            if _layout(raw) == (0, 0, ()):  # else another process was first
                for statement in (*SCHEMA, *_MARKS):
                    raw.execute(statement)
            raw.execute("COMMIT")
            self._require_ours(raw)
        raw.execute("PRAGMA synchronous = NORMAL").close()  # a crash of the machine may lose entries, and nothing else
        pages = self._most_bytes // int(_one(raw, "PRAGMA page_size"))
        raw.execute(f"PRAGMA max_page_count = {pages}").close()
        raw.execute(f"PRAGMA journal_size_limit = {self._most_bytes}").close()

    def _require_ours(self, raw: sqlite3.Connection) -> None:
        if _layout(raw) != (APPLICATION, VERSION, SCHEMA):
            raise CacheFailed(
                f"{self.path} is no cache of this version; it is left as it is: remove it, or name another file"
            )


def _one(raw: sqlite3.Connection, query: str) -> str | int:
    value: str | int = raw.execute(query).fetchone()[0]
    return value


def _logged(raw: sqlite3.Connection, end: float) -> str | int:
    """Return the kind of log after asking for one that is written ahead; SQLite itself does not wait for its turn."""
    while True:
        try:
            return _one(raw, "PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > end:
                raise
            sleep(_TURN)


def _layout(raw: sqlite3.Connection) -> tuple[object, object, tuple[str, ...]]:
    """Return whose file it is, of which version, and what is defined in it; views and triggers included."""
    rows = raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid LIMIT 8").fetchall()
    return _one(raw, "PRAGMA application_id"), _one(raw, "PRAGMA user_version"), tuple(row[0] for row in rows)

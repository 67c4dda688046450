"""Keeps statements in one SQLite file, for all processes of a machine; compares and sets in one statement of SQL.

The file is not trusted: what is odd in it is not there, and what is sound is verified by who reads it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mtlspolicy._peer import now
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._cache import (
    CachedStatement,
    CacheFailed,
    microseconds,
    positive,
    sound_key,
    statement_of,
)
from mtlspolicy.revocation._cache_file import Unsafe, reason_of

if TYPE_CHECKING:
    import sqlite3

__all__ = ["SQLiteCache"]

TIMEOUT: Final = 0.2
"""Seconds; a handshake is waiting."""
MOST_BYTES: Final = 256 << 20
LEAST_BYTES: Final = 64 << 10
"""A file smaller than this holds the layout and no statement to speak of."""
TIDY: Final = 64
"""One in so many statements that are put removes some whose time is over."""
ROUNDS: Final = 4
"""How often room is made for one statement in a file that is full."""

_SOUND: Final = (
    "typeof(statements.this_update) = 'integer' AND typeof(statements.keep_until) = 'integer' "
    "AND typeof(statements.final) = 'integer' AND statements.final IN (0, 1) "
    "AND typeof(statements.data) = 'blob' AND length(statements.data) BETWEEN 1 AND :largest "
    "AND statements.keep_until > :now"
)
"""What is asked of a row before SQLite hands anything of it over; the length is known without reading the data."""
_GET: Final = f"SELECT data, this_update, keep_until, final FROM statements WHERE key = :key AND {_SOUND}"  # noqa: S608 - constants
_PUT: Final = (
    "INSERT INTO statements (key, this_update, keep_until, final, data) "  # noqa: S608 - constants
    "VALUES (:key, :this_update, :keep_until, :final, :data) ON CONFLICT (key) DO UPDATE SET "
    "this_update = excluded.this_update, keep_until = excluded.keep_until, final = excluded.final, "
    f"data = excluded.data WHERE NOT ({_SOUND}) OR excluded.final > statements.final "
    "OR (excluded.final = statements.final AND excluded.this_update > statements.this_update)"
)
_TIDY: Final = (
    "DELETE FROM statements WHERE rowid IN "
    "(SELECT rowid FROM statements WHERE final IN (0, 1) AND keep_until <= :now LIMIT 256)"
)
_SOONEST: Final = (
    "SELECT rowid, length(data) FROM statements WHERE final <= :final ORDER BY final, keep_until LIMIT 256"
)


class SQLiteCache:
    """A cache in one file, shared by the processes of a machine that run as one user.

    The file is created for its owner alone (mode 0600), in a folder in which nobody else can write, on a local disk.
    It grows to *most_bytes*, and its log to as much; then what ends soonest makes room, revocations last. A file that
    is damaged, or is no cache, is never deleted or altered: every use raises `CacheFailed` until somebody removes it.
    Connections are closed before Python forks, and opened again when they are used.

    Args:
        path: The file; it is created where there is none.
        timeout: Seconds that an operation waits for another process; it is ended when it takes twice as long. How long
            the disk itself takes nobody can bound.
        most_bytes: Size of the file. A statement larger than a quarter of it is not kept.

    Raises:
        ConfigurationError: *path* is not a file's, or others can write there; a bound can never be right.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = TIMEOUT, most_bytes: int = MOST_BYTES) -> None:
        from mtlspolicy.revocation._cache_connection import Database  # with sqlite3, which not every Python has

        positive("timeout", timeout)
        positive("most_bytes", most_bytes)
        if most_bytes < LEAST_BYTES:
            raise ConfigurationError(f"most_bytes={most_bytes}: give at least {LEAST_BYTES}")
        text = os.fspath(path)
        if not isinstance(text, str) or not text or "\0" in text or text.startswith((":", "file:")):
            raise ConfigurationError(f"path={text!r}: give the path of a file, not a URI or SQLite's ':memory:'")
        try:
            self._database = Database(Path(text).absolute(), timeout, int(most_bytes))
        except (Unsafe, OSError) as error:
            raise ConfigurationError(f"path={text!r}: {reason_of(error)}", code="config.file") from error
        self._largest = int(most_bytes) // 4
        self._puts = 0

    def get(self, key: str) -> CachedStatement | None:
        """Return what is kept under *key*, unless its time is over."""
        values = {"key": sound_key(key), "largest": self._largest, "now": microseconds(now())}
        row = self._database.run(lambda raw: raw.execute(_GET, values).fetchone())
        return None if row is None else statement_of(*row)

    def put(self, key: str, statement: CachedStatement) -> None:
        """Keep *statement*, unless what is kept under *key* stands against it."""
        at = microseconds(now())
        values = {
            "key": sound_key(key), "largest": self._largest, "now": at, "data": statement.data,
            "this_update": microseconds(statement.this_update), "keep_until": microseconds(statement.keep_until),
            "final": int(statement.final),
        }  # fmt: skip
        if microseconds(statement.keep_until) <= at or len(statement.data) > self._largest:
            self._database.run(lambda _raw: None)  # a cache that is down says so
            return
        self._database.run(lambda raw: self._put(raw, values))

    def close(self) -> None:
        """Close the file, in every thread."""
        self._database.close()

    def _put(self, raw: sqlite3.Connection, values: dict[str, Any]) -> None:
        """Put it in a single statement of SQL: what is compared cannot change before it is set."""
        import sqlite3

        self._puts += 1  # two threads may count one at once: it is now and then
        if self._puts % TIDY == 1:
            raw.execute(_TIDY, {"now": values["now"]})
        for _ in range(ROUNDS):
            try:
                raw.execute(_PUT, values)
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_FULL:
                    raise
            else:
                return
            self._make_room(raw, values)
        raise CacheFailed(f"{self._database.path}: full")

    def _make_room(self, raw: sqlite3.Connection, values: dict[str, Any]) -> None:
        """Remove what is over, and then what ends soonest; a revocation makes room for revocations alone."""
        raw.execute(_TIDY, {"now": values["now"]})
        wanted = max(2 * len(values["data"]), self._largest // 2)
        gone: list[tuple[int]] = []
        for row, size in raw.execute(_SOONEST, {"final": values["final"]}).fetchall():
            gone.append((row,))
            wanted -= size
            if wanted < 0:
                break
        raw.executemany("DELETE FROM statements WHERE rowid = ?", gone)

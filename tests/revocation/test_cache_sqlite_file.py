"""Where the SQLite file may lie, and what is found in it: links, strangers' folders, damage, odd rows."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import CachedStatement, CacheFailed, SQLiteCache
from mtlspolicy.revocation._cache import microseconds
from mtlspolicy.revocation._cache_file import identity, reason_of

NOW: Final = datetime.now(UTC)
HOUR: Final = timedelta(hours=1)
GOOD: Final = CachedStatement(b"good", NOW - HOUR, NOW + 24 * HOUR)
AFTER: Final = microseconds(GOOD.keep_until)
NOBODY: Final = 65534
PATIENT: Final = 10.0

posix = pytest.mark.skipif(os.name != "posix", reason="owners and permissions are POSIX's")
root_only = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="another user's files need root")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file of a test lies."""
    return tmp_path / "cache.db"


@pytest.fixture
def cache(path: Path) -> Generator[SQLiteCache, None, None]:
    """Return a cache with one statement in it."""
    with closing(SQLiteCache(path, timeout=PATIENT)) as opened:
        opened.put("key", GOOD)
        yield opened


def refused(path: str | Path, told: str) -> None:
    """Assert that no cache can be made at *path*, and that the message says *told*."""
    with pytest.raises(ConfigurationError, match=told) as caught:
        SQLiteCache(path)
    assert caught.value.code == "config.file"


def fails(cache: SQLiteCache, told: str) -> None:
    """Assert that reading and writing raise `CacheFailed`, again and again, and that the message says *told*."""
    for _ in range(2):
        with pytest.raises(CacheFailed, match=told):
            cache.get("key")
        with pytest.raises(CacheFailed, match=told):
            cache.put("key", GOOD)


@pytest.mark.parametrize("path", ["", ":memory:", "file:cache.db?mode=memory", "a\0b", b"cache.db"])
def test_what_is_no_path_of_a_file(path: Any) -> None:
    """What SQLite would take for something else than a file is refused."""
    with pytest.raises(ConfigurationError, match="give the path of a file"):
        SQLiteCache(path)


@posix
def test_the_files_are_the_owners_alone(cache: SQLiteCache, path: Path) -> None:
    """Data base, log and shared memory are created for their owner, whatever the umask."""
    assert cache.get("key") == GOOD
    modes = {name.name: name.stat().st_mode & 0o777 for name in path.parent.iterdir()}
    assert modes == {"cache.db": 0o600, "cache.db-wal": 0o600, "cache.db-shm": 0o600}


def test_names_that_mean_something_in_a_uri(tmp_path: Path) -> None:
    """A file whose name holds what a URI treats as its own is opened under that very name."""
    odd = tmp_path / "a b#100%41 ö.db"
    with closing(SQLiteCache(odd, timeout=PATIENT)) as cache:
        cache.put("key", GOOD)
        assert cache.get("key") == GOOD
    assert [name.name for name in tmp_path.iterdir()] == [odd.name]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A folder is not made by the way: the path may be a mistake. It is said in words, without the system's number."""
    refused(
        tmp_path / "missing" / "cache.db", "missing cannot be reached or created: (?!.*Errno).*make the folder first"
    )


def test_a_directory_in_its_place(path: Path) -> None:
    """A directory where the file should be is refused, also when it comes later."""
    path.mkdir()
    refused(path, "no plain file")
    path.rmdir()
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        path.unlink()
        path.mkdir()
        fails(cache, "no plain file")


def test_what_an_error_says() -> None:
    """Of the file system its words and its file, of SQLite its own."""
    assert reason_of(PermissionError(13, "Permission denied", "/x")) == (
        "/x cannot be reached or created: Permission denied; name another"
    )
    assert reason_of(OSError()) == "the file cannot be reached or created: OSError; name another"
    assert reason_of(ValueError("full")) == "full"


@posix
def test_a_file_in_place_of_the_folder(path: Path) -> None:
    """What cannot hold a file is no folder."""
    path.write_bytes(b"")
    refused(path / "cache.db", "no folder")


@posix
@pytest.mark.parametrize("name", ["cache.db", "cache.db-wal", "cache.db-shm", "cache.db-journal"])
def test_attack_a_planted_link_is_not_followed(path: Path, name: str) -> None:
    """A link in place of the file, or of what SQLite writes next to it, is refused, also when it comes late.

    SQLite itself would follow it, and write into whatever file of the user's it leads to.
    """
    victim = path.with_name("victim")
    victim.write_bytes(b"precious")
    path.with_name(name).symlink_to(victim)
    refused(path, "is a link")
    path.with_name(name).unlink()
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        path.with_name(name).unlink(missing_ok=True)
        path.with_name(name).symlink_to(victim)
        fails(cache, "is a link")
    assert victim.read_bytes() == b"precious"


@posix
def test_attack_a_dangling_link_creates_nothing(path: Path) -> None:
    """Creating the file does not create what a link points at."""
    path.symlink_to(path.with_name("elsewhere"))
    refused(path, "is a link")
    assert not path.with_name("elsewhere").exists()


@posix
def test_a_file_with_another_name(path: Path) -> None:
    """A hard link shows a file under a name that looks like ours."""
    path.with_name("other").write_bytes(b"")
    path.with_name("other").chmod(0o600)
    path.hardlink_to(path.with_name("other"))
    refused(path, "hard links")


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_can_read_or_write(path: Path, mode: int) -> None:
    """A file that others may open is refused, with the command that mends it."""
    path.write_bytes(b"")
    path.chmod(mode)
    refused(path, "chmod 600")


@posix
@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_in_which_others_can_write(tmp_path: Path, mode: int) -> None:
    """Whoever writes in the folder can plant what SQLite opens next to the file; the sticky bit does not help."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    refused(folder / "cache.db", "chmod go-w")


@root_only
def test_files_and_folders_of_another_user(tmp_path: Path) -> None:
    """Neither a file nor a folder of somebody else is used, not even by root."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = folder / "cache.db"
    path.write_bytes(b"")
    path.chmod(0o600)
    os.chown(path, NOBODY, NOBODY)
    refused(path, "belongs to user 65534, not to 0")
    os.chown(folder, NOBODY, NOBODY)
    refused(path, "folder .* belongs to user 65534")


@posix
def test_a_folder_in_which_nobody_can_write() -> None:
    """A read-only folder is a mistake at construction; where it becomes one later, the cache is down."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp())
    try:
        os.chown(folder, NOBODY if root else -1, -1)
        if root:
            os.seteuid(NOBODY)  # root writes everywhere
        with closing(SQLiteCache(folder / "cache.db", timeout=PATIENT)) as cache:
            folder.chmod(0o500)
            fails(cache, "unable to open|readonly")
            refused(folder / "other.db", "Permission denied")
            folder.chmod(0o700)
            cache.put("key", GOOD)
            assert cache.get("key") == GOOD
    finally:
        if root:
            os.seteuid(0)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "damage", [b"this is no data base at all, " * 400, bytes(8192), b"SQLite format 3\0" + b"\xff" * 8000]
)
def test_an_overwritten_file_is_left_as_it_is(path: Path, damage: bytes) -> None:
    """What is no data base is a cache that is down, whatever is asked; it is neither repaired nor removed."""
    path.write_bytes(damage)
    path.chmod(0o600)
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        fails(cache, "database|cache|disk image")
    assert path.read_bytes() == damage


@posix
def test_a_file_overwritten_while_it_is_open(cache: SQLiteCache, path: Path) -> None:
    """Overwritten under our hands, it answers what was kept, nothing or `CacheFailed`, and raises nothing else."""
    size = path.stat().st_size
    for name in (path.name, f"{path.name}-wal"):
        path.with_name(name).write_bytes(b"\xa5" * size)
    seen: set[bytes | None] = set()
    for n in range(20):
        try:
            kept = cache.get("key")
            seen.add(kept.data if kept else None)
            cache.put(f"key{n}", GOOD)
        except CacheFailed:
            seen.add(None)
    cache.close()
    with closing(SQLiteCache(path, timeout=PATIENT)) as again, suppress(CacheFailed):
        kept = again.get("key")
        seen.add(kept.data if kept else None)
    assert seen <= {None, GOOD.data}


@pytest.mark.parametrize("cut", [1, 100, 4096, 5000])
def test_a_truncated_file(path: Path, cut: int) -> None:
    """A file that was cut short is nothing or down."""
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        for n in range(50):
            cache.put(f"key{n}", replace(GOOD, data=bytes(1000)))
    with path.open("r+b") as file:
        file.truncate(cut)
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        try:
            kept = cache.get("key49")
        except CacheFailed:
            kept = None
        assert kept is None


@pytest.mark.parametrize(
    "layout",
    [
        "CREATE TABLE accounts (name TEXT)",
        "PRAGMA application_id = 1",
        "PRAGMA user_version = 7",
        "PRAGMA user_version = 1; PRAGMA application_id = 1836346483",
        "CREATE TABLE statements (key, this_update, keep_until, final, data); PRAGMA application_id = 1836346483",
    ],
)
def test_another_data_base_is_not_touched(path: Path, layout: str) -> None:
    """A data base of another program, or of another version, is refused with a remedy, and no byte of it changes."""
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(layout)
    path.chmod(0o600)
    before = path.read_bytes()
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        fails(cache, "left as it is: remove it, or name another file")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "addition",
    [
        "CREATE TRIGGER trap AFTER INSERT ON statements BEGIN DELETE FROM statements; END",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TABLE more (x)",
    ],
)
def test_attack_what_was_added_to_the_layout_is_noticed(cache: SQLiteCache, path: Path, addition: str) -> None:
    """A file in which somebody defined more than we did is not used: a trigger runs with each statement that is put."""
    cache.close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(addition)
    with closing(SQLiteCache(path, timeout=PATIENT)) as again:
        fails(again, "no cache of this version")


def test_two_at_once_lay_the_file_out_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that finds the file empty, and laid out by another a moment later, uses what is there."""
    from mtlspolicy.revocation import _cache_connection as connections

    real = connections._layout
    first = [True]

    def empty_at_first(raw: sqlite3.Connection) -> tuple[object, object, tuple[str, ...]]:
        if first:
            first.clear()
            with closing(SQLiteCache(path, timeout=PATIENT)) as other:
                other.put("key", GOOD)
            return 0, 0, ()
        return real(raw)

    monkeypatch.setattr(connections, "_layout", empty_at_first)
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        assert cache.get("key") == GOOD


def test_a_file_system_without_the_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where SQLite cannot keep its write-ahead log, as on some network drives, the cache is down and says why."""
    from mtlspolicy.revocation import _cache_connection as connections

    real = connections._one
    monkeypatch.setattr(
        connections, "_one", lambda raw, query: "delete" if "journal_mode" in query else real(raw, query)
    )
    with closing(SQLiteCache(path, timeout=PATIENT)) as cache:
        fails(cache, "write-ahead log")


@pytest.mark.parametrize(
    "row",
    [
        {"data": "text"},
        {"data": b""},
        {"data": 7},
        {"data": 1.5},
        {"data": bytes(17_000)},
        {"this_update": "yesterday"},
        {"this_update": b"\0"},
        {"this_update": 1.5e300},
        {"this_update": 2**63 - 1},
        {"this_update": -(2**63)},
        {"keep_until": "tomorrow"},
        {"keep_until": 2**63 - 1},
        {"keep_until": 1e300},
        {"final": 2},
        {"final": -1},
        {"final": "1"},
        {"final": b"1"},
    ],
)
def test_attack_odd_rows_are_not_there_and_stand_against_little(path: Path, row: dict[str, Any]) -> None:
    """What a row of ours cannot be is a miss, whatever it is; what has no sound type is replaced by the next put."""
    sound = {"key": "key", "this_update": 0, "keep_until": AFTER, "final": 0, "data": b"sound"}
    with closing(SQLiteCache(path, timeout=PATIENT, most_bytes=64 << 10)) as cache:
        assert cache.get("key") is None
        with closing(sqlite3.connect(path)) as raw:
            raw.execute(
                "INSERT INTO statements VALUES (:key, :this_update, :keep_until, :final, :data)", {**sound, **row}
            )
            raw.commit()
        # a column of integers makes one of the text "1": then the row is sound
        assert (cache.get("key") is None) is (row != {"final": "1"})
        final = replace(GOOD, final=True)
        cache.put("key", final)
        assert cache.get("key") == final


def test_what_file_it_is_cannot_always_be_told(tmp_path: Path) -> None:
    """A file that is gone has no identity; two files have two."""
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "b").write_bytes(b"")
    assert identity(tmp_path / "a") == identity(tmp_path / "a") != identity(tmp_path / "b")
    assert identity(tmp_path / "c") is None

"""What becomes of trust while files change: deleted, emptied, spoiled, replaced; and for how long the old counts."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy._decision import Verdict
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tenants import TenantTrust
from mtlspolicy.tenants._keeper import Keeper
from tests.tenants.layout import (
    BLUE,
    CHAINS,
    GARBAGE,
    GATEWAY,
    NEW,
    RED,
    SHARED,
    Clock,
    Layout,
    code,
    decided,
    look,
)

Damage = Callable[[Path], object]
GONE: dict[str, Damage] = {"delete": Path.unlink, "empty": lambda path: path.write_bytes(b"")}


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _link(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


UNREADABLE: dict[str, Damage] = {
    "garbage": lambda path: path.write_bytes(GARBAGE if path.suffix == ".pem" else b"{"),
    "half-written": _half,
    "unreadable": _folder,
    "link": _link,
    "huge": lambda path: os.truncate(path, 1 << 33),
}
ALL = GONE | UNREADABLE


def _trust(layout: Layout, common: Any = "fallback", **more: Any) -> TenantTrust:
    return TenantTrust.from_directory(layout.root, common, interval=None, **more)


def _mend(layout: Layout) -> None:
    for place in ("index.json", "common/common.pem", "tenants/red/ca.pem"):
        path = layout.root / place
        if path.is_dir():
            path.rmdir()
    layout.usual()


def test_a_ca_that_is_added_admits_its_gateways_without_a_restart(layout: Layout) -> None:
    """Through the thread, with nothing but files: the same verifier answers differently a moment later."""
    layout.usual()
    with TenantTrust.from_directory(layout.root, interval=0.05) as trust:
        verifier = trust.verifier("red", policy=GATEWAY)
        assert verifier.decide(CHAINS[NEW]).code == "path.no-issuer"
        layout.write("tenants/red/new.pem", NEW.pem)
        layout.index(common=["common.pem"], red=["ca.pem", "new.pem"], blue=["ca.pem"], bare=[])
        _until(lambda: bool(verifier.decide(CHAINS[NEW])))
        assert trust.generation.number > 1
        assert verifier.decide(CHAINS[RED])
        layout.write("tenants/red/ca.pem", NEW.pem)
        _until(lambda: not verifier.decide(CHAINS[RED]))


def _until(condition: Callable[[], bool]) -> None:
    """Return as soon as *condition* holds; the test's own timeout ends what never comes."""
    from threading import Event

    pause = Event()
    while not condition():
        pause.wait(0.01)


def test_nothing_changes_while_nothing_changes(layout: Layout) -> None:
    """The same content is the same generation, whether files are looked at or read."""
    trust = _trust(layout.usual())
    before = trust.generation
    layout.age()
    look(trust)
    look(trust)
    layout.usual()
    look(trust)
    assert trust.reload() is before
    assert trust.generation is before


def test_a_file_with_the_same_time_and_size_is_read_by_reload(layout: Layout) -> None:
    """`reload` reads everything; a look goes by device, inode, size and times."""
    layout.usual()
    layout.age()
    trust = _trust(layout)
    look(trust)
    assert trust._keeper._collection._tenants["red"].files[0]._stamp is not None
    before = trust.reload()
    layout.write("tenants/red/ca.pem", NEW.pem)
    assert trust.reload().number == before.number + 1
    assert code(trust, "red", NEW) == "name.match"


def test_a_removed_entry_counts_at_once(layout: Layout) -> None:
    """A tenant, or a file of one, that the index lists no more is a valid change."""
    layout.usual()
    layout.write("tenants/red/new.pem", NEW.pem)
    layout.index(red=["ca.pem", "new.pem"], blue=["ca.pem"])
    trust = _trust(layout)
    layout.index(red=["new.pem"])
    look(trust)
    assert code(trust, "red", RED) == "path.no-issuer"
    assert code(trust, "red", NEW) == "name.match"
    assert code(trust, "blue", BLUE) == "tenant.unknown"


def test_a_tenant_whose_last_file_is_unlisted_falls_back(layout: Layout) -> None:
    """It has none of its own then, and says so in the index."""
    trust = _trust(layout.usual())
    layout.index(common=["common.pem"], red=[])
    look(trust)
    assert code(trust, "red", SHARED) == "name.match"
    assert code(trust, "red", RED) == "path.no-issuer"


@pytest.mark.parametrize("damage", ALL)
def test_a_tenants_file_that_is_spoiled_breaks_that_tenant_alone(layout: Layout, clock: Clock, damage: str) -> None:
    """For two seconds it is taken for one that is being written; then the tenant is refused, until it is mended.

    It never falls back to the common anchors, and the others reload meanwhile.
    """
    trust = _trust(layout.usual(), "fallback")
    ALL[damage](layout.root / "tenants" / "red" / "ca.pem")
    layout.write("tenants/blue/ca.pem", NEW.pem)
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    assert code(trust, "blue", NEW) == "name.match"
    clock.now += 1.9
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    clock.now += 0.1
    look(trust)
    decision = decided(trust, "red", RED)
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "tenant.broken")
    assert "'tenants/red/ca.pem'" in decision.detail
    assert code(trust, "red", SHARED) == "tenant.broken"
    assert code(trust, "blue", NEW) == code(trust, "bare", SHARED) == "name.match"
    number = trust.generation.number
    clock.now += 100_000
    look(trust)
    assert trust.generation.number == number
    _mend(layout)
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    assert trust.generation.broken == {}


def test_a_writer_who_truncates_first_disturbs_nobody(layout: Layout, clock: Clock) -> None:
    """Empty for a moment, then full again: the old content counted in between, then the new."""
    trust = _trust(layout.usual())
    path = layout.root / "tenants" / "red" / "ca.pem"
    path.write_bytes(b"")
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    clock.now += 1.0
    path.write_bytes(NEW.pem[:100])
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    clock.now += 0.5
    path.write_bytes(NEW.pem)
    look(trust)
    assert code(trust, "red", NEW) == "name.match"
    assert trust.generation.number == 2


def test_a_newly_listed_file_that_is_not_there_breaks_its_tenant_at_once(layout: Layout) -> None:
    """There is no old content to go on with: write the file first, the index last."""
    trust = _trust(layout.usual())
    layout.index(common=["common.pem"], red=["ca.pem", "new.pem"], blue=["ca.pem"])
    look(trust)
    assert code(trust, "red", RED) == "tenant.broken"
    layout.write("tenants/red/new.pem", NEW.pem)
    look(trust)
    assert code(trust, "red", RED) == code(trust, "red", NEW) == "name.match"


def test_what_is_wrong_may_change_without_a_new_generation(layout: Layout) -> None:
    """Whom each tenant trusts stays the same; the reason that is shown does not."""
    layout.usual()
    path = layout.write("tenants/red/ca.pem", b"")
    trust = _trust(layout)
    before = trust.generation
    assert "is empty" in before.broken["red"]
    path.unlink()
    look(trust)
    assert "is missing" in trust.generation.broken["red"]
    assert str(trust.generation) == str(before)


@pytest.mark.parametrize("damage", GONE)
@pytest.mark.parametrize("place", ["index.json", "common/common.pem"])
def test_a_deleted_or_emptied_file_of_all_is_gone_after_two_seconds(
    layout: Layout, clock: Clock, place: str, damage: str
) -> None:
    """Who deletes a compromised CA wants it gone: refused `trust.unavailable`, whatever ``max_stale`` says."""
    trust = _trust(layout.usual(), "always", max_stale=timedelta(days=1))
    GONE[damage](layout.root / place)
    look(trust)
    clock.now += 1.9
    assert code(trust, "red", RED) == "name.match"
    assert any("for 2 s: the last content is in force" in note for note in _notes(trust, "red"))
    clock.now += 0.1
    decision = decided(trust, "red", RED)
    assert (decision.verdict, decision.code) == (Verdict.INDETERMINATE, "trust.unavailable")
    assert f"'{place}'" in decision.detail
    layout.usual()
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    assert _notes(trust, "red") == []


def _notes(trust: TenantTrust, tenant: str) -> list[str]:
    context = decided(trust, tenant, RED).context
    assert context is not None
    return [note for note in context.notes if "in force" in note]


@pytest.mark.parametrize("damage", UNREADABLE)
@pytest.mark.parametrize("place", ["index.json", "common/common.pem"])
def test_an_unreadable_file_of_all_counts_for_max_stale_and_its_age_is_stated(
    layout: Layout, clock: Clock, place: str, damage: str
) -> None:
    """A failed upload is no outage, and no way to keep an old CA for ever either."""
    trust = _trust(layout.usual(), "always", max_stale=timedelta(minutes=10))
    if damage == "half-written" and place == "index.json":
        damage = "garbage"  # the index is shorter than what is cut off
    UNREADABLE[damage](layout.root / place)
    look(trust)
    for seconds in (0, 30, 599):
        clock.now = 1000.0 + seconds
        look(trust)
        assert code(trust, "red", RED) == code(trust, "bare", SHARED) == "name.match"
        assert f"for {seconds} s: the last content is in force" in _notes(trust, "red")[0]
        assert f"'{place}'" in trust.problems[0]
    layout.write("tenants/red/ca.pem", RED.pem + NEW.pem)
    look(trust)
    assert code(trust, "red", NEW) == "name.match", "what can be read is reloaded meanwhile"
    clock.now = 1600.0
    decision = decided(trust, "red", RED)
    assert (decision.verdict, decision.code, decision.retryable) == (Verdict.INDETERMINATE, "trust.stale", True)
    assert "for 600 s: the last content is no longer in force" in decision.detail
    assert decision.context is not None
    assert decision.context.generation == str(trust.generation)
    _mend(layout)
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    assert trust.problems == ()


def test_common_files_concern_those_alone_who_use_them(layout: Layout, clock: Clock) -> None:
    """As fallback: tenants with files of their own go on, and an unknown one stays unknown."""
    trust = _trust(layout.usual(), "fallback")
    (layout.root / "common" / "common.pem").unlink()
    look(trust)
    clock.now += 2
    assert code(trust, "red", RED) == "name.match"
    assert _notes(trust, "red") == []
    assert code(trust, "bare", SHARED) == "trust.unavailable"
    assert code(trust, "none", SHARED) == "tenant.unknown"


def test_a_new_common_file_that_is_not_there_is_refused_at_once(layout: Layout) -> None:
    """Nothing of it was ever in force."""
    trust = _trust(layout.usual(), "always")
    layout.index(common=["common.pem", "new.pem"], red=["ca.pem"])
    look(trust)
    assert code(trust, "red", RED) == "trust.unavailable"


def test_missing_by_turns_does_not_prolong_the_old(layout: Layout, clock: Clock) -> None:
    """Garbage, then missing, then garbage: the first moment of it counts for ``max_stale``."""
    trust = _trust(layout.usual(), "always", max_stale=timedelta(seconds=10))
    path = layout.root / "common" / "common.pem"
    for turn in range(10):
        if turn % 2:
            path.unlink()
        else:
            path.write_bytes(GARBAGE)
        look(trust)
        assert code(trust, "red", RED) == "name.match"
        clock.now += 1
    assert code(trust, "red", RED) == "trust.unavailable"


def test_a_root_that_is_gone_or_unreadable_is_like_its_index(layout: Layout, clock: Clock) -> None:
    """Nothing below it can be had; a file system that is not mounted is no empty index."""
    trust = _trust(layout.usual(), max_stale=timedelta(minutes=10))
    moved = layout.root.rename(layout.root.with_name("moved"))
    look(trust)
    clock.now += 2
    assert code(trust, "red", RED) == "trust.unavailable"
    layout.root.write_bytes(b"")
    look(trust)
    assert code(trust, "red", RED) == "name.match"
    clock.now += 600
    assert code(trust, "red", RED) == "trust.stale"
    layout.root.unlink()
    moved.rename(layout.root)
    look(trust)
    assert code(trust, "red", RED) == "name.match"


def test_another_format_of_the_index_takes_over(layout: Layout) -> None:
    """Both at once cannot be told apart, and the old content counts until one is gone."""
    trust = _trust(layout.usual())
    layout.write("index.toml", '[tenants]\nblue = ["ca.pem"]\n')
    look(trust)
    assert "are both there" in trust.problems[0]
    assert code(trust, "red", RED) == "name.match"
    (layout.root / "index.json").unlink()
    look(trust)
    assert code(trust, "red", RED) == "tenant.unknown"
    assert code(trust, "blue", BLUE) == "name.match"
    assert trust.problems == ()


def test_a_new_index_that_breaks_a_rule_does_not_count(layout: Layout, clock: Clock) -> None:
    """A duplicate key, two names that are one: the index before counts, and no longer than ``max_stale``."""
    trust = _trust(layout.usual())
    layout.write("index.json", '{"tenants": {"red": [], "red": ["ca.pem"]}}')
    look(trust)
    assert "the key 'red' is there twice" in trust.problems[0]
    assert code(trust, "blue", BLUE) == "name.match"
    clock.now += 3600
    assert code(trust, "blue", BLUE) == "trust.stale"


def test_reload_raises_nothing_for_what_files_hold(layout: Layout) -> None:
    """It returns what counts; what is wrong is there to be read."""
    trust = _trust(layout.usual())
    layout.write("index.json", "{")
    assert trust.reload().number == 1
    assert "Expecting" in trust.problems[0]


def test_a_look_is_due_when_a_files_time_runs_out(
    layout: Layout, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And otherwise after the interval, or later if looking takes long."""
    trust = TenantTrust.from_directory(layout.usual().root, interval=10)
    assert look(trust) == 10
    (layout.root / "tenants" / "red" / "ca.pem").unlink()
    assert look(trust) == 2
    clock.now += 1.99
    assert look(trust) == 0.05
    clock.now += 0.01
    assert look(trust) == 10
    (layout.root / "common" / "common.pem").unlink()
    assert look(trust) == 2
    monkeypatch.setattr(Keeper, "_clock", staticmethod(iter([100.0, 100.5]).__next__))
    layout.usual()
    assert look(trust) == 25, "half a second every 25: two per cent"


def test_files_that_nobody_looks_at_any_more_age(layout: Layout, clock: Clock) -> None:
    """A thread that hangs in a dead file system, or ended: said after half a minute, refused after ``max_stale``."""
    trust = TenantTrust.from_directory(layout.usual().root, max_stale=timedelta(minutes=10))
    trust.close()
    trust.close()
    assert _notes(trust, "red") == []
    clock.now += 30
    assert "were not looked at for 30 s: the last content is in force" in _notes(trust, "red")[0]
    clock.now += 570
    assert code(trust, "red", RED) == "trust.stale"
    look(trust)
    assert code(trust, "red", RED) == "name.match"


def test_without_an_interval_nothing_ages(layout: Layout, clock: Clock) -> None:
    """Who asked for no looks calls `reload`."""
    trust = _trust(layout.usual())
    clock.now += 1_000_000
    assert code(trust, "red", RED) == "name.match"
    assert _notes(trust, "red") == []


def test_the_operator_reads_of_it_in_the_log(layout: Layout, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A line a tenant that breaks and a file of all that is in trouble, once; a line a generation."""
    with caplog.at_level(logging.INFO, "mtlspolicy.tenants"):
        trust = _trust(layout.usual())
        (layout.root / "tenants" / "red" / "ca.pem").write_bytes(GARBAGE)
        (layout.root / "common" / "common.pem").write_bytes(GARBAGE)
        for _ in range(3):
            look(trust)
            clock.now += 2
        layout.index(common=["common.pem"], red=["ca.pem"], blue=["ca.pem"])
        look(trust)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "'common/common.pem' holds something else" in warnings[0]
    assert "tenant 'red' is refused: 'tenants/red/ca.pem' holds something else" in warnings[1]
    generations = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert [line.partition(": <")[2].rpartition(": ")[2] for line in generations] == [
        "3 tenants, 0 broken>",
        "3 tenants, 1 broken>",
        "2 tenants, 1 broken>",
    ]


def test_a_first_look_that_fails_makes_nothing(layout: Layout) -> None:
    """There is no half-made object to use by mistake."""
    with pytest.raises(ConfigurationError, match="there is no such directory; give the directory with index.json"):
        TenantTrust.from_directory(layout.root / "none")

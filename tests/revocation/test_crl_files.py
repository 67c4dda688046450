"""CRLs in files: read again when they change, gone when they are gone, and kept for a while if unreadable."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from mtlspolicy import PathProfile, Resolver, TrustStore, Verifier, policies
from mtlspolicy._chain import Possession, PresentedChain
from mtlspolicy._evidence import RevocationStatus
from mtlspolicy._pem import write_pem
from mtlspolicy._resolver import Answer, settle, settle_at_hand
from mtlspolicy._revocation import OCSPQuestion, RevocationAnswer
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation import CRL, CRLFiles, RevocationList, _crl_files, _crl_list, crls_source
from mtlspolicy.revocation._crl_index import SerialIndex
from mtlspolicy.revocation._crl_set import Held, crl_answer, held_crls
from mtlspolicy.testing import CertificateAuthority
from tests.revocation.made import HOUR, STRANGER
from tests.revocation.made_crls import MadeCRL, Revoked, asked, flag, reason, scope

GOOD, REVOKED, UNAVAILABLE = RevocationStatus.GOOD, RevocationStatus.REVOKED, RevocationStatus.UNAVAILABLE
NOW = datetime.now(UTC).replace(microsecond=0)
ROOT = CertificateAuthority("Root")
FRODO, SAM = ROOT.issue_client("frodo"), ROOT.issue_client("sam")
FRODO_IS, SAM_IS = Revoked(FRODO.certificate.serial_number), Revoked(SAM.certificate.serial_number)
QUESTION, ABOUT_SAM = asked(FRODO, ROOT), asked(SAM, ROOT)
LONG_AGO = 1_000_000_000


def crl(*entries: Revoked, age: timedelta = HOUR, **parts: Any) -> bytes:
    """Return a CRL of ROOT that is current now."""
    made = MadeCRL(entries, ROOT, this_update=NOW - age, next_update=NOW + 24 * HOUR)
    return made.but(**parts).encoded()


class Clock:
    """A monotonic clock that goes when it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(CRLFiles, "_clock", staticmethod(lambda: self.now))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that `CRLFiles` reads."""
    return Clock(monkeypatch)


def put(path: Path, data: bytes, *, at: int = LONG_AGO) -> None:
    """Replace *path* as careful writers do, and give it an old time, so that it does not count as just written."""
    fresh = path.with_name(".fresh")
    fresh.write_bytes(data)
    os.utime(fresh, (at, at))
    fresh.replace(path)


def ask(source: Any, question: Any = QUESTION) -> RevocationAnswer:
    """Return what the source answers."""
    answer = source(question)
    assert isinstance(answer, Answer)
    assert isinstance(answer.value, RevocationAnswer)
    return answer.value


@pytest.mark.usefixtures("clock")
def test_a_replaced_file_counts_at_once(tmp_path: Path) -> None:
    """The nightly list is read with the next question, without a restart."""
    path = tmp_path / "ca.crl"
    put(path, crl(age=2 * HOUR))
    source = crls_source(CRLFiles(path))
    assert ask(source).status is GOOD
    put(path, write_pem(crl(FRODO_IS), "X509 CRL").encode())
    assert ask(source).status is REVOKED
    assert ask(source).source == str(path)


def test_a_file_that_is_the_same_is_not_read_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """40 MB a handshake are too much: without a change the file is not even opened."""
    path = tmp_path / "ca.crl"
    put(path, crl())
    files = CRLFiles(path)
    ((first, _),) = files.held().crls
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("the file was opened"))
    clock.now += 10_000
    ((second, _),) = files.held().crls
    assert second is first


@pytest.mark.usefixtures("clock")
def test_a_file_changed_within_its_time_is_read_again(tmp_path: Path) -> None:
    """Two versions may bear the same time where the first was read in the moment it was written."""
    path = tmp_path / "ca.crl"
    put(path, crl())
    now = int(datetime.now(UTC).timestamp())
    path.touch()
    files = CRLFiles(path)
    ((first, _),) = files.held().crls
    assert files.held().crls[0][0] is first
    os.utime(path, (now - 100, now - 100))
    ((second, _),) = files.held().crls
    assert second is not first
    assert files.held().crls[0][0] is second


def test_a_file_that_was_fresh_is_read_once_more(tmp_path: Path, clock: Clock) -> None:
    """When two seconds have passed its time says what it is."""
    path = tmp_path / "ca.crl"
    path.write_bytes(crl())
    files = CRLFiles(path)
    ((first, _),) = files.held().crls
    clock.now += 1.9
    assert files.held().crls[0][0] is first
    clock.now += 0.2
    assert files.held().crls[0][0] is not first


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_file_that_is_gone_is_gone(tmp_path: Path, clock: Clock, how: str) -> None:
    """After the two seconds that a writer may take nothing of it counts; when it is back it does (RULES: 45)."""
    path = tmp_path / "ca.crl"
    put(path, crl(), at=LONG_AGO)
    source = crls_source(CRLFiles(path))
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(b"")
    kept = ask(source)
    assert kept.status is GOOD
    assert f"now it is {how}" in kept.source
    clock.now += 2
    assert (ask(source).code, ask(source).status) == ("crl.absent", UNAVAILABLE)
    assert f"is {how}" in ask(source).detail
    put(path, crl())
    assert ask(source).status is GOOD


@pytest.mark.parametrize("how", ["garbage", "half", "a directory", "unreadable"])
def test_a_file_that_cannot_be_read_leaves_the_last_for_an_hour(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What counts meanwhile says so; then there is no answer, until there is a list again."""
    path = tmp_path / "ca.crl"
    put(path, crl())
    source = crls_source(CRLFiles(path))
    with monkeypatch.context() as patched:
        path.unlink()
        if how == "a directory":
            path.mkdir()
            monkeypatch.setattr(CRLFiles, "_paths", lambda self: [self.path])
        else:
            put(path, b"garbage" if how == "garbage" else crl()[:-1])
        if how == "unreadable":
            patched.setattr(Path, "open", _refuses)
        kept = ask(source)
        assert kept.status is GOOD
        assert "as it was at" in kept.source
        clock.now += 3599
        assert ask(source).status is GOOD
        clock.now += 1
        assert (ask(source).code, ask(source).status) == ("crl.unreadable", UNAVAILABLE)
        assert str(path) in ask(source).detail
    if how == "a directory":
        path.rmdir()
    put(path, crl())
    assert ask(source).status is GOOD


def test_a_file_that_fails_is_logged_when_it_does(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it cannot be read any more, one when its last content ends, and none for a file being replaced."""
    path = tmp_path / "ca.crl"
    put(path, crl())
    source = crls_source(CRLFiles(path))
    path.unlink()
    assert ask(source).status is GOOD
    assert caplog.messages == []
    put(path, b"garbage")
    for _ in range(3):
        assert ask(source).status is GOOD
    clock.now += 3600
    for _ in range(3):
        assert ask(source).code == "crl.unreadable"
    first, last = caplog.records
    assert (first.name, first.levelname) == ("mtlspolicy.revocation", "WARNING")
    assert str(path) in first.getMessage()
    assert "holds no CRL" in first.getMessage()
    assert "counts no more" in last.getMessage()


def _refuses(*_: object) -> None:
    raise PermissionError(13, "Permission denied")


def test_garbage_and_gone_by_turns_do_not_extend_the_hour(tmp_path: Path, clock: Clock) -> None:
    """Who can spoil the file cannot keep yesterday's list in force by emptying it in between."""
    path = tmp_path / "ca.crl"
    put(path, crl())
    source = crls_source(CRLFiles(path))
    for _ in range(3599):
        path.write_bytes(b"garbage")
        assert ask(source).status is GOOD
        path.unlink()
        assert ask(source).status is GOOD
        clock.now += 1.001
        if ask(source).status is not GOOD:
            break
    assert clock.now < 1000 + 3600
    path.write_bytes(b"garbage")
    assert ask(source).code in {"crl.unreadable", "crl.absent"}


def test_a_revocation_outlives_its_file(tmp_path: Path, clock: Clock) -> None:
    """Who was revoked stays so within the process, when the file is gone as when an older one is put back."""
    path = tmp_path / "ca.crl"
    put(path, crl(FRODO_IS))
    source = crls_source(CRLFiles(path))
    assert ask(source).status is REVOKED
    path.unlink()
    clock.now += 10
    assert ask(source).status is REVOKED


@pytest.mark.usefixtures("clock")
def test_attack_an_older_list_put_back_is_refused(tmp_path: Path) -> None:
    """The genuine list of this morning is valid still, and hides who was revoked since: also a peer never seen."""
    path = tmp_path / "ca.crl"
    put(path, crl(SAM_IS))
    source = crls_source(CRLFiles(path))
    assert ask(source).status is GOOD
    put(path, crl(age=2 * HOUR))
    answer = ask(source, ABOUT_SAM)
    assert (answer.status, answer.code) == (UNAVAILABLE, "crl.rollback")
    assert ask(source).code == "crl.rollback"
    put(path, crl(age=timedelta(minutes=1)))
    assert ask(source, ABOUT_SAM).status is GOOD


@pytest.mark.usefixtures("clock")
def test_a_list_of_another_part_does_not_make_one_old(tmp_path: Path) -> None:
    """The list for CA certificates has dates of its own."""
    put(tmp_path / "users.crl", crl(extensions=(scope(flag(1)),), age=3 * HOUR))
    source = crls_source(CRLFiles(tmp_path))
    authority = asked(ROOT.intermediate("Issuing"), ROOT)
    assert ask(source).status is GOOD
    put(tmp_path / "authorities.crl", crl(extensions=(scope(flag(2)),)))
    assert (ask(source).status, ask(source, authority).status) == (GOOD, GOOD)


@pytest.mark.usefixtures("clock")
def test_a_directory_is_all_its_lists(tmp_path: Path) -> None:
    """As OpenSSL names them, too; other files and hidden ones do not count, and one that is gone is gone."""
    source = crls_source(CRLFiles(tmp_path))
    assert ask(source).code == "crl.absent"
    (tmp_path / "README").write_bytes(b"not a list")
    (tmp_path / ".half.crl").write_bytes(b"not a list yet")
    put(tmp_path / "0a1b2c3d.r0", crl(age=2 * HOUR))
    assert ask(source).status is GOOD
    put(tmp_path / "new.pem", write_pem(crl(SAM_IS), "X509 CRL").encode())
    assert (ask(source).status, ask(source, ABOUT_SAM).status) == (GOOD, REVOKED)
    (tmp_path / "0a1b2c3d.r0").unlink()
    (tmp_path / "new.pem").unlink()
    assert ask(source).code == "crl.absent"


def test_a_directory_that_is_gone_takes_its_lists_along(tmp_path: Path, clock: Clock) -> None:
    """Each after its two seconds, and an empty one is missing itself."""
    there = tmp_path / "lists"
    there.mkdir()
    files = CRLFiles(there)
    put(there / "a.crl", crl())
    source = crls_source(files)
    assert ask(source).status is GOOD
    (there / "a.crl").unlink()
    there.rmdir()
    assert ask(source).status is GOOD
    clock.now += 2
    assert ask(source).code == "crl.absent"
    there.mkdir()
    assert files.held() == Held()
    there.rmdir()
    assert "lists is missing" in files.held().problems[0][1]


def test_only_so_many_files_of_a_directory_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that fills up does not fill the memory."""
    monkeypatch.setattr(_crl_files, "MOST_FILES", 1)
    put(tmp_path / "a.crl", crl())
    put(tmp_path / "b.crl", crl())
    assert len(CRLFiles(tmp_path).held().crls) == 1


@pytest.mark.parametrize("content", [None, b"", b"garbage", crl()[:-1]])
def test_construction_refuses_what_is_no_list(tmp_path: Path, content: bytes | None) -> None:
    """A mistyped path shows on the first day, with the file's name and what belongs there."""
    path = tmp_path / "ca.crl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"ca\.crl.*X509 CRL"):
        CRLFiles(path)


def test_construction_refuses_what_is_no_path(tmp_path: Path) -> None:
    """Nor a time that is none."""
    for path in (None, 3, b"ca.crl", "a\0b"):
        with pytest.raises(ConfigurationError, match="no path"):
            CRLFiles(path)  # type: ignore[arg-type]
    for stale in (timedelta(seconds=-1), 3600):
        with pytest.raises(ConfigurationError, match="max_stale"):
            CRLFiles(tmp_path, max_stale=stale)  # type: ignore[arg-type]
    assert str(tmp_path) in repr(CRLFiles(tmp_path))


@pytest.mark.parametrize("given", [crl(), "crl", RevocationList.parse(crl()), [3], [b"garbage"], [None]])
def test_a_source_refuses_what_is_no_list_of_lists(given: Any) -> None:
    """Bytes alone, text, and bytes that are no CRL."""
    with pytest.raises(ConfigurationError, match="crls"):
        crls_source(given)


def test_a_source_refuses_another_question() -> None:
    """A resolver that asks by OCSP asks somebody else."""
    with pytest.raises(ConfigurationError, match="CRLQuestion"):
        crls_source([])(OCSPQuestion(QUESTION.certificate, QUESTION.issuer))


def test_a_source_says_how_long_its_answer_may_be_kept() -> None:
    """As long as the list is current; where a file may change meanwhile, a second."""
    answer = crls_source([crl()])(QUESTION)
    assert answer.keep is not None
    assert 23 * 3600 < answer.keep <= 24 * 3600 + 300
    assert answer.obtained_at == NOW - HOUR
    assert crls_source([RevocationList.parse(crl(FRODO_IS))])(QUESTION).keep is None
    assert crls_source([])(QUESTION).keep == 1.0


def test_a_source_of_files_is_asked_again_soon(tmp_path: Path) -> None:
    """What a file says may be another thing in a second, but for a revocation."""
    put(tmp_path / "a.crl", crl(SAM_IS))
    source = crls_source(CRLFiles(tmp_path))
    assert (source(QUESTION).keep, source(ABOUT_SAM).keep) == (1.0, None)


def test_a_long_list_is_read_once_by_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks first reads the entries; the others wait for that."""
    made: list[int] = []
    real = SerialIndex

    def counting(*arguments: Any) -> Any:
        made.append(1)
        return real(*arguments)

    monkeypatch.setattr("mtlspolicy.revocation._crl_list.SerialIndex", counting)
    source = crls_source([crl(*(Revoked(2**90 + number) for number in range(2000)))])
    answers: list[RevocationAnswer] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(source))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.status for one in answers] == [GOOD] * 8
    assert made == [1]


def test_of_several_lists_the_newest_counts_and_a_revocation_above_all() -> None:
    """In whatever order they come."""
    hold = Revoked(FRODO.certificate.serial_number, extensions=(reason(6),))
    older, newer = crl(hold, age=2 * HOUR), crl()
    for order in ([older, newer], [newer, older]):
        assert crl_answer(QUESTION, held_crls(order), at=NOW).status is GOOD
    for order in ([crl(FRODO_IS, age=2 * HOUR), newer], [newer, crl(FRODO_IS, age=2 * HOUR)]):
        assert crl_answer(QUESTION, held_crls(order), at=NOW).status is REVOKED


def test_the_most_telling_reason_is_given() -> None:
    """Lists of strangers and of other parts say less than the one that is over."""
    over = crl(age=3 * HOUR, next_update=NOW - HOUR)
    other = crl(extensions=(scope(flag(2)),))
    stranger = MadeCRL(signer=STRANGER).encoded()
    assert crl_answer(QUESTION, held_crls([stranger, other, over]), at=NOW).code == "crl.expired"
    assert crl_answer(QUESTION, held_crls([stranger, other]), at=NOW).code == "crl.ca-certificates-only"
    assert crl_answer(QUESTION, held_crls([stranger]), at=NOW).code == "crl.absent"
    assert crl_answer(QUESTION, held_crls([stranger, b"garbage"]), at=NOW).code == "crl.malformed"


def test_what_is_remembered_of_lists_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """CAs with ever new parts do not fill the memory."""
    monkeypatch.setattr("mtlspolicy.revocation._crl_set.MOST", 1)
    newest: dict[tuple[str, bytes, bytes, bool], datetime] = {}
    for extensions in ((), (scope(flag(1)),)):
        held = held_crls([crl(extensions=extensions)])
        assert crl_answer(QUESTION, held, at=NOW, newest=newest).status is GOOD
    assert len(newest) == 1


def test_a_list_accepted_under_sha1_makes_no_other_old() -> None:
    """What a weaker rule has accepted does not refuse what a stronger one accepts."""
    newest: dict[tuple[str, bytes, bytes, bool], datetime] = {}
    forged = held_crls([crl(digest=hashes.SHA1())])  # noqa: S303 - refused by default
    weak = asked(FRODO, ROOT, allow_sha1=True)
    assert crl_answer(weak, forged, at=NOW, newest=newest).status is GOOD
    assert crl_answer(QUESTION, held_crls([crl(age=2 * HOUR)]), at=NOW, newest=newest).status is GOOD


@pytest.mark.parametrize(("entries", "permitted"), [((SAM_IS,), True), ((FRODO_IS,), False)])
def test_from_a_file_to_a_decision(tmp_path: Path, entries: tuple[Revoked, ...], *, permitted: bool) -> None:
    """A resolver with the source decides on a peer, with threads and all."""
    path = tmp_path / "ca.crl"
    put(path, crl(*entries))
    policy = policies.CommonName("frodo") & policies.NotRevoked("crl")
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[ROOT.certificate]), policy=policy, profile=PathProfile.PRIVATE_PKI
    )
    presented = PresentedChain.parse(FRODO.der, possession=Possession.TLS, limits=verifier.limits)
    outcome = settle(verifier.judgement(presented), Resolver({CRL: crls_source(CRLFiles(path))}))
    assert bool(outcome.decision) is permitted
    assert outcome.decision.code != "crl.unavailable"


def at_hand(source: Any, question: Any = QUESTION) -> RevocationStatus | None:
    """Return what the source answers where nobody can wait; ``None``: nothing."""
    answer = source.at_hand(question)
    return None if answer is None else answer.value.status


@pytest.mark.usefixtures("clock")
def test_a_handshake_that_cannot_wait_is_answered_from_short_files(tmp_path: Path) -> None:
    """On an event loop nobody is refused for a file of some kilobytes, and its replacement counts at once there too."""
    path = tmp_path / "ca.crl"
    put(path, crl(age=2 * HOUR))
    source = crls_source(CRLFiles(path))
    assert (at_hand(source), at_hand(source, ABOUT_SAM)) == (GOOD, GOOD)
    put(path, crl(FRODO_IS))
    assert (at_hand(source), at_hand(source, ABOUT_SAM)) == (REVOKED, GOOD)
    path.unlink()
    assert at_hand(source, ABOUT_SAM) is GOOD, "it may be being replaced"
    assert at_hand(source, None) is None
    assert at_hand(crls_source([crl(FRODO_IS)])) is REVOKED


def test_a_long_list_is_at_hand_once_it_was_read(tmp_path: Path, clock: Clock) -> None:
    """What takes most of a second is done on a thread: the list, its signature by this issuer, and its entries."""
    many = [Revoked(serial) for serial in range(1_000, 1_800)]
    path = tmp_path / "ca.crl"
    put(path, crl(*many, age=2 * HOUR))
    assert path.stat().st_size > _crl_list.SHORT
    source = crls_source(CRLFiles(path))
    assert at_hand(source) is None
    assert ask(source).status is GOOD
    assert (at_hand(source), at_hand(source, ABOUT_SAM)) == (GOOD, GOOD)
    other = CertificateAuthority("Root")
    assert at_hand(source, asked(other.issue_client("frodo"), other)) is None, "another key, of the same name"
    put(path, crl(*many, FRODO_IS))
    assert at_hand(source) is None
    assert ask(source).status is REVOKED
    clock.now += 10
    assert at_hand(source) is REVOKED


@pytest.mark.usefixtures("clock")
def test_a_folder_of_many_lists_is_not_gone_through_on_a_loop(tmp_path: Path) -> None:
    """A few files are; where somebody reads them now, nobody waits."""
    for number in range(_crl_files.FEW_FILES):
        put(tmp_path / f"{number:02}.crl", crl(age=timedelta(minutes=number + 1)))
    files = CRLFiles(tmp_path)
    source = crls_source(files)
    assert at_hand(source) is GOOD
    for lock in (files._lock, source._lock):  # type: ignore[attr-defined]
        with lock:
            assert at_hand(source) is None
    put(tmp_path / "99.crl", crl())
    assert at_hand(source) is None
    assert ask(source).status is GOOD
    assert at_hand(source) is None


@pytest.mark.parametrize("entries", [(), (FRODO_IS,)])
def test_a_plain_server_of_asyncio_admits_the_first_time(entries: tuple[Revoked, ...], tmp_path: Path) -> None:
    """With ``pending="refuse"``, and a second later as well, when the answer has to be had anew."""
    path = tmp_path / "ca.crl"
    put(path, crl(*entries))
    verifier = Verifier.for_clients(
        trust=TrustStore(anchors=[ROOT.certificate]),
        policy=policies.CommonName("frodo") & policies.NotRevoked("crl"),
    )
    with Resolver({CRL: crls_source(CRLFiles(path))}) as resolver:
        for _ in range(3):
            judgement = verifier.judgement(PresentedChain((FRODO.der,), Possession.TLS))
            decision = settle_at_hand(judgement, resolver).decision
            assert decision.code == ("crl.revoked" if entries else "policy.all")


@pytest.mark.usefixtures("clock")
def test_a_folder_of_other_things_is_not_listed_on_a_loop(tmp_path: Path) -> None:
    """Names that do not count cost as much as those that do."""
    put(tmp_path / "ca.crl", crl())
    source = crls_source(CRLFiles(tmp_path))
    assert at_hand(source) is GOOD
    for number in range(_crl_files.FEW_ENTRIES):
        (tmp_path / f"{number}.txt").touch()
    assert at_hand(source) is None
    assert ask(source).status is GOOD


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("what", ["pipe", "long"])
def test_attack_another_file_put_there_between_two_looks(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe would hold the loop up for ever, and a long file for most of a second: it is left, and looked at again."""
    path = tmp_path / "ca.crl"
    put(path, crl(age=2 * HOUR))
    source = crls_source(CRLFiles(path))
    assert at_hand(source) is GOOD
    put(path, crl())

    def put_another(place: str, flags: int, opened: Any = _crl_files._at_once) -> int:
        path.unlink()
        if what == "pipe":
            os.mkfifo(path)
        else:
            put(path, crl(*[Revoked(serial) for serial in range(1_000, 1_800)]))
        return int(opened(place, flags))

    monkeypatch.setattr(_crl_files, "_at_once", put_another)
    assert at_hand(source) is GOOD, "what it held before counts for a while"
    monkeypatch.undo()
    path.unlink()
    put(path, crl(FRODO_IS))
    assert ask(source).status is REVOKED

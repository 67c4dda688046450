"""Lists (RULES, DESIGN 6.1): files with one entry a line, live sources, and how a policy shows what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import policies
from mtlspolicy._evidence import Evidence
from mtlspolicy._policy import decide
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.policies._input import LINE_LIMIT
from mtlspolicy.testing import CertificateAuthority, evidence

AUTHORITY = CertificateAuthority()
PINS = [f"{number:064x}" for number in range(6)]


def known() -> Evidence:
    """Return evidence of some client."""
    return evidence("a")


def test_lines_comments_and_byte_order_marks(tmp_path: Path) -> None:
    """Empty lines and comments are passed over; a byte order mark and any line end do no harm."""
    content = (
        b"\xef\xbb\xbf# pins\r\n\r\n"
        + PINS[0].encode()
        + b"\r\n  "
        + PINS[1].encode()
        + b"  # spare\r\n#"
        + b"x" * 9999
    )
    (tmp_path / "pins").write_bytes(content)
    assert policies.SPKIPin.from_list_file(tmp_path / "pins") == policies.SPKIPin(*PINS[:2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no entry; an empty list is refused"),
        (b"# nothing\n\n", "has no entry"),
        (PINS[0].encode() + b"\n\n" + b"junk\n", "line 3: SPKIPin 'junk' is no SHA-256 digest"),
        (PINS[0].encode() + b"\n\xff\n", "line 2: not UTF-8 text"),
        (b"a" * (LINE_LIMIT + 1), f"line 1: longer than {LINE_LIMIT} bytes"),
        (PINS[0].encode() + b"#comment\n", "line 1: .*is no SHA-256 digest"),
        (PINS[0].encode() + b"\x00\n", r"line 1: .*is no SHA-256 digest"),
    ],
)
def test_one_bad_entry_refuses_the_whole_list(tmp_path: Path, content: bytes, message: str) -> None:
    """File and line are named; nothing is taken from a list that cannot be read in full."""
    (tmp_path / "pins").write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as caught:
        policies.SPKIPin.from_list_file(tmp_path / "pins")
    assert str(tmp_path / "pins") in str(caught.value)


@pytest.mark.parametrize("path", ["missing", ".", "nul\0byte", None, 7.5])
def test_a_list_that_cannot_be_opened_is_refused(tmp_path: Path, path: Any) -> None:
    """A missing file, a directory and what is no path are named."""
    where = tmp_path / path if isinstance(path, str) else path
    with pytest.raises(ConfigurationError, match="SPKIPin: the list .* cannot be read") as caught:
        policies.SPKIPin.from_list_file(where)
    assert caught.value.code == "config.file"


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    """The same for files that are read whole."""
    for path in (tmp_path, tmp_path / "missing", "nul\0byte"):
        with pytest.raises(ConfigurationError, match="the file .* cannot be read"):
            policies.CertificatePin.from_file(path)


def test_an_entry_with_hostile_text_is_escaped(tmp_path: Path) -> None:
    """What a list says is printed escaped."""
    (tmp_path / "pins").write_text("\N{RIGHT-TO-LEFT OVERRIDE}evil\x1b[2J\n", "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        policies.SPKIPin.from_list_file(tmp_path / "pins")
    assert str(caught.value).isprintable()


def test_a_source_is_asked_at_each_evaluation() -> None:
    """What it returns counts at once; a policy of the same kind is taken as it is."""
    presented = known()
    own = policies.SPKIPin.of(presented.path.end_entity)
    answers: list[Any] = [PINS, own, list(PINS), frozenset(), own.entries]
    asked: list[Any] = []

    def source() -> Any:
        asked.append(answers[len(asked)])
        return asked[-1]

    policy = policies.SPKIPin(source)
    found = [decide(policy, presented) for _ in answers]
    assert [one.verdict.name for one in found] == ["DENY", "PERMIT", "DENY", "INDETERMINATE", "INDETERMINATE"]
    assert asked == answers
    assert [one.code for one in found[3:]] == ["policy.error"] * 2


@pytest.mark.parametrize(
    "returned",
    [
        None,
        True,
        "ab" * 32,
        b"ab" * 32,
        iter(PINS),
        policies.CertificatePin(PINS[0]),
        [None],
        policies.SPKIPin(lambda: PINS),
    ],
)
def test_a_source_that_returns_something_else_is_a_doubt(returned: Any) -> None:
    """Neither nothing, text, an iterator, another kind of policy nor a source of a source is a list."""
    decision = decide(policies.SPKIPin(lambda: returned), known())
    assert (decision.verdict.name, decision.code) == ("INDETERMINATE", "policy.error")
    assert "SPKIPin" in decision.detail


def test_a_source_that_raises_is_a_doubt() -> None:
    """Whatever a source raises, the answer is INDETERMINATE."""

    def source() -> Any:
        raise OSError("the list is gone")

    decision = decide(policies.SPKIPin(source), known())
    assert (decision.verdict.name, decision.code) == ("INDETERMINATE", "policy.error")
    assert "the list is gone" in decision.detail


def test_only_a_fixed_list_is_kept_with_a_path() -> None:
    """A live list may change, so its answer is asked for each time; two policies of one source are equal."""

    def source() -> Any:
        return PINS

    assert policies.SPKIPin(*PINS)._reads_path_only
    assert not policies.SPKIPin(source)._reads_path_only
    assert policies.SPKIPin(source) == policies.SPKIPin(source)
    assert policies.SPKIPin(source).identifies


def test_a_kept_answer_is_not_given_for_a_live_list() -> None:
    """With a place to keep decisions a fixed list is asked once and a live one each time."""
    presented = known()
    presented.kept = {}
    live: list[list[str]] = [PINS]
    policy = policies.SPKIPin(lambda: live[0])
    own = policies.SPKIPin.of(presented.path.end_entity)
    assert decide(own, presented) is decide(own, presented)
    assert not decide(policy, presented)
    live[0] = [presented.path.end_entity.spki_sha256]
    assert decide(policy, presented)


def test_a_repr_shows_few_entries_and_counts_many() -> None:
    """Up to four entries are shown in order, more are counted, and a source is named, escaped."""

    class Directory:
        def __call__(self) -> list[str]:
            return PINS

    few = policies.SPKIPin(*PINS[:4])
    assert repr(few).count("sha256/") == 4
    assert repr(few) == repr(policies.SPKIPin(*reversed(PINS[:4])))
    assert repr(policies.SPKIPin(*PINS)) == "SPKIPin(6 entries)"
    assert repr(policies.SPKIPin(Directory())) == "SPKIPin(<Directory>)"


@pytest.mark.parametrize("kind", ["serial", "pin"])
def test_a_million_entries_from_a_file(kind: str, tmp_path: Path) -> None:
    """A list of a million entries loads from a file; the first, the last and none but its own entries are found."""
    last = 1_000_000
    path, leaf = tmp_path / "list", AUTHORITY.issue_client("a", serial=last)
    if kind == "serial":
        path.write_text("\n".join(f"0x{number:x}" for number in range(1, last + 1)), encoding="ascii")
        policy: policies.SerialNumbers | policies.SPKIPin = policies.SerialNumbers.from_list_file(
            path, issuer=AUTHORITY.certificate
        )
        stranger = AUTHORITY.issue_client("a", serial=last + 1)
    else:
        stranger = AUTHORITY.issue_client("a")
        own = evidence(certificate=leaf).path.end_entity.spki_sha256
        path.write_text("\n".join([*(f"{number:064x}" for number in range(1, last)), own]), encoding="ascii")
        policy = policies.SPKIPin.from_list_file(path)
    assert decide(policy, evidence(certificate=leaf))
    assert not decide(policy, evidence(certificate=stranger))
    assert f"{last - 1}" in repr(policy) or f"{last}" in repr(policy), "what is shown is a count, not a million entries"
    assert len(repr(policy)) < 1000

"""The table of reason codes: every code that the core decides with is in it, well-formed, with its outcome."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mtlspolicy
from mtlspolicy._codes import CODES, INDETERMINATE, NO_HEADERS, PERMITTED, UNAVAILABLE, outcome_of

SOURCE = Path(mtlspolicy.__file__).parent
CODE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.[a-z0-9]+(?:-[a-z0-9]+)*")
DECIDING = {"permit", "deny", "indeterminate", "Refusal", "Decision"}
"""Calls that give a reason code to a decision, as their first or second argument."""
OUR_MODULES = sorted([*SOURCE.glob("_*.py"), *(SOURCE / "policies").glob("*.py"), SOURCE / "errors.py"])


def _codes(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in DECIDING:
                texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                found |= {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}
    return found


@pytest.mark.parametrize("path", OUR_MODULES, ids=lambda path: path.stem)
def test_every_code_of_the_core_is_in_the_table(path: Path) -> None:
    """A decision of the library's own has a row: what it means, and what each protocol is told."""
    assert _codes(path) <= CODES.keys()


def test_the_search_finds_codes() -> None:
    """Were nothing found, the test above would prove nothing."""
    assert sum(len(_codes(path)) for path in OUR_MODULES) > 60


@pytest.mark.parametrize("code", CODES)
def test_every_row_is_well_formed(code: str) -> None:
    """``area.fact`` in lower case, a meaning in one sentence, an outcome that every protocol understands."""
    row = CODES[code]
    assert CODE.fullmatch(code)
    assert row.meaning
    assert not row.meaning.endswith(".")
    outcome = row.outcome
    assert outcome.http_status in {200, 400, 401, 403, 421, 425, 431, 503}
    assert re.fullmatch(r"[A-Z_]+", outcome.grpc_status)
    assert re.fullmatch(r"[a-z_]*", outcome.tls_alert)
    assert (outcome.http_status == 200) == (outcome is PERMITTED)


def test_only_what_may_pass_by_itself_is_worth_trying_again() -> None:
    """A webhook sender retries a 5xx and drops a 403: 503 with Retry-After where, and only where, it is retryable."""
    for row in CODES.values():
        assert row.outcome.retryable == (row.outcome.http_status == 503) == ("Retry-After" in row.outcome.http_headers)
    assert outcome_of("fact.missing", "INDETERMINATE") is UNAVAILABLE


@pytest.mark.parametrize("verdict", ["DENY", "INDETERMINATE"])
def test_no_code_turns_a_refusal_into_a_success(verdict: str) -> None:
    """Whatever code a refusal has, one of a PERMIT or an unknown one included, no protocol is told 200."""
    for code in (*CODES, "acme.closed"):
        outcome = outcome_of(code, verdict)
        assert outcome.http_status >= 400
        assert outcome.grpc_status != "OK"


def test_unknown_codes_get_the_default_of_their_verdict() -> None:
    """A user's own code needs no row."""
    assert outcome_of("acme.open", "PERMIT") is PERMITTED
    assert outcome_of("acme.closed", "DENY").tls_alert == "access_denied"
    assert outcome_of("acme.unsure", "INDETERMINATE") is INDETERMINATE


def test_headers_cannot_be_changed() -> None:
    """The table is shared: nobody writes into it."""
    with pytest.raises(TypeError):
        NO_HEADERS["X"] = "y"  # type: ignore[index]

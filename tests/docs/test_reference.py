"""The reference says what the source says: reason codes, command line, public names."""

from __future__ import annotations

import importlib
import importlib.util
import re
import types
from pathlib import Path
from typing import Any, Final

import pytest

from mtlspolicy import Limits, Resolver, tls
from mtlspolicy._codes import CODES, PERMITTED
from mtlspolicy._keys import RSA_MAXIMUM
from mtlspolicy._setup_codes import SETUP_CODES

ROOT: Final = Path(__file__).parents[2]
REFERENCE: Final = ROOT / "docs" / "reference"
SOURCE: Final = Path(importlib.import_module("mtlspolicy").__file__ or "").parent
PUBLIC: Final = (
    "mtlspolicy",
    "mtlspolicy.errors",
    "mtlspolicy.forwarded",
    "mtlspolicy.oauth",
    *(f"mtlspolicy.integrations.{name}" for name in ("aiohttp", "aiosmtpd", "tornado", "websockets")),
    *(f"mtlspolicy.integrations.{name}" for name in ("django", "fastapi", "testing")),
    "mtlspolicy.integrations.requests",
    "mtlspolicy.integrations.tunnel",
    "mtlspolicy.integrations.urllib3",
    *(
        f"mtlspolicy.integrations.{name}"
        for name in ("asgi", "cheroot", "grpc", "gunicorn", "hypercorn", "uvicorn", "werkzeug", "wsgi", "wsgiref")
    ),
    "mtlspolicy.policies",
    "mtlspolicy.revocation",
    "mtlspolicy.tenants",
    "mtlspolicy.testing",
    "mtlspolicy.tls",
)
NOT_DOCUMENTED: Final = {
    "mtlspolicy.__version__",
    "mtlspolicy.forwarded",
    "mtlspolicy.oauth",
    "mtlspolicy.policies",
    "mtlspolicy.revocation",
    "mtlspolicy.tenants",
    "mtlspolicy.testing",
    "mtlspolicy.tls",
}
"""A number and the sub-packages, which have pages of their own."""


def _load(name: str) -> types.ModuleType:
    """Load the script *name* of the documentation, which is no part of the package."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _words(text: str) -> list[str]:
    """Return the words of *text*: versions of argparse break lines in different places."""
    return text.split()


@pytest.mark.parametrize("page", ["codes.md", "command-line.md"])
def test_generated_parts_are_current(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of the source equals what would be made of it now; if not, run ``python docs/generate.py``."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    generate = _load("generate")
    assert _words(generate.section(REFERENCE / page)) == _words(generate.PAGES[page]())


def test_codes_and_page_are_equal_both_ways() -> None:
    """Every code of the table is on the page with its meaning and answers, and the page has no other."""
    text = (REFERENCE / "codes.md").read_text(encoding="utf-8").partition("## Decisions")[2].partition("## Set-up")[0]
    rows = {
        row[0]: row[1:]
        for row in re.findall(r"^\| `([\w.-]+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    }
    assert set(rows) == set(CODES)
    for code, (meaning, outcome) in CODES.items():
        answers = (
            str(outcome.http_status),
            outcome.grpc_status,
            outcome.tls_alert,
            "yes" if outcome.retryable else "no",
        )
        assert rows[code] == (meaning, *(("admits", "", "", "") if outcome is PERMITTED else answers)), code


def test_setup_codes_and_page_are_equal_both_ways() -> None:
    """The same for the codes of set-ups."""
    text = (REFERENCE / "codes.md").read_text(encoding="utf-8").partition("## Set-up")[2]
    assert dict(re.findall(r"^\| `([\w.-]+)` \| (.*?) \|$", text, re.MULTILINE)) == SETUP_CODES


def test_every_area_of_codes_has_a_heading() -> None:
    """An area that is new in the table is given a name for people."""
    assert {code.partition(".")[0] for code in CODES} <= set(_load("generate").AREAS)


def test_pages_name_no_code_that_does_not_exist(pages: dict[str, str]) -> None:
    """A code in prose is one of the table, one that is written in the source, or an example of one's own."""
    areas = {code.partition(".")[0] for code in CODES} | {"tls", "gate"}
    source = "".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    named = {
        code for text in pages.values() for code in re.findall(r"`([a-z][a-z-]*\.[a-z][a-z-]*[a-z])`", text)
        if code.partition(".")[0] in areas
    }  # fmt: skip
    unknown = {code for code in named - set(CODES) if f'"{code}"' not in source and not _of_openssl(code, source)}
    assert unknown <= {"policy.error"} | _attributes(source)


def _of_openssl(code: str, source: str) -> bool:
    """Return whether *code* is put together from a fact of OpenSSL's."""
    return code.startswith("tls.openssl-") and f'"{code.removeprefix("tls.openssl-")}"' in source


def _attributes(source: str) -> set[str]:
    """Return what looks like a code and is an attribute, such as a function of ``tls``."""
    return {f"tls.{name}" for name in re.findall(r"def ([a-z]+)\(", source)}


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_in_the_reference(module: str) -> None:
    """Each name that a module exports has an entry, under the place where users import it from."""
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", text, re.MULTILINE))
    exported = {f"{module}.{name}" for name in importlib.import_module(module).__all__}
    if module == "mtlspolicy.errors":
        exported = {name.replace(".errors.", ".") for name in exported}
    assert exported - NOT_DOCUMENTED <= documented


def test_every_entry_of_the_reference_exists() -> None:
    """No entry is about a name that is gone."""
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    for path in re.findall(r"^\.\. auto\w+:: ([\w.]+)", text, re.MULTILINE):
        module, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(module), name), path


def test_entries_of_members_exist() -> None:
    """Members that an entry lists are members."""
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    for path, members in re.findall(r"^\.\. auto\w+:: ([\w.]+).*\n   :members: (.+)$", text, re.MULTILINE):
        module, _, name = path.rpartition(".")
        owner: Any = getattr(importlib.import_module(module), name)
        for member in members.split(", "):
            assert hasattr(owner, member) or member in getattr(owner, "__annotations__", {}), f"{path}.{member}"


def test_limits_and_timeouts_are_the_defaults() -> None:
    """The numbers on the page about limits are those that hold when nothing else is said."""
    limits, options = Limits(), tls.ServerOptions()
    expected = {
        "certificates presented": f"{limits.certificates}",
        "certificates in a path": f"{limits.path}",
        "one certificate": f"{limits.certificate_bytes // 1024} KiB",
        "all together": f"{limits.chain_bytes // 1024} KiB",
        "names in a subjectAltName": f"{limits.names}",
        "paths that are tried": f"{limits.paths}",
        "RSA key": f"{RSA_MAXIMUM} bits",
        "handshake of a blocking socket, facts included": f"{options.handshake_timeout:.0f} s",
        "one look-up": f"{Resolver({'a.b': lambda key: key}).deadline:.0f} s",
        "a held connection": f"{options.hold_timeout:.0f} s",
    }
    text = (REFERENCE / "support.md").read_text(encoding="utf-8").partition("## Limits on what")[2]
    rows = dict(re.findall(r"^\| (.+?) \| (\d.*?) \|", text, re.MULTILINE))
    assert rows == expected


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_between_files_lead_somewhere(name: str) -> None:
    """A relative link on a page that is read in the repository names a file that is there."""
    links = re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", (ROOT / name).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_every_fixture_is_in_the_reference() -> None:
    """The fixtures of the pytest plugin are those that the page lists."""
    source = (SOURCE / "testing" / "pytest_plugin.py").read_text(encoding="utf-8")
    text = (REFERENCE / "testing.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^def (mtls_\w+)\(", source, re.MULTILINE)) == set(re.findall(r"`(mtls_\w+)`", text))

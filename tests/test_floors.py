"""The shape of the source tree: imports go down only, the core knows no I/O and no clock, and everything stays small.

The tree is read as text; nothing of it is imported, so a module that nobody imports is judged as well.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "src" / "mtlspolicy"

FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"_codes", "_setup_codes", "_decision", "_explain", "_lazy", "_text", "_version", "errors"}),
    frozenset(
        {
            *("_certificate", "_chain", "_der", "_keys", "_pem", "_revocation"),
            *("_constraints", "_identifiers", "_names", "_reference", "_rfc4514", "_spiffe_id", "_trust"),
            *("_combinators", "_evidence", "_path", "_pattern_syntax", "_patterns", "_policy", "_profile"),
        }
    ),
    frozenset({"policies"}),
    frozenset({"_judgement", "_observer", "_peer", "_verifier"}),
    frozenset({"_resolver"}),
    frozenset({"forwarded", "oauth", "revocation", "tenants", "tls"}),
    frozenset({"danger", "testing"}),
    frozenset({"integrations"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)
"""Units of the package, a module or a sub-package each, from the ground up. A new one is given its floor here."""

ORDER_ON_FLOOR_1 = (frozenset({"_chain", "_identifiers", "_trust"}), frozenset({"_path"}), frozenset({"_evidence"}))
PARTS_MAY_MEET = frozenset({0, 1, 3})
"""Floors made of parts: there a module may import another as long as no circle comes of it."""

FLAT = frozenset({"forwarded", "integrations", "policies"})
"""Sub-packages of one file per family: these share what begins with an underscore and nothing else."""

PURE_FLOORS = frozenset({0, 1, 2, 3})
PURE_PACKAGES = frozenset({"forwarded", "revocation"})
EDGES: frozenset[str] = frozenset(
    {
        *("revocation._crl_files", "revocation._process_lock", "revocation._seen"),
        *("revocation._cache", "revocation._cache_connection", "revocation._cache_redis"),
        *("revocation._background", "revocation._breaker", "revocation._crl_course", "revocation._crls"),
        *("revocation._desk", "revocation._ocsp_course", "revocation._shelf", "revocation._steps", "revocation._visit"),
        *("revocation._http", "revocation._http_response", "revocation._httpx", "revocation._lookups"),
    }
)
"""Modules of the pure packages that hold their network code or their locks."""

OUTSIDE = frozenset({"asyncio", "http", "logging", "socket", "ssl", "subprocess", "threading", "urllib"})
THREADS = {"_observer": frozenset({"threading"})}
"""The one thread of the core hands decisions to a user's hook, so that its slowness delays none; it decides nothing."""
CLOCK_FLOOR = 3
CLOCK_ATTRIBUTES = frozenset({"now", "today", "utcnow"})
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 300, 40, 6
VALUES = frozenset({("_decision", "__init__"), ("_decision", "__new__"), ("_evidence", "__init__")})
"""Values written by hand, because a frozen dataclass is too slow there: as in its constructor, a parameter a field."""


class Import(NamedTuple):
    """One imported module by its full name; whether for annotations only, and whether while the module is loaded."""

    name: str
    typing_only: bool
    at_load: bool


def module_name(path: Path) -> str:
    """Return the name below the package, with dots; of a sub-package's ``__init__`` the name of the sub-package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def unit_of(module: str) -> str:
    """Return the unit that a module belongs to: its sub-package, or ``_trust`` for its part ``_trust_files``."""
    unit = module.split(".", 1)[0]
    while unit.rpartition("_")[0] and not any(unit in units for units in FLOORS):
        unit = unit.rpartition("_")[0]
    return unit


def floor_of(module: str) -> int | None:
    """Return the floor of a module's unit, or None where nobody has placed it yet."""
    return next((level for level, units in enumerate(FLOORS) if unit_of(module) in units), None)


def imports_of(tree: ast.AST, module: str, *, typing_only: bool = False, at_load: bool = True) -> list[Import]:
    """Return every import of a module: statements at any depth, and calls with the name in plain text."""
    found: list[Import] = []
    for node in ast.iter_child_nodes(tree):
        found += [Import(name, typing_only, at_load) for name in names_imported(node, module)]
        is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        is_guard = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        found += imports_of(node, module, typing_only=typing_only or is_guard, at_load=at_load and not is_function)
    return found


def names_imported(node: ast.AST, module: str) -> list[str]:
    """Return the full names that one node imports; of ``from a import b`` the sub-module ``a.b`` where there is one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            here = MODULES[module].relative_to(PACKAGE.parent).with_suffix("").parts
            base = ".".join([*here[: -node.level], *([base] if base else [])])
        return [f"{base}.{alias.name}" if inside(f"{base}.{alias.name}") in MODULES else base for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if function in {"import_module", "__import__"}:
            return [str(node.args[0].value)]
    return []


def inside(name: str) -> str:
    """Return a full name as one below the package: ``__init__`` for the package itself, empty for a stranger."""
    if name == "mtlspolicy":
        return "__init__"
    return name.removeprefix("mtlspolicy.") if name.startswith("mtlspolicy.") else ""


def owner(name: str) -> str:
    """Return the module that a name below the package lies in: the longest part of it that is a module."""
    while name and name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name


def neighbours(module: str) -> list[tuple[str, Import]]:
    """Return the modules of the package that a module imports."""
    found = [(owner(inside(item.name)), item) for item in imports_of(TREES[module], module)]
    return [(target, item) for target, item in found if target]


def objection(module: str, target: str, *, typing_only: bool) -> str | None:
    """Return what is wrong with an import from one module of the package to another, or None."""
    here, there = floor_of(module), floor_of(target)
    if here is None or there is None:
        return f"{module} or {target} has no floor"
    if there > here:
        return f"{module} (floor {here}) imports {target} (floor {there}): imports go down only"
    if there < here:
        return None
    if unit_of(module) == unit_of(target):
        return family_objection(module, target)
    if here not in PARTS_MAY_MEET and {unit_of(module), unit_of(target)} != {"__init__", "__main__"}:
        return f"{module} imports its sibling {target}"
    places = [place for unit in (module, target) for place, units in enumerate(ORDER_ON_FLOOR_1) if unit in units]
    if len(places) == len((module, target)) and places[1] >= places[0] and not typing_only:
        return f"{module} imports {target}, which stands beside or above it on floor 1"
    return None


def family_objection(module: str, target: str) -> str | None:
    """Return what is wrong with an import inside one sub-package, or None."""
    name, other = module.rpartition(".")[2], target.rpartition(".")[2]
    lone = unit_of(module) in FLAT and "." in module and "." in target
    if lone and not name.startswith("_") and not other.startswith("_"):
        return f"{module} imports {target}: families share underscored modules only"
    return None


def clock_readings(tree: ast.AST) -> list[str]:
    """Return what could read a clock: the module ``time``, and ``now``, ``utcnow`` or ``today`` of anything."""
    found = [item.name for item in imports_of(tree, "") if item.name.split(".")[0] == "time"]
    return found + [
        f"{node.attr} in line {node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_ATTRIBUTES
    ]


def oversize(tree: ast.AST) -> list[str]:
    """Return each function, methods and nested ones included, that is too long or takes too much."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            given = [item.arg for item in ast.walk(node.args) if isinstance(item, ast.arg)]
            taken = len(given) - (given[:1] in (["self"], ["cls"]))
            if lines > MAX_FUNCTION or taken > MAX_PARAMETERS:
                found.append(f"{node.name} in line {node.lineno}: {lines} lines, {taken} parameters")
    return found


def is_pure(module: str) -> bool:
    """Tell whether a module belongs to the core, which knows no I/O."""
    return module not in EDGES and (floor_of(module) in PURE_FLOORS or unit_of(module) in PURE_PACKAGES)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module: str) -> None:
    """A module is placed on a floor before it is merged."""
    assert floor_of(module) is not None, f"give {unit_of(module)} its floor in FLOORS"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    """A module imports from floors below its own, and siblings do not import each other."""
    found = [objection(module, target, typing_only=item.typing_only) for target, item in neighbours(module)]
    assert [text for text in found if text] == []


def test_no_circle_while_loading() -> None:
    """The modules can be loaded in one order, whichever is asked for first."""
    below = {m: {target for target, item in neighbours(m) if item.at_load and not item.typing_only} for m in MODULES}
    graph = {m: {target for target in targets if target not in {m, "__init__"}} for m, targets in below.items()}
    order = list(TopologicalSorter(graph).static_order())
    assert set(order) == set(MODULES)


@pytest.mark.parametrize("module", [m for m in MODULES if is_pure(m)])
def test_the_core_knows_no_io(module: str) -> None:
    """Floors 0 to 3 and the interpreters import nothing that reaches a socket, a thread, a log or another program."""
    found = {item.name.split(".")[0] for item in imports_of(TREES[module], module)}
    assert found & OUTSIDE == THREADS.get(module, frozenset())


@pytest.mark.parametrize("module", [m for m in MODULES if is_pure(m) and floor_of(m) != CLOCK_FLOOR])
def test_the_core_reads_no_clock(module: str) -> None:
    """Time is evidence: it comes in as a value."""
    assert clock_readings(TREES[module]) == []


def test_the_verifier_reads_the_clock_in_one_place() -> None:
    """Where no time was given the verifier reads the clock, once."""
    found = [place for module in MODULES if floor_of(module) == CLOCK_FLOOR for place in clock_readings(TREES[module])]
    assert len(found) == 1, found


def test_no_edge_hands_a_time_to_the_verifier() -> None:
    """RULES 31: a time that came with a request is an attacker's clock, so edges let the verifier read its own."""
    edges = {"forwarded", "integrations", "oauth", "tenants", "tls"}
    calls = [
        (module, node.lineno, node.func.attr)
        for module in MODULES
        if unit_of(module) in edges
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in {"decide", "judgement", "verify"} and any(key.arg == "at" for key in node.keywords)
    ]
    assert calls == []
    asked = [module for module in MODULES if unit_of(module) == "tls" and ".judgement(" in ast.unparse(TREES[module])]
    assert asked, "the edges ask by another name than those above"


@pytest.mark.parametrize("module", MODULES)
def test_everything_stays_small(module: str) -> None:
    """A file has at most 300 lines, a function at most 40 lines and six parameters."""
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MAX_FILE
    assert [text for text in oversize(TREES[module]) if (module, text.split()[0]) not in VALUES] == []


def test_the_tree_is_the_one_meant() -> None:
    """The rules above were held against the real tree and not against an empty folder."""
    assert {"_codes", "_text", "_version", "errors"} <= MODULES.keys()


@pytest.mark.parametrize(
    ("module", "target", "wanted"),
    [
        ("errors", "_verifier", "go down only"),
        ("tls._latch", "revocation", "sibling"),
        ("tls._latch", "tls._hook", None),
        ("policies.names", "policies.pins", "underscored"),
        ("policies.names", "policies._lists", None),
        ("_path", "_policy", None),
        ("_path", "_evidence", "beside or above"),
        ("_trust", "_chain", "beside or above"),
        ("_evidence", "_path", None),
        ("_trust_files", "_certificate", None),
        ("_surprise", "errors", "no floor"),
        ("cli.demo", "__init__", "go down only"),
    ],
)
def test_the_rule_of_imports_sees_what_it_should(module: str, target: str, wanted: str | None) -> None:
    """The rule objects to what the picture forbids and to nothing else."""
    found = objection(module, target, typing_only=False)
    assert found is None if wanted is None else wanted in (found or "")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import ssl as s", [("ssl", False, True)]),
        ("from urllib.parse import urlsplit", [("urllib.parse", False, True)]),
        ("def f():\n    import socket", [("socket", False, False)]),
        ("if TYPE_CHECKING:\n    import http", [("http", True, True)]),
        ("importlib.import_module('asyncio')", [("asyncio", False, True)]),
        ("from mtlspolicy import errors", [("mtlspolicy.errors", False, True)]),
        ("from mtlspolicy import Policy", [("mtlspolicy", False, True)]),
        ("from .errors import E", [("mtlspolicy.errors", False, True)]),
    ],
)
def test_every_kind_of_import_is_seen(text: str, wanted: list[tuple[str, bool, bool]]) -> None:
    """No way to write an import escapes the rules."""
    assert imports_of(ast.parse(text), "_policy") == [Import(*item) for item in wanted]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("import time", True),
        ("from time import monotonic", True),
        ("from datetime import datetime as d\nd.now()", True),
        ("clock = datetime.utcnow", True),
        ("date.today()", True),
        ("from datetime import time, timedelta", False),
    ],
)
def test_every_clock_is_seen(text: str, *, seen: bool) -> None:
    """No usual way to read the clock escapes the rule."""
    assert bool(clock_readings(ast.parse(text))) is seen

"""Reads the index of tenants: JSON, TOML or YAML into names of files, or an error. It opens none of the files.

The layout is that of The Things Stack: ``common: [file, ...]`` and ``tenants: {name: [file, ...]}``.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn, cast

from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tenants._names import COMMON, file_fault, tenant_fault, twins

INDEX_NAMES: Final = ("index.json", "index.toml", "index.yml")
MOST_INDEX: Final = 16 * 1024 * 1024
"""Bytes of an index."""
MOST_TENANTS: Final = 100_000
MOST_FILES: Final = 64
"""Files of one tenant, and common ones."""
_STRING: Final = re.compile(r'"(?:[^"\\\n]++|\\.)*+"?|\'[^\'\n]*+\'?')
_DEEP_KEY: Final = re.compile(r"(?<![A-Za-z0-9_-])(?:[A-Za-z0-9_-]++[ \t]*+\.[ \t]*+){8}")
"""More parts of a key than an index has. tomllib takes the square of their number: ten seconds for forty kilobytes."""


class Index(NamedTuple):
    """What an index says.

    Attributes:
        common: Names of files under ``common/``.
        tenants: Names of files under ``tenants/<tenant>/``, by tenant.
        faults: By tenant, what is wrong with an entry; that tenant is refused and the others are not.
    """

    common: tuple[str, ...]
    tenants: Mapping[str, tuple[str, ...]]
    faults: Mapping[str, str]


def index_error(name: str, problem: str) -> ConfigurationError:
    """Return the error for an index called *name*."""
    return ConfigurationError(f"index of tenants {quoted(name, 200)}: {problem}", code="tenant.index")


def read_index(data: bytes, name: str) -> Index:
    """Return what the index *data* (UTF-8) says; the end of *name* tells the format.

    Raises:
        ConfigurationError: Another format, a key that is unknown or there twice, a name of a tenant that is none, two
            that differ by case or normal form alone, or a value of the wrong type.
        Unreadable: YAML without PyYAML.
    """
    form = name.rpartition(".")[2]
    if len(data) > MOST_INDEX:
        raise index_error(name, f"more than {MOST_INDEX} bytes")
    try:
        text = data.decode("utf-8")
        if form == "json":
            value = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        elif form == "toml":
            if '"""' in text or "'''" in text or _DEEP_KEY.search(_STRING.sub("_", text)):
                raise index_error(name, "a string of several lines, or a key of more than eight parts")
            value = tomllib.loads(text)
        elif form in {"yml", "yaml"}:
            from mtlspolicy.tenants._index_yaml import read_yaml

            value = read_yaml(text)
        else:
            raise index_error(name, f"the name does not end in .json, .toml or .yml; take one of {INDEX_NAMES}")
    except RecursionError:
        raise index_error(name, "it is nested too deeply") from None
    except ValueError as error:  # of all three parsers, of the decoder, and our own
        if isinstance(error, ConfigurationError) and error.code == "tenant.index":
            raise
        raise index_error(name, str(error)) from None
    return index_of(value, name)


def index_of(value: object, name: str) -> Index:
    """Return the index that the plain *value* is, called *name* in messages; raise as `read_index` does."""
    whole = _mapping(value, name, "the index")
    unknown = sorted(set(whole) - {COMMON, "tenants"})
    if unknown:
        raise index_error(name, f"unknown key {quoted(unknown[0], 100)}; there are 'common' and 'tenants'")
    common = _files(whole.get(COMMON, ()), name, COMMON)
    fault = _fault(common)
    if fault is not None:
        raise index_error(name, f"common: {fault}")
    listed = _mapping(whole.get("tenants", {}), name, "'tenants'")
    if len(listed) > MOST_TENANTS:
        raise index_error(name, f"{len(listed)} tenants; at most {MOST_TENANTS}")
    alike = twins(listed)
    if alike is not None:
        raise index_error(
            name, f"the tenants {quoted(alike[0], 100)} and {quoted(alike[1], 100)} differ by case or normal form alone"
        )
    faults: dict[str, str] = {}
    tenants: dict[str, tuple[str, ...]] = {}
    for tenant, entries in listed.items():
        fault = tenant_fault(tenant)
        if fault is not None:
            raise index_error(name, fault)
        tenants[tenant] = _files(entries, name, f"tenant {quoted(tenant)}")
        fault = _fault(tenants[tenant])
        if fault is not None:
            faults[tenant] = f"its entry {fault}"
    return Index(common, tenants, faults)


def _fault(entries: tuple[str, ...]) -> str | None:
    for entry in entries:
        fault = file_fault(entry)
        if fault is not None:
            return fault
    alike = twins(entries)
    if alike is not None:
        return f"{quoted(alike[0], 100)} is there again as {quoted(alike[1], 100)}"
    return None


def _mapping(value: object, name: str, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise index_error(name, f"{what} is {type(value).__name__}, not a table of names")
    for key in cast("Mapping[object, Any]", value):
        if not isinstance(key, str):
            raise index_error(name, f"{what} has a key that is {type(key).__name__}, not text")
    return cast("Mapping[str, Any]", value)


def _files(value: object, name: str, what: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise index_error(name, f"{what} is {type(value).__name__}, not a list of file names; no file is []")
    entries = tuple(cast("list[object] | tuple[object, ...]", value))
    if len(entries) > MOST_FILES:
        raise index_error(name, f"{what} has {len(entries)} files; at most {MOST_FILES}")
    for entry in entries:
        if not isinstance(entry, str):
            raise index_error(name, f"{what} lists {type(entry).__name__}, not a file name")
    return cast("tuple[str, ...]", entries)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of *pairs*: JSON lets a key be there twice (RFC 8259, section 4), and this does not."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {quoted(key, 100)} is there twice")
        found[key] = value
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")

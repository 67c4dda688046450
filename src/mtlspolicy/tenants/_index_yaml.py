"""Reads YAML as far as an index needs it: mappings, lists and text as written. It constructs no object of any kind.

It works on the parser's events, so that an alias, an anchor or a tag is refused where it stands, before anything grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

from mtlspolicy._text import quoted
from mtlspolicy.tenants._reader import Unreadable

_DEEPEST: Final = 3
"""Index, table of tenants, list of files."""


def read_yaml(text: str) -> object:
    """Return the one document in *text* as dictionaries, lists and text; an empty plain scalar is ``None``.

    Every scalar is the text that is written: a tenant called ``no`` or ``123`` is neither false nor a number.

    Raises:
        Unreadable: PyYAML is not installed.
        ValueError: No YAML, no or a second document, an anchor, alias, tag or key of another kind, a key that is there
            twice, or more levels than an index has.
    """
    try:
        yaml: Any = import_module("yaml")
    except ImportError:
        raise Unreadable(
            "cannot be read without PyYAML: pip install 'mtlspolicy[yaml]', or write index.toml or index.json"
        ) from None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events: Iterator[Any] = iter(yaml.parse(text, Loader=loader))
        documents = [_value(events, event, 1) for event in events if not _is_frame(event)]
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    if len(documents) != 1:
        raise ValueError(f"{len(documents)} documents where one belongs")
    return documents[0]


def _is_frame(event: Any) -> bool:
    return type(event).__name__ in {"StreamStartEvent", "StreamEndEvent", "DocumentStartEvent", "DocumentEndEvent"}


def _value(events: Iterator[Any], event: Any, depth: int) -> object:
    kind = type(event).__name__
    line = event.start_mark.line + 1
    if kind == "AliasEvent" or event.anchor is not None or event.tag is not None:
        raise ValueError(f"line {line}: anchors, aliases and tags have no place in an index")
    if kind == "ScalarEvent":
        value: str = event.value
        return None if not value and event.implicit[0] else value
    if depth > _DEEPEST:
        raise ValueError(f"line {line}: it is nested too deeply")
    if kind == "SequenceStartEvent":
        items: list[object] = []
        while type(item := next(events)).__name__ != "SequenceEndEvent":
            items.append(_value(events, item, depth + 1))
        return items
    return _table(events, depth)


def _table(events: Iterator[Any], depth: int) -> dict[str, object]:
    found: dict[str, object] = {}
    while type(event := next(events)).__name__ != "MappingEndEvent":
        line = event.start_mark.line + 1
        if type(event).__name__ not in {"ScalarEvent", "AliasEvent"}:
            raise ValueError(f"line {line}: a key is a list or a table")
        key = _value(events, event, depth)
        if not isinstance(key, str):
            raise ValueError(f"line {line}: a key is empty")  # noqa: TRY004 - of the document, not of an argument
        if key in found:
            raise ValueError(f"line {line}: the key {quoted(key, 100)} is there twice")
        found[key] = _value(events, next(events), depth + 1)
    return found

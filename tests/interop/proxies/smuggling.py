"""What a client writes to be taken for somebody else: every way in which a header can be there and not look like it.

Each attack forges all headers of the proxy at once, as the proxy itself wrote them for another client: certificates are
public, so an attacker has that of whom he wants to be. And each forges one of them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

Fields = list[tuple[str, str]]

SPELLINGS: Final[dict[str, Callable[[str], str]]] = {
    "plain": lambda name: name,
    "upper_case": str.upper,
    "mixed_case": lambda name: "".join(c.upper() if at % 2 else c for at, c in enumerate(name)),
    "underscore_alias": lambda name: name.replace("-", "_"),
    "one_underscore_alias": lambda name: name.replace("-", "_", 1),
    "dot_alias": lambda name: name.replace("-", "."),
    "doubled_hyphen": lambda name: f"{name}-",
}


def attacks(genuine: Fields, *, each: bool = True) -> Iterator[tuple[str, Fields]]:
    """Yield a name and the header fields of each attack.

    Args:
        genuine: Names and values that the proxy has written for somebody else.
        each: Whether each of them is forged alone, too.
    """
    parts = [genuine, *([one] for one in genuine)] if each and len(genuine) > 1 else [genuine]
    for part in parts:
        which = "all" if part is genuine else part[0][0]
        for how, spell in SPELLINGS.items():
            forged = [(spell(name), value) for name, value in part]
            yield f"{how} of {which}", forged
        yield f"two copies of {which}", [*part, *part]
        yield f"an empty copy and {which}", [(part[0][0], ""), *part]
        yield f"alias and {which}", [*((SPELLINGS["underscore_alias"](n), v) for n, v in part), *part]
        names = ", ".join(name for name, _ in part)
        if part is genuine:
            yield from _all_but_one(genuine)
        for value in (names, f"close, {names}", f"keep-alive, {names.upper()}"):
            yield f"Connection: {value}", [("Connection", value)]
            yield f"Connection: {value}, and forged", [("Connection", value), *part]
        yield f"two Connection for {which}", [("Connection", "keep-alive"), ("Connection", names)]


def _all_but_one(genuine: Fields) -> Iterator[tuple[str, Fields]]:
    """Yield requests that have all headers removed but one, such as that which says that they were there."""
    for kept, _ in genuine[: len(genuine) if len(genuine) > 1 else 0]:
        names = ", ".join(name for name, _ in genuine if name != kept)
        yield f"Connection: all but {kept}", [("Connection", names)]


def raw_requests(genuine: Fields) -> Iterator[tuple[str, bytes]]:
    """Yield requests that curl does not write: trailers, spaces before the colon, folded lines, HTTP/1.0."""
    start = b"Host: localhost\r\nConnection: close\r\n"
    lines = [f"{name}: {value}".encode("latin-1") for name, value in genuine]
    block = b"".join(line + b"\r\n" for line in lines)
    names = b", ".join(name.encode("ascii") for name, _ in genuine)
    post, body = b"POST / HTTP/1.1\r\n" + start, b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n" + block + b"\r\n"
    yield "trailers", post + b"Trailer: " + names + b"\r\n" + body
    yield "trailers without notice", post + b"TE: trailers\r\n" + body
    get = b"GET / HTTP/1.1\r\n" + start
    yield "space before colon", get + block.replace(b": ", b" : ") + b"\r\n"
    yield "tab before colon", get + block.replace(b": ", b"\t: ") + b"\r\n"
    yield "folded into another", get + b"".join(b"X-Other: 1\r\n " + line + b"\r\n" for line in lines) + b"\r\n"
    yield "folded after the first", get + block + b" folded\r\n\r\n"
    yield "bare line feeds", get + block.replace(b"\r\n", b"\n") + b"\r\n"
    yield "bare carriage return", get + b"X-Other: 1\r" + block + b"\r\n"
    yield "HTTP/1.0", b"GET / HTTP/1.0\r\n" + start + block + b"\r\n"
    yield "behind a line that is none", get + b"no header\r\n" + block + b"\r\n"

"""Escaping of hostile text: names from certificates, SNI, URLs, headers and banners, before they reach a log.

Nothing here decides whether a text is acceptable; it only makes it safe to print.
"""

from __future__ import annotations

LIMIT = 512
"""Longest text, in characters, that a message repeats; the rest is cut and said to be cut."""


def escape(text: str, limit: int = LIMIT) -> str:
    """Return *text* with every character that a terminal or log could obey written as a backslash escape.

    Control (Cc), format (Cf: bidirectional marks, zero width), separator (Zl, Zp, Zs but the space), surrogate, private
    use and unassigned characters are exactly those for which ``str.isprintable`` is false.
    """
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text)} characters)"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in text)


def quoted(text: str, limit: int = LIMIT) -> str:
    """Return *text* escaped and between single quotes, with quotes and backslashes inside it escaped."""
    if len(text) <= limit and text.isprintable() and "'" not in text and "\\" not in text:
        return f"'{text}'"
    more = f"... ({len(text)} characters)" if len(text) > limit else ""
    inner = text[:limit].replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escape(inner, 2 * limit)}'{more}"

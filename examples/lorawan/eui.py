"""A gateway's EUI-64 in each form in which one is written: who a certificate's CN and a request mean, as 64 bits.

It says nothing about who may call himself so. What is none of the forms is refused, whatever it might have meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Self

_PLAIN: Final = re.compile(r"[0-9A-Fa-f]{16}")
_OCTETS: Final = re.compile(r"[0-9A-Fa-f]{2}(?:(?:-[0-9A-Fa-f]{2}){7}|(?::[0-9A-Fa-f]{2}){7})")
_GROUP: Final = re.compile(r"[0-9A-Fa-f]{1,4}")
_PREFIX: Final = re.compile(r"[a-z]{1,16}-(?=.*:)")
"""As in ``muxs-::1``. Eight octets with dashes have no colon, and so no prefix."""
_GROUPS: Final = 4
_LONGEST: Final = 40


@dataclass(frozen=True, slots=True)
class EUI:
    """64 bits; ``str()`` of it is 16 lower-case hex digits.

    Attributes:
        value: The first octet is the most significant one.
    """

    value: int

    @classmethod
    def parse(cls, text: object) -> Self:
        """Return the EUI that *text* writes.

        Args:
            text: ``1111111111111111``, ``11-11-11-11-11-11-11-11``, the same with colons, or an ID6 of LoRa Basics
                Station: four groups of 16 bits without leading zeros, ``::`` once for groups of zeros, and a word with
                a dash before it: ``1111:1111:1111:1111``, ``::1``, ``router-1::a``. Letters in either case.

        Raises:
            ValueError: It is something else.
        """
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise ValueError("no EUI: give 16 hex digits, eight octets with dashes or colons, or an ID6")
        if _PLAIN.fullmatch(text) or _OCTETS.fullmatch(text):
            return cls(int(text.replace("-", "").replace(":", ""), 16))
        return cls(int("".join(group.zfill(4) for group in _id6_groups(text)), 16))

    @property
    def id6(self) -> str:
        """The ID6: groups without leading zeros, and ``::`` for the longest run of at least two groups of zeros."""
        groups = [f"{self.value >> shift & 0xFFFF:x}" for shift in (48, 32, 16, 0)]
        for length in (3, 2):  # 0:0:0:0 is written ::0
            for start in range(_GROUPS + 1 - length):
                end = start + length
                if groups[start:end] == ["0"] * length:
                    return f"{':'.join(groups[:start])}::{':'.join(groups[end:])}"
        return ":".join(groups)

    def __str__(self) -> str:
        return f"{self.value:016x}"


def _id6_groups(text: str) -> list[str]:
    """Return the four groups of an ID6, hex digits."""
    prefix = _PREFIX.match(text)
    before, double, after = text[prefix.end() if prefix else 0 :].partition("::")
    head, tail = (part.split(":") if part else [] for part in (before, after))
    zeros = _GROUPS - len(head) - len(tail)
    if (zeros < 1 if double else zeros != 0) or not all(map(_GROUP.fullmatch, head + tail)):
        raise ValueError("no EUI: an ID6 has four groups of up to four hex digits, or fewer and '::' once")
    return [*head, *["0"] * zeros, *tail]

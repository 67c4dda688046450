"""All targets by name. A new one goes into one of these modules, with the sentence at the head of its docstring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fuzz import dialects, parsers, tokens
from fuzz._material import Target

TARGETS: Final[Mapping[str, Target]] = {**parsers.TARGETS, **dialects.TARGETS, **tokens.TARGETS}

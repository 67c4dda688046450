"""What the trust of tenants is built with: held against what it can mean, once. It reads nothing."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final, Literal, NamedTuple, TypeAlias

from mtlspolicy.errors import ConfigurationError
from mtlspolicy.tenants._generation import Common

Anchors: TypeAlias = Literal["self-signed", "all"]

INTERVAL: Final = 2.0
"""Seconds between two looks at a directory."""
MAX_STALE: Final = timedelta(hours=1)
"""How long the last content counts of an index or common file that cannot be read any more."""


class Options(NamedTuple):
    """Fixed for one `TenantTrust`. ``interval`` and ``max_stale`` are seconds; no interval: look only when told to."""

    common: Common
    interval: float | None
    max_stale: float

    @classmethod
    def of(cls, common: Common, anchors: Anchors, interval: float | None, max_stale: timedelta) -> Options:
        """Return the options; raise `ConfigurationError` for a value that is none of them."""
        if common not in ("fallback", "always"):
            raise ConfigurationError(f"common={common!r}: write 'fallback' or 'always'")
        if anchors not in ("self-signed", "all"):
            raise ConfigurationError(f"anchors={anchors!r}: write 'self-signed' or 'all'")
        if interval is not None:
            if isinstance(interval, bool) or not isinstance(interval, int | float):
                raise ConfigurationError(f"interval={interval!r}: give seconds, or None")
            if not 0 < interval < math.inf:
                raise ConfigurationError(f"interval={interval!r}: give a finite number of seconds above zero, or None")
        if not isinstance(max_stale, timedelta) or max_stale < timedelta(0):
            raise ConfigurationError(f"max_stale={max_stale!r}: give a timedelta of zero or more")
        return cls(common, interval, max_stale.total_seconds())

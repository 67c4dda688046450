"""Writes the line for each refused request on the logger ``mtlspolicy.request``: address, code, reason."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from mtlspolicy.tls._log import Buckets

if TYPE_CHECKING:
    from mtlspolicy.integrations._answers import Refusal

__all__ = ["log_refused"]

LOGGER: Final = logging.getLogger("mtlspolicy.request")
LIMITER: Final = Buckets()
_ANONYMOUS: Final = "a connection without address (a Unix socket)"


def log_refused(error: Refusal, address: str) -> None:
    """Write the line for *error*; what it says is escaped already.

    Args:
        error: The refusal.
        address: Of the socket, not of the client behind it; ``None`` as text where it has none.
    """
    left_out = LIMITER.take(error.code, time.monotonic())
    if left_out is None:
        return
    text = str(error) if str(error).startswith(error.code) else f"{error.code}: {error}"
    more = f" ({left_out} more refused with this code since the last line)" if left_out else ""
    LOGGER.warning(
        "refused a request over %s: %s%s", _ANONYMOUS if address in {"", "None"} else address, text, more,
        extra={"mtlspolicy_code": error.code, "mtlspolicy_address": address},
    )  # fmt: skip

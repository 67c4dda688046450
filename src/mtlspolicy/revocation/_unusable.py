"""Why a CRL or an OCSP response gives no answer, with its code. It never leaves the package: it becomes an answer."""

from __future__ import annotations

__all__ = ["Unusable"]


class Unusable(Exception):
    """A signed statement that gives no answer, and why.

    Attributes:
        code: Reason code.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code

"""What a resource server and a token endpoint answer: RFC 6750, section 3.1, and RFC 6749, section 5.2.

Both carry the decision with its reason; no answer repeats it to the other end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple

from mtlspolicy._codes_outcomes import INVALID_CLIENT, TOKEN_BINDING, Outcome
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy.errors import VerificationError

__all__ = ["Answer", "InvalidClient", "TokenBindingError", "refused"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,31})(?: |$)", re.ASCII)
"""Beginning of an Authorization value; what is echoed of it cannot end a header or a quoted string."""


class TokenBindingError(VerificationError):
    """A token is not the sender's to use.

    Whatever the code, that is 401 with ``WWW-Authenticate: Bearer error="invalid_token"`` (RFC 8705, section 3; RFC
    6750, section 3.1).
    """

    @property
    def _outcome(self) -> Outcome:
        return TOKEN_BINDING


class Answer(NamedTuple):
    """An HTTP response.

    Attributes:
        status: Status code.
        headers: Headers besides the content's own.
        body: Members of the JSON object that is the content.
    """

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, str]


class InvalidClient(VerificationError):
    """The client of a token endpoint is not authenticated (RFC 8705, section 2).

    The answer is the same for every reason: who asks does not learn which clients there are.
    """

    body: ClassVar[Mapping[str, str]] = MappingProxyType({"error": "invalid_client"})
    """Members of the JSON object to answer with."""

    @property
    def _outcome(self) -> Outcome:
        return INVALID_CLIENT

    def answer(self, authorization: str | None = None) -> Answer:
        """Return the token endpoint's response (RFC 6749, section 5.2).

        It is 400: a 401 needs a challenge (RFC 9110, section 15.5.2), and TLS has no authentication scheme.

        Args:
            authorization: Value of the request's Authorization header, if it has one: then the answer must be 401 with
                a challenge of that scheme.
        """
        if authorization is None:
            return Answer(self.http_status, self.http_headers, self.body)
        scheme = _SCHEME.match(authorization)
        challenge = f'{scheme[1] if scheme else "Basic"} realm="token endpoint"'
        return Answer(401, MappingProxyType({**self.http_headers, "WWW-Authenticate": challenge}), self.body)


def refused(code: str, detail: str, *, clause: str, verdict: Verdict = Verdict.DENY) -> Decision:
    """Return the decision that refuses for the reason *code*; *clause* says whose it is."""
    return Decision(verdict, code, detail, clause=clause)

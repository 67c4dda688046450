"""The peer that a test has put in the place of a client's, see `integrations.testing`; nothing else makes one.

The middlewares take it for what a connection or a proxy says, and ask it what they would ask an admitted peer.
"""

from __future__ import annotations

from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._peer import VerifiedPeer
from mtlspolicy.errors import NoPeerCertificate
from mtlspolicy.integrations._admission import Admission
from mtlspolicy.integrations._immediate import Accepted
from mtlspolicy.integrations._options import Settings

__all__ = ["StandIn", "accepted_of"]


class StandIn(Accepted):
    """A connection that there is not, and its peer.

    Args:
        who: The peer; ``None``: a client without a certificate.
    """

    __slots__ = ("who",)

    def __init__(self, who: VerifiedPeer | None) -> None:
        super().__init__(None)
        self.who: VerifiedPeer | None = who

    def admission(self, settings: Settings) -> Admission:
        """Return who is admitted by a middleware with *settings*.

        Raises:
            VerificationError: Nobody: a certificate is required, or its further policy does not permit.
        """
        if self.who is None:
            if settings.required:
                detail = "this needs a client certificate, and the test gave none"
                raise NoPeerCertificate(Decision(Verdict.DENY, "path.no-certificate", detail, clause="peer"))
            return Admission(None, None)
        if settings.policy is not None:
            self.who.require(settings.policy)
        return Admission(self.who, self.who.presented)


def accepted_of(found: object) -> Accepted | None:
    """Return what an edge of ours, or a test, put into a scope or environ; anything else is not heeded."""
    return found if type(found) is Accepted or type(found) is StandIn else None

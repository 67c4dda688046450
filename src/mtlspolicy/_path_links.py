"""Whether the certificates of a candidate path signed one another, from the anchor down, each pair verified once.

From the anchor down a key that the peer made is used only if a trusted CA certified it: so junk that a peer presents
costs verifications with keys that were chosen by somebody else. It can only refuse; the path engine verifies again.
"""

from __future__ import annotations

from itertools import pairwise

from mtlspolicy._certificate import issued_by
from mtlspolicy._path_rules import Refusal
from mtlspolicy._path_search import Candidate


class Links:
    """Signatures that were verified for one presented chain.

    Attributes:
        verified: DER of a certificate and of its supposed issuer, and whether the signature verified.
    """

    __slots__ = ("verified",)

    def __init__(self) -> None:
        self.verified: dict[tuple[bytes, bytes], bool] = {}

    def refusal(self, candidate: Candidate) -> Refusal | None:
        """Return which signature of *candidate* does not verify, the one nearest to the anchor first, or ``None``."""
        for below, above in reversed(tuple(pairwise(candidate))):
            pair = below.der, above.der
            signed = self.verified.get(pair)
            if signed is None:
                signed = self.verified[pair] = issued_by(below, above)
            if not signed:
                return Refusal(
                    "path.signature",
                    f"the signature of {below} does not verify with the key of {above}: another CA of the same name, "
                    "or an algorithm that is not accepted",
                )
        return None

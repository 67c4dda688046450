"""The PKI of the targets, new in each run, and the sentence that all of them hold. Nothing here is fuzzed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509

from mtlspolicy import MTLSPolicyError, TrustStore, Verifier, policies
from mtlspolicy._chain import ChainInput
from mtlspolicy.testing import CertificateAuthority

AT: Final = datetime.now(UTC).replace(microsecond=0)
LIFE: Final[dict[str, Any]] = {"not_before": AT - timedelta(days=1), "not_after": AT + timedelta(days=30)}
ROOT: Final = CertificateAuthority("Root", **LIFE)
ISSUING: Final = ROOT.intermediate("Issuing CA", **LIFE)
FRODO: Final = ISSUING.issue_client("frodo", uris=["spiffe://a/frodo"], dns=["frodo.test"], **LIFE)
SAM: Final = ISSUING.issue_client("sam", **LIFE)
STRANGER: Final = CertificateAuthority("Issuing CA", **LIFE).issue_client("frodo", **LIFE)
"""Of a CA that nobody trusts, under names that somebody trusts."""
ISSUED: Final = frozenset(one.certificate.tbs_certificate_bytes for one in (FRODO, SAM))
"""All that the trusted CA has signed for clients: nothing else may ever be admitted. The signature itself is left out,
because whoever has a certificate can write its ECDSA signature in another way that verifies."""
VERIFIER: Final = Verifier.for_clients(
    trust=TrustStore(anchors=[ROOT.certificate, ISSUING.certificate]), policy=policies.CommonName.matching("[a-z]+")
)
_VARIABLE: Final = re.compile(r"""['"].*|[0-9]+""", re.DOTALL)


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        run: Takes any bytes; returns what came of them in few words, and raises where the sentence in its docstring
            does not hold. The words are equal for inputs that took the same way, as far as the message shows.
        seeds: Inputs to begin with; the first is read as a value.
        tokens: Pieces that mean something in this format.
    """

    run: Callable[[bytes], str]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()


VALUE: Final = "value"
"""What a target returns for bytes that it could read."""


def told(error: BaseException) -> str:
    """Return what *error* says, without what differs from input to input."""
    code = getattr(error, "code", "")
    return f"{type(error).__name__} {code} {_VARIABLE.sub('', str(error))[:40]}"


def outcome(read: Callable[[], object], errors: type[Exception] = MTLSPolicyError) -> str:
    """Return ``VALUE``, or which of our *errors* was raised; there is one outside the tree."""
    try:
        read()
    except errors as error:
        return told(error)
    return VALUE


def require(holds: object, sentence: str) -> None:
    """Return if the property holds.

    Raises:
        AssertionError: It does not. (The statement ``assert`` would be gone under ``python -O``.)
    """
    if not holds:
        raise AssertionError(sentence)


def require_issued(chain: ChainInput, der: bytes) -> str:
    """Return what the verifier says of *chain*, whose end entity is *der*; admitted is only what the CA has issued."""
    decision = VERIFIER.decide(chain, at=AT)
    if not decision:
        return decision.code
    signed = x509.load_der_x509_certificate(der).tbs_certificate_bytes
    require(signed in ISSUED, "admitted: a certificate that the CA has never issued")
    return VALUE

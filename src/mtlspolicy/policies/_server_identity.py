"""ServerIdentity: the server is one of those that were meant (RFC 9525). Verifiers of servers ask it before any policy.

What a client is called is another question, without wildcards: see `_dns_name`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, cast

from mtlspolicy._constraints import common_name_objection, name_objection
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Evidence
from mtlspolicy._path_value import CertificationPath
from mtlspolicy._policy import Policy
from mtlspolicy._reference import Match, ReferenceIdentifier
from mtlspolicy._text import quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence

__all__ = ["ServerIdentity"]

_DIALED = ReferenceIdentifier.DIALED
_SHOWN = 4


@dataclass(frozen=True, slots=True, init=False, repr=False)
class ServerIdentity(Policy):
    """The certificate names one of the expected servers, by the rules of RFC 9525, section 6.

    Args:
        references: Whom the caller means; ``ReferenceIdentifier.DIALED`` is the name that the connection was opened to.
        allow_unconstrained: Whether a CA that has name constraints may vouch for a name of a type that none speaks of.

    Raises:
        ConfigurationError: No reference, or something else than references.
    """

    references: tuple[ReferenceIdentifier, ...]
    allow_unconstrained: bool
    identifies: ClassVar[bool] = True

    def __init__(self, references: Iterable[ReferenceIdentifier], *, allow_unconstrained: bool = False) -> None:
        found = tuple(dict.fromkeys(references))
        if not found or not all(isinstance(one, ReferenceIdentifier) for one in cast("tuple[object, ...]", found)):
            raise ConfigurationError(
                "ServerIdentity takes at least one ReferenceIdentifier: the name of the server that is meant"
            )
        object.__setattr__(self, "references", found)
        object.__setattr__(self, "allow_unconstrained", allow_unconstrained)

    @property
    def _reads_path_only(self) -> bool:  # type: ignore[override]  # the dialed name is the connection's
        return _DIALED not in self.references

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return whether one of the references matches a name of the end entity that its CAs may vouch for."""
        answers: list[Match] = []
        for reference in self.references:
            answer = self._answer(reference, evidence)
            if answer[0] is Verdict.PERMIT:
                return self.permit("identity.match", answer[2])
            answers.append(answer)
        for verdict, code, detail in answers:
            if verdict is Verdict.INDETERMINATE:
                return self.indeterminate(code, detail)
        return self.deny("identity.mismatch", "; ".join(detail for _, _, detail in answers[:_SHOWN]))

    def _answer(self, reference: ReferenceIdentifier, evidence: Evidence) -> Match:
        try:
            meant = _dialed(evidence.dialed) if reference == _DIALED else reference
            match = meant.match(evidence.path.end_entity.names)
        except ConfigurationError as error:
            return Verdict.INDETERMINATE, "identity.unknown", f"the dialed name is no reference identifier: {error}"
        except MalformedEvidence as error:
            return Verdict.INDETERMINATE, "name.unreadable", str(error)
        objection = self._objection(meant, evidence.path) if match[0] is Verdict.PERMIT else None
        return match if objection is None else (Verdict.INDETERMINATE, "name.constrained", objection)

    def _objection(self, reference: ReferenceIdentifier, path: CertificationPath) -> str | None:
        if reference.kind == "common-name":
            return common_name_objection(path, reference.value, allow_unconstrained=self.allow_unconstrained)
        return name_objection(path, reference.kind, (reference.value,), allow_unconstrained=self.allow_unconstrained)

    def __repr__(self) -> str:
        shown = ", ".join("dialed" if one == _DIALED else quoted(one.value, 80) for one in self.references[:_SHOWN])
        more = f" and {len(self.references) - _SHOWN} more" if len(self.references) > _SHOWN else ""
        return f"{type(self).__name__}({shown}{more}{', allow_unconstrained=True' if self.allow_unconstrained else ''})"


def _dialed(text: str | None) -> ReferenceIdentifier:
    """Return the reference for the name that was dialed: a final dot and the zone of an address are no part of it.

    Raises:
        ConfigurationError: *text* is no name of a server.
    """
    if text is None:
        return _DIALED
    if ":" in text and "://" not in text:
        text = text.partition("%")[0] + ("]" if text.startswith("[") and "%" in text else "")
    return ReferenceIdentifier.parse(text.removesuffix("."))

"""Anyone: says in so many words that every peer with a valid path is meant. It asks nothing and identifies nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mtlspolicy._decision import Decision
from mtlspolicy._evidence import Evidence
from mtlspolicy._policy import Policy

__all__ = ["Anyone"]


@dataclass(frozen=True, slots=True)
class Anyone(Policy):
    """Permits every peer whose path is valid: the trust store alone decides. For private CAs, never for public ones."""

    _reads_path_only: ClassVar[bool] = True

    def evaluate(self, evidence: Evidence) -> Decision:
        """Return PERMIT."""
        return self.permit("policy.anyone", str(evidence.path.end_entity))

"""What is said of a trust store beside its content, and a source's refusal to give one. Nothing here changes an answer.

A store that belongs to a generation of something reloaded is a copy that shares the content, its digest and its memos.
"""

from __future__ import annotations

from mtlspolicy._decision import Verdict
from mtlspolicy._trust import Elsewhere, TrustStore
from mtlspolicy.errors import ConfigurationError


class TrustRefused(ConfigurationError):
    """A source has no store to decide under, for a reason of the table of decisions' codes.

    Args:
        message: Sentence for people; hostile characters in it are escaped.
        code: Reason code of the decision that comes of it.
        verdict: DENY or INDETERMINATE.
        generation: As in `stated`.
    """

    def __init__(self, message: str, *, code: str, verdict: Verdict, generation: str = "") -> None:
        super().__init__(message, code=code)
        self.verdict: Verdict = Verdict.INDETERMINATE if verdict is Verdict.PERMIT else verdict
        self.generation: str = generation


def stated(
    store: TrustStore, *, generation: str, remarks: tuple[str, ...] = (), elsewhere: Elsewhere | None = None
) -> TrustStore:
    """Return *store*, equal in content, with what decisions under it are to record.

    Args:
        store: Shared with the copy: certificates, and the forms of them that were made for validation.
        generation: Number, time and content digest of the state that the store was taken from.
        remarks: Sentences for the notes of each decision.
        elsewhere: Asked for a better reason where a peer has no path.
    """
    store.digest  # noqa: B018 - made once, and not by every copy
    copy: TrustStore = object.__new__(TrustStore)
    copy.__dict__.update(store.__dict__)
    copy.__dict__.update(generation=generation, remarks=remarks, elsewhere=elsewhere, notes_memo={})
    return copy

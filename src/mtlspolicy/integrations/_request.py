"""The steps of one request through a source and a verifier: what is read, what is asked, who is admitted.

They wait for nothing: `_course` puts them together for servers that await, WSGI does for threads. Nothing is kept for
the next request.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mtlspolicy import tls
from mtlspolicy._decision import Decision, Verdict
from mtlspolicy._evidence import Connection
from mtlspolicy._verifier import Verifier
from mtlspolicy.errors import (
    ConfigurationError,
    MalformedEvidence,
    NoPeerCertificate,
    PolicyDenied,
    VerificationError,
)
from mtlspolicy.forwarded._gate import ImmediatePeer
from mtlspolicy.forwarded._headers import _LONGEST, _remembered, canonical
from mtlspolicy.integrations._admission import Admission, undecided
from mtlspolicy.integrations._immediate import Accepted
from mtlspolicy.integrations._options import require_for_clients
from mtlspolicy.tls._address import ip_address_of

if TYPE_CHECKING:
    from mtlspolicy._chain import PresentedChain
    from mtlspolicy._judgement import Judgement, Outcome
    from mtlspolicy.forwarded._headers import HeaderPairs, JoinedHeaders
    from mtlspolicy.forwarded._source import ForwardedSource, Request
    from mtlspolicy.integrations._immediate import Shown
    from mtlspolicy.integrations._options import Settings

__all__ = [
    "admission_by",
    "admitted",
    "connection_of",
    "read",
    "require_accepted",
    "require_no_doubt",
    "selected",
    "stated_peer",
    "without",
    "without_certificate",
]

_REWRITING: Final = frozenset(
    {
        *(
            "x-forwarded-for",
            "forwarded",
            "x-real-ip",
            "x-client-ip",
            "x-cluster-client-ip",
            "x-original-forwarded-for",
        ),
        *("true-client-ip", "cf-connecting-ip", "fastly-client-ip", "x-forwarded"),
    }
)
"""Headers of which servers and middlewares make the address of the client."""
Text = TypeVar("Text", str, bytes)
_REMEDY: Final = (
    "serve with integrations.uvicorn or integrations.hypercorn, for ASGI under gunicorn with integrations.gunicorn."
    "UvicornWorker, with Werkzeug's server by request_handler=integrations.werkzeug.RequestHandler, all of which read "
    "the socket; or say address_is_transport=True where nothing between the socket and this middleware "
    "rewrites the address (uvicorn: proxy_headers=False, on the command line --no-proxy-headers; no ProxyFix)"
)


def plain_names(headers: Iterable[tuple[str | bytes, Any]]) -> list[str]:
    """Return the names of *headers* as a careless reader may take them, see `canonical`; usual ones are remembered."""
    return [_remembered(name) if len(name) <= _LONGEST else canonical(name) for name, _ in headers]


def without(names: frozenset[str], headers: Iterable[tuple[Text, Text]]) -> list[tuple[Text, Text]]:
    """Return *headers* without *names* in any spelling; as `ForwardedSource.without_ours`, for each request."""
    fields = list(headers)
    return [field for field, name in zip(fields, plain_names(fields), strict=True) if name not in names]


def read(
    source: ForwardedSource, headers: HeaderPairs | JoinedHeaders, peer: ImmediatePeer, http_version: str | None
) -> Request:
    """Return what the proxy forwards of the client.

    Raises:
        MalformedEvidence: As `ForwardedSource.read`; also words in place of a certificate, and early data.
        VerificationError: As `ForwardedSource.read`.
    """
    found = source.request(headers, peer=peer, http_version=http_version)
    if found.claims is not None:
        raise MalformedEvidence(
            "the proxy forwards words about a certificate and not the certificate, and nobody is admitted on words",
            code="forwarded.text-only",
        )
    if found.chain is not None and "early-data" in plain_names(headers):
        # RFC 8470, 5.1: the request came before the handshake was over, and whoever recorded it can send it again;
        # 5.2 has no other valid value than 1, and what is not valid counts as 1
        raise MalformedEvidence("sent as early data, which proves no possession of a key", code="forwarded.early-data")
    return found


def connection_of(peer: ImmediatePeer, found: Request) -> Connection:
    """Return what policies are told of the connection that a request was forwarded on."""
    return Connection(transport_address=peer.address, client_address=found.client_address)


def admitted(judgement: Judgement, outcome: Outcome, settings: Settings) -> Admission:
    """Return who was admitted by *outcome*, the last one of *judgement*.

    Raises:
        VerificationError: Nobody.
    """
    judgement.conclude(outcome)
    if outcome.peer is None:
        raise outcome.error()
    if settings.policy is not None:
        outcome.peer.require(settings.policy)
    return Admission(outcome.peer, judgement.presented)


def without_certificate(chain: PresentedChain | None, settings: Settings) -> Admission | None:
    """Return the admission of a request that has no certificate where none is required; else ``None``."""
    return Admission(None, None) if chain is None and not settings.required else None


def selected(found: object) -> Verifier:
    """Return what ``select`` has returned, or raised.

    Raises:
        VerificationError: Its own, or that it gave no verifier for clients.
    """
    if isinstance(found, VerificationError):
        raise found
    if isinstance(found, Exception):
        detail = f"select= failed for this request: {type(found).__name__}"
        raise undecided("policy.error", detail, clause="select") from found
    try:
        return require_for_clients(found)
    except ConfigurationError as error:
        raise undecided("policy.bad-result", f"select= returned {error}", clause="select") from None


def stated_peer(address: object, port: object, headers: Iterable[tuple[Any, Any]], *, believed: bool) -> ImmediatePeer:
    """Return the other end by the word of a server that no integration of ours serves.

    Args:
        address: What the server gives as the client's address.
        port: And port.
        headers: All header fields of the request.
        believed: Whether the caller has said that this is the socket's address.

    Raises:
        ConfigurationError: Nobody has said so.
        VerificationError: Somebody has made it of a header all the same, ``forwarded.untrusted-proxy``.
    """
    if not believed:
        raise ConfigurationError(f"the address of the socket is not to be had from this server: {_REMEDY}")
    found = ip_address_of((address, port))
    fields = list(headers)
    texts = [_text(value) for (_, value), name in zip(fields, plain_names(fields), strict=True) if name in _REWRITING]
    # A rewritten address has port 0 with most, and whatever the header says with some; it always stands in the header.
    if texts and (not port or found is None or any(found in text for text in texts)):
        detail = f"the client's address was made of a header although address_is_transport=True: {_REMEDY}"
        raise PolicyDenied(Decision(Verdict.DENY, "forwarded.untrusted-proxy", detail, clause="forwarded"))
    return ImmediatePeer(address=found)


def require_no_doubt(source: ForwardedSource, headers: Iterable[tuple[Any, Any]], http_version: object) -> None:
    """Return if what is there under the names of the proxy was written by the proxy, as far as a request shows.

    For servers that none of our integrations serves. uvicorn's own httptools protocol appends the fields of trailers to
    the headers, and proxies pass trailers on; a connection that came to HTTP/2 by ``Upgrade: h2c`` may be a tunnel.

    Raises:
        MalformedEvidence: A header of ours is there, with a body in chunks (RFC 9112, 7.1.2), ``forwarded.trailer``, or
            in HTTP/2, ``forwarded.http-version``.
    """
    names = set(plain_names(headers))
    if names.isdisjoint(source.names):
        return
    if "transfer-encoding" in names:
        detail = f"a header of the proxy with a body in chunks, whose trailers may be taken for headers: {_REMEDY}"
        raise MalformedEvidence(detail, code="forwarded.trailer")
    if http_version not in {"1.1", "1.0"}:
        detail = f"a header of the proxy over a connection that may be a tunnel: have it speak HTTP/1.1, or {_REMEDY}"
        raise MalformedEvidence(detail, code="forwarded.http-version")


def require_accepted(accepted: object) -> Accepted:
    """Return *accepted* if it is a connection.

    Raises:
        ConfigurationError: It is none: the server tells nothing of the connection.
    """
    if not isinstance(accepted, Accepted):
        raise ConfigurationError(f'source="connection": this server hides the connection: {_REMEDY}')
    return accepted


def admission_by(accepted: Accepted, shown: Shown, settings: Settings) -> Admission:
    """Return who is admitted by what the handshake of *accepted* has *shown*, asked for this request.

    Raises:
        VerificationError: Nobody, or the further policy does not permit it.
    """
    who = shown.peer
    if who is None:
        if settings.required:
            raise NoPeerCertificate(tls.decision_of(accepted.connection))
        return Admission(None, None)
    if settings.policy is not None:
        who.require(settings.policy)
    return Admission(who, shown.presented)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)

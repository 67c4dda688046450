"""Django, by ASGI and WSGI: `require` for views, and `Refusals`, which answers what `peer` says in any view.

Neither admits anybody: `integrations.asgi.Middleware` or `integrations.wsgi.Middleware` does, around the application of
``get_asgi_application`` or ``get_wsgi_application``, where no middleware of Django's has rewritten an address yet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from mtlspolicy.errors import VerificationError
from mtlspolicy.integrations._admission import (
    AsyncRequirement,
    Choice,
    Requirement,
    admission_of,
    peer,
    peer_or_none,
    presented,
)
from mtlspolicy.integrations._answers import answer as _answer
from mtlspolicy.integrations._extra import Extra
from mtlspolicy.integrations._immediate import ACCEPTED, Accepted
from mtlspolicy.integrations._log import log_refused

with Extra("django"):
    _http: Any = import_module("django.http")  # a package without types
    _base: Any = import_module("django.views.generic.base")
    _asgiref: Any = import_module("asgiref.sync")

__all__ = ["Refusals", "ViewRequirement", "peer", "peer_or_none", "presented", "require"]

_View = TypeVar("_View", bound=Callable[..., Any])


class ViewRequirement:
    """What `require` returns: a decorator of views, and a question to ask about a request.

    Args:
        policy: See `require`.
    """

    def __init__(self, policy: Choice) -> None:
        self._at_once: Requirement = Requirement(policy)
        self._awaited: AsyncRequirement = AsyncRequirement(policy)

    if TYPE_CHECKING:

        @overload
        def __call__(self, view: _View) -> _View: ...
        @overload
        def __call__(self, view: Any) -> Any: ...

    def __call__(self, view: Any) -> Any:
        """Return *view* such that it is called for permitted senders only; of a request, return its peer.

        Args:
            view: A function, ``async`` or not, what ``as_view()`` returns, or a class-based view. A request:
                ``require(policy)(request)`` returns the `VerifiedPeer` or raises, see `Refusals`.

        Raises:
            VerificationError: *view* is a request, whose sender is not permitted.
        """
        if isinstance(view, _http.HttpRequest):
            return self._at_once(view)
        if isinstance(view, type) and issubclass(view, _base.View):
            return self._of_class(view)
        if _asgiref.iscoroutinefunction(view):
            return self._of_coroutine(view)
        return self._of_function(view)

    def _of_function(self, view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def asking(request: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                self._at_once(request)
            except VerificationError as refusal:
                return _response(request, refusal)
            return view(request, *args, **kwargs)

        return asking

    def _of_coroutine(self, view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        async def asking(request: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                await self._awaited(request)
            except VerificationError as refusal:
                return _response(request, refusal)
            return await view(request, *args, **kwargs)

        return asking

    def _of_class(self, view: Any) -> Any:
        inner = view.dispatch

        def dispatch(self_: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
            """Ask before any method of the view, also one that it does not have."""
            bound = inner.__get__(self_)
            asking = self._of_coroutine if self_.__class__.view_is_async else self._of_function
            return asking(bound)(request, *args, **kwargs)

        view.dispatch = wraps(inner)(dispatch)
        return view


def require(policy: Choice) -> ViewRequirement:
    """Return a decorator: is the sender of a request permitted by *policy* as well?

    Over a view function or a class-based view, ``@require(policies.CommonName("sam"))``; around what ``as_view()``
    returns, in a URLconf. It answers refusals from the table itself, whatever ``DEBUG`` and ``handler500`` are.
    For a policy of the request give a callable: ``require(lambda request: policies.CommonName(request.POST["user"]))``;
    whatever it raises is a refusal, ``policy.error``. It may be a coroutine function where the view is one, and does
    then not call the ORM without ``await``.

    Args:
        policy: A policy, or a callable that returns one for a request.

    Raises:
        ConfigurationError: It is neither.
    """
    return ViewRequirement(policy)


class Refusals:
    """For ``settings.MIDDLEWARE``: answers, from the table, what `peer` and ``peer(request).require(...)`` raise.

    ``"mtlspolicy.integrations.django.Refusals"``, at any place there. Without it Django makes 500 of these.
    """

    sync_capable: Final = True
    async_capable: Final = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response: Callable[[Any], Any] = get_response
        if _asgiref.iscoroutinefunction(get_response):
            _asgiref.markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Pass *request* on; what comes back is a response, or where the server is asynchronous one to be awaited."""
        return self._get_response(request)

    def process_exception(self, request: Any, exception: Exception) -> Any:
        """Return the answer to *exception*, raised by a view; ``None``: it is none of ours."""
        if not isinstance(exception, VerificationError):
            return None
        refusal = admission_of(request).answers(exception)
        return None if refusal is None else _response(request, refusal)


def _response(request: Any, refusal: VerificationError) -> Any:
    """Return the answer to *refusal*, and write its line."""
    carrier: Any = getattr(request, "scope", None) or request.environ
    accepted = carrier.get(ACCEPTED)
    log_refused(refusal, str(accepted.address) if type(accepted) is Accepted else "a connection")
    what = _answer(refusal, absent=admission_of(request).absent)
    headers = {name: value for name, value in what.headers if name != "Content-Type"}
    return _http.HttpResponse(what.body, status=what.status, content_type="application/json", headers=headers)

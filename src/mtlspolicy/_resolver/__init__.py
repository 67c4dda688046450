"""Needs into facts: the one place that asks data bases, responders and anything else with I/O, sync and async alike.

It never decides: a fact that could not be had stays missing, and the decision stays INDETERMINATE (``fact.missing``).
"""

from __future__ import annotations

from mtlspolicy._resolver._resolver import Resolver
from mtlspolicy._resolver._settle import settle, settle_async, settle_at_hand
from mtlspolicy._resolver._source import Answer, Source

__all__ = ["Answer", "Resolver", "Source", "settle", "settle_async", "settle_at_hand"]

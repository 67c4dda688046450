"""Tenants: common and per-tenant trust anchors with an index, reloaded while they are used.

Who the tenant is, is the caller's to say. Decisions are the verifier's; this gives each one the current store.
"""

from __future__ import annotations

from mtlspolicy.tenants._generation import Generation
from mtlspolicy.tenants._tenant_trust import TenantSource, TenantTrust

__all__ = ["Generation", "TenantSource", "TenantTrust"]

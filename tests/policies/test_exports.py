"""The package of policies is a table of contents: every name of the design, each loaded when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mtlspolicy import policies
from mtlspolicy._policy import Policy

NAMES = {
    *("CommonName", "SubjectDN", "SubjectAttribute", "DNSName", "IPAddressName", "EmailName", "URIName", "SpiffeID"),
    *(
        "IssuerPin",
        "IssuerDN",
        "SPKIPin",
        "CertificatePin",
        "SerialNumbers",
        "Blocked",
        "ExtendedKeyUsage",
        "PolicyOID",
    ),
    *("KeyStrength", "MaxLifetime", "PeerAddress", "ClientAddress", "Anyone", "AllOf", "AnyOf", "Not", "AtLeast"),
    *("predicate", "lookup"),
}


def test_every_policy_is_there() -> None:
    """The names are those of the design; all but the two decorators are policies."""
    assert set(policies.__all__) >= NAMES
    assert sorted(policies.__all__, key=str.lower) == sorted(set(policies.__all__), key=str.lower)
    assert set(dir(policies)) >= NAMES
    for name in policies.__all__:
        value = getattr(policies, name)
        assert name in {"lookup", "predicate"} or issubclass(value, Policy)


def test_what_is_not_there() -> None:
    """Another name is an AttributeError as for any module."""
    with pytest.raises(AttributeError, match="has no attribute 'RegularExpression'"):
        _ = policies.RegularExpression


def test_importing_the_package_loads_no_family() -> None:
    """A family is loaded with the first of its names, so that the import stays within its budget."""
    script = (
        "import sys, mtlspolicy.policies as p\n"
        "def loaded(): return [name for name in sys.modules if name.startswith('mtlspolicy.policies.')]\n"
        "before = loaded(); p.Anyone; print(before, loaded())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['mtlspolicy.policies._anyone']"

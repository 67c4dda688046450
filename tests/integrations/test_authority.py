"""The host that a request is for, as it is compared with the one that its connection was judged for."""

from __future__ import annotations

import pytest

from mtlspolicy.errors import PolicyDenied
from mtlspolicy.integrations._authority import _host


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("Strict.Test", "strict.test"),
        ("strict.test.", "strict.test"),
        ("strict.test:8443", "strict.test"),
        ("strict.test:", "strict.test"),
        ("[::1]", "[::1]"),
        ("[::1]:8443", "[::1]"),
        ("", ""),
    ],
)
def test_case_final_dot_and_port_do_not_count(authority: str, host: str) -> None:
    """Compared as server names are (RFC 9110, 4.2.3), without the port."""
    assert _host(authority) == host


@pytest.mark.parametrize(
    "authority",
    [
        *("strict.test:x", "strict.test:80:80", "::1", "strict.test:\u0661", ":80:", "strict.test,staff.test"),
        *(
            "strict.test, staff.test",
            "strict.test/x",
            "a@strict.test",
            "strict test",
            "\u212aelvin.test",
            "[::1",
            "[x]",
        ),
    ],
)
def test_what_readers_disagree_on_is_no_host(authority: str) -> None:
    """An application may cut it at another colon than we do: refused, and never taken for the listener's own host."""
    with pytest.raises(PolicyDenied) as caught:
        _host(authority)
    assert (caught.value.code, caught.value.http_status) == ("tls.misdirected", 421)

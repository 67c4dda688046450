"""The package is a table of contents: every name of it, each loaded when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mtlspolicy import forwarded

DIALECTS = {
    *(
        "envoy",
        "rfc9440",
        "nginx",
        "haproxy",
        "apache",
        "traefik",
        "caddy",
        "aws_alb",
        "aws_api_gateway",
        "google_cloud",
    ),
    *("cloudflare", "cloudfront", "azure_app_service", "azure_application_gateway", "custom"),
}


def test_every_name_is_there() -> None:
    """The dialects of the design, and what reads and writes beside them."""
    assert set(forwarded.__all__) >= DIALECTS
    assert sorted(forwarded.__all__, key=str.lower) == sorted(set(forwarded.__all__), key=str.lower)
    assert set(dir(forwarded)) >= set(forwarded.__all__)
    for name in forwarded.__all__:
        assert getattr(forwarded, name) is not None


def test_what_is_not_there() -> None:
    """Another name is an AttributeError as for any module."""
    with pytest.raises(AttributeError, match="has no attribute 'anything'"):
        _ = forwarded.anything


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_every_source_says_who_is_trusted(name: str) -> None:
    """No constructor has a default for the proxy, and none takes an option that it does not know."""
    make = getattr(forwarded, name)
    with pytest.raises((TypeError, ValueError)):
        make()
    with pytest.raises((TypeError, ValueError)):
        make(trusted=["10.0.0.1"], secert=("x-secret", "0123456789abcdefghijkl"))


def test_importing_the_package_loads_no_dialect() -> None:
    """A family is loaded with the first of its names, so that the import stays within its budget."""
    script = (
        "import sys, mtlspolicy.forwarded as f\n"
        "def loaded(): return [name for name in sys.modules if name.startswith('mtlspolicy.forwarded.')]\n"
        "before = loaded(); f.TextClaims; print(before, loaded())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] ['mtlspolicy.forwarded._claims']"

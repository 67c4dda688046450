"""The commands ``demo``, ``serve``, ``pki``, ``inspect``, ``explain`` and ``probe``. A thin layer over the library.

It prints, reads flags and turns errors into exit statuses; whom to admit is decided by the library alone.
"""

from mtlspolicy.cli._main import main as main

__all__ = ["main"]

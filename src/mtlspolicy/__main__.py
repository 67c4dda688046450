"""``python -m mtlspolicy``: the same as the script ``mtlspolicy``. Nothing is decided here."""

from __future__ import annotations

import sys

from mtlspolicy.cli import main

if __name__ == "__main__":
    sys.exit(main())

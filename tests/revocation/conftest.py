"""What the tests of this folder share is in ``made``: one CA, one client, and OCSP responses made by hand."""

from __future__ import annotations

import sys
from pathlib import Path

# so that tests.revocation.made is found however pytest was started
sys.path.insert(0, str(Path(__file__).parents[2]))

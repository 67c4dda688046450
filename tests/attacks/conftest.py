"""The attacks here use what the tests of other folders share."""

from __future__ import annotations

import sys
from pathlib import Path

# so that tests.revocation is found however pytest was started
sys.path.insert(0, str(Path(__file__).parents[2]))

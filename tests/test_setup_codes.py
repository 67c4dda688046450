"""The table of set-up codes holds what the source gives to a `ConfigurationError` or a finding, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import mtlspolicy
from mtlspolicy._codes import CODES
from mtlspolicy._setup_codes import SETUP_CODES

SOURCE = Path(mtlspolicy.__file__).parent
NAMED = re.compile(r'"((?:config|credential|resolver|trust|tls|gate)\.[a-z0-9-]+)"')
TABLES = {"_codes.py", "_setup_codes.py"}


def _in_source() -> set[str]:
    texts = [path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name not in TABLES]
    return {code for text in texts for code in NAMED.findall(text) if not code.endswith((".pem", ".key", ".p12", "-"))}


def test_every_code_in_the_source_is_in_a_table() -> None:
    """A code that a program may match on is documented: each in the source has a row in a table."""
    assert _in_source() - SETUP_CODES.keys() - CODES.keys() == set()


def test_every_row_is_in_the_source() -> None:
    """A row that nothing gives any more would document what does not happen."""
    texts = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py") if path.name not in TABLES)
    assert {code for code in SETUP_CODES if f'"{code}"' not in texts} == set()

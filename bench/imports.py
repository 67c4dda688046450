"""What importing costs, in fresh processes by turns: CPU time from the import statement to its end.

`import mtlspolicy` loads names when they are first used, so the row that matters names what the first example uses.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from bench._harness import Row, Scale, Side, at_most, compare, ratio_row

TEMPLATE = "import time; start = time.process_time(); {statement}; print(time.process_time() - start)"
BASELINE = "import ssl, cryptography.x509"
STATEMENTS = {
    "import mtlspolicy": "import mtlspolicy",
    "Verifier, TrustStore and a policy": (
        "from mtlspolicy import TrustStore, Verifier, policies; policies.CommonName; policies.IssuerPin"
    ),
    "the same and tls, server_context": (
        "from mtlspolicy import TrustStore, Verifier, policies, tls; policies.CommonName; policies.IssuerPin; "
        "tls.server_context"
    ),
}


def _side(statement: str) -> Side:
    command = [sys.executable, "-c", TEMPLATE.format(statement=statement)]
    return lambda: float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603


def rows(scale: Scale) -> Iterator[Row]:
    """Yield the rows of this group."""
    for name, statement in STATEMENTS.items():
        found = compare(_side(statement), _side(BASELINE), rounds=scale.rounds(25))
        yield ratio_row(f"import: {name} / import ssl, cryptography.x509", found, at_most(1.5))

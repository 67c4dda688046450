"""What gunicorn serves in `battery`: applications that count their runs in a file that the environment names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tests.integrations.battery import counted, counted_wsgi

_RUNS: Final = Path(os.environ["MTLSPOLICY_TEST_RUNS"])

wsgi_app: Final = counted_wsgi(_RUNS)
asgi_app: Final = counted(_RUNS)

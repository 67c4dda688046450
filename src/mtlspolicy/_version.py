"""The version of the distribution, in its one place. Nothing else."""

from __future__ import annotations

__version__ = "0.1.0"

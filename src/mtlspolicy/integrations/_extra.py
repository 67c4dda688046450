"""Says which extra to install where the framework of an integration is not there. It imports and installs nothing."""

from __future__ import annotations

from types import TracebackType

__all__ = ["Extra"]


class Extra:
    """Stands around the import of a framework at the top of an integration: ``with Extra("uvicorn"): import uvicorn``.

    Args:
        framework: The module that is imported, without its submodules.
        extra: Of mtlspolicy, where it has another name than the module.

    Raises:
        ModuleNotFoundError: On leaving, where that very module is missing: names the extra and the command, and is
            chained to the error of the import. What is missing inside an installed framework stays as it is.
    """

    def __init__(self, framework: str, extra: str = "") -> None:
        self._framework = framework
        self._extra = extra or framework

    def __enter__(self) -> None:
        """Begin the import."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ModuleNotFoundError) and error.name == self._framework:
            raise ModuleNotFoundError(
                f"{self._framework} is not installed: it comes with the extra {self._extra}; "
                f'pip install "mtlspolicy[{self._extra}]"',
                name=self._framework,
            ) from error

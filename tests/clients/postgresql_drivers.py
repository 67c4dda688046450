"""Drivers of PostgreSQL: two that take a context, and libpq, which takes none, through a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ssl
from typing import Any, Final

import pytest

from mtlspolicy.integrations.tunnel import Tunnel, postgresql
from tests.clients.twice import Between, twice, twice_async

_PATIENCE: Final = 20
_WHO: Final = "SELECT current_user, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def by_pg8000(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with pg8000."""
    pg8000 = pytest.importorskip("pg8000.dbapi", reason="pg8000 is not installed")
    connection = pg8000.connect("frodo", host, "postgres", port, ssl_context=context, timeout=_PATIENCE)
    with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:

        def once() -> Any:
            cursor.execute(_WHO)
            return tuple(cursor.fetchone())

        return twice(once, between)


def by_asyncpg(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with asyncpg."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    asyncpg: Any = importlib.import_module("asyncpg")

    async def main() -> Any:
        options: dict[str, Any] = {"user": "frodo", "database": "postgres", "timeout": _PATIENCE}
        connection = await asyncpg.connect(host=host, port=port, ssl=context, **options)
        try:
            return tuple(await twice_async(lambda: connection.fetchrow(_WHO), between))
        finally:
            await connection.close()

    return asyncio.run(main())


def by_psycopg(host: str, port: int, context: ssl.SSLContext, between: Between = None) -> Any:
    """Ask with psycopg, whose libpq speaks TLS by itself from files: it is given a socket of ours in place of it."""
    try:
        psycopg = importlib.import_module("psycopg")
    except ImportError as error:  # the package without a libpq
        pytest.skip(str(error))
    with (
        Tunnel(f"{host}:{port}", context=context, name=".s.PGSQL.5432", before=postgresql) as local,
        psycopg.connect(
            host=str(local.path.parent), port=5432, user="frodo", dbname="postgres", connect_timeout=_PATIENCE
        ) as connection,
    ):
        return twice(lambda: connection.execute(_WHO).fetchone(), between)

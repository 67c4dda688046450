"""Keeps statements in Redis, for many machines; compares and sets in one script that Redis runs as one step.

Nor is Redis trusted: what is odd in it is not there, what is sound is verified by who reads it, and what is absurdly
large stays where it is. Only a Redis that itself means harm could send more than it was asked for.
"""

from __future__ import annotations

import hashlib
import re
from time import monotonic
from typing import Any, Final

from mtlspolicy._peer import now
from mtlspolicy.errors import ConfigurationError
from mtlspolicy.revocation._cache import (
    CachedStatement,
    CacheFailed,
    microseconds,
    positive,
    sound_key,
    statement_of,
)

__all__ = ["RedisCache"]

TIMEOUT: Final = 0.2
"""Seconds; a handshake is waiting."""
PAUSE: Final = 1.0
"""Seconds for which a Redis that did not answer is not asked again."""
MOST_BYTES: Final = 8 << 20
"""Of one statement. Larger CRLs take longer to move than a handshake may wait."""

_BIAS: Final = 62_135_596_800_000_000
"""Microseconds from the year 1 to 1970: no time is negative, and all have 18 digits."""
_VALUE: Final = re.compile(rb"mtls1:([01]):([0-9]{18}):([0-9]{18}):", re.ASCII)
"""What stands before the DER: version of the layout, whether final, thisUpdate, and until when it is kept."""
_HEADER: Final = len("mtls1:0:") + 2 * len("000000000000000000:")

_GET: Final = """
local size = redis.pcall('STRLEN', KEYS[1])
if type(size) ~= 'number' or size == 0 or size > tonumber(ARGV[1]) then return false end
return redis.call('GET', KEYS[1])
"""
# Lua's numbers are exact to 15 digits: times are compared in two halves. What cannot be read stands against nothing.
_PUT: Final = """
local function compared(one, other)
  for start = 1, 10, 9 do
    local a, b = tonumber(string.sub(one, start, start + 8)), tonumber(string.sub(other, start, start + 8))
    if a ~= b then return a < b and -1 or 1 end
  end
  return 0
end
local size = redis.pcall('STRLEN', KEYS[1])
if type(size) == 'number' and size > 0 and size <= tonumber(ARGV[6]) then
  local digits = string.rep('%d', 18)
  local kept = redis.call('GETRANGE', KEYS[1], 0, tonumber(ARGV[7]) - 1)
  local final, updated, over = string.match(kept, '^mtls1:([01]):(' .. digits .. '):(' .. digits .. '):$')
  if final and size > tonumber(ARGV[7]) and compared(over, ARGV[5]) > 0 then
    if final > ARGV[2] or (final == ARGV[2] and compared(ARGV[3], updated) <= 0) then return 0 end
  end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 1
"""


class RedisCache:
    """A cache in Redis (5 or newer; the extra ``redis``). Needs EVAL, EVALSHA and the string commands.

    A client is a description of where Redis is: connections are opened anew, with timeouts, without repetition and
    without decoding, whatever the client or URL says. After a timeout or a lost connection Redis is left alone for a
    second, so that one that is down costs one timeout and not one for each handshake. Values expire by Redis's clock.

    Args:
        client_or_url: ``redis.Redis``, or a URL: ``rediss://user:password@host:6379/0``, ``unix:///run/redis.sock``.
        prefix: What the keys begin with. Give each application its own, or one that may share what was verified.
        timeout: Seconds for connecting, and for each answer. How long a host name takes to resolve is the system's.
        most_bytes: Of one statement. A larger one is neither kept nor read.

    Raises:
        ConfigurationError: The package ``redis`` is not installed; no such client or URL; a bound can never be right.
    """

    def __init__(
        self, client_or_url: Any, *, prefix: str = "mtlspolicy:", timeout: float = TIMEOUT, most_bytes: int = MOST_BYTES
    ) -> None:
        positive("timeout", timeout)
        positive("most_bytes", most_bytes)
        if not (isinstance(prefix, str) and len(prefix) <= 256 and prefix.isascii() and prefix.isprintable()):
            raise ConfigurationError(f"prefix={prefix!r}: give at most 256 printable ASCII characters")
        self._pool, self._client = _opened(client_or_url, float(timeout))
        self._prefix, self._timeout, self._largest = prefix, float(timeout), int(most_bytes)
        self._asked_again_at: float | None = None
        self._closed = False

    def get(self, key: str) -> CachedStatement | None:
        """Return what is kept under *key*, unless its time is over."""
        value = self._run(_GET, self._name(key), self._largest + _HEADER)
        if not isinstance(value, bytes) or len(value) > self._largest + _HEADER:
            return None
        header = _VALUE.match(value)
        if header is None:
            return None
        final, this_update, keep_until = map(int, header.groups())
        kept = statement_of(value[_HEADER:], this_update - _BIAS, keep_until - _BIAS, final)
        return None if kept is None or kept.keep_until <= now() else kept

    def put(self, key: str, statement: CachedStatement) -> None:
        """Keep *statement*, unless what is kept under *key* stands against it."""
        name = self._name(key)
        final = b"%d" % statement.final
        this_update, keep_until, at = (
            b"%018d" % (microseconds(moment) + _BIAS) for moment in (statement.this_update, statement.keep_until, now())
        )
        if keep_until <= at or len(statement.data) > self._largest:
            return
        value = b":".join((b"mtls1", final, this_update, keep_until, statement.data))
        end = microseconds(statement.keep_until) // 1000
        self._run(_PUT, name, value, final, this_update, end, at, self._largest + _HEADER, _HEADER)

    def close(self) -> None:
        """Close the connections; the client that was given stays open."""
        self._closed = True
        self._pool.disconnect()

    def _name(self, key: str) -> str:
        if self._closed:
            raise CacheFailed("the cache was closed")
        return self._prefix + sound_key(key)

    def _run(self, script: str, name: str, *arguments: bytes | int) -> object:
        """Return what *script* answers: bytes, a number or ``None``."""
        from redis import exceptions

        self._require_up()
        digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            try:
                answer: object = self._client.evalsha(digest, 1, name, *arguments)
            except exceptions.NoScriptError:
                answer = self._client.eval(script, 1, name, *arguments)
        except Exception as error:
            # Redis that answers with an error is up: what one key or one script meets is not the others' outage.
            self._asked_again_at = None if isinstance(error, exceptions.ResponseError) else monotonic() + PAUSE
            raise CacheFailed(f"Redis: {error}") from error
        self._asked_again_at = None
        return answer

    def _require_up(self) -> None:
        """Raise `CacheFailed` while Redis is left alone; when that is over, the first to come asks for all."""
        again, moment = self._asked_again_at, monotonic()
        if again is None:
            return
        if moment < again:
            raise CacheFailed("Redis did not answer a moment ago; it is asked again within a second or so")
        self._asked_again_at = moment + self._timeout + PAUSE


def _opened(client_or_url: Any, timeout: float) -> tuple[Any, Any]:
    """Return a pool of connections of our own, and a client for it; nothing is connected yet."""
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError:
        raise ConfigurationError("RedisCache needs the package redis: pip install 'mtlspolicy[redis]'") from None
    pool_class: Any = redis.ConnectionPool
    if isinstance(client_or_url, str):
        try:
            theirs = pool_class.from_url(client_or_url)
        except ValueError:  # whose text may hold a part of the password
            raise ConfigurationError(
                "client_or_url: not a URL that redis-py reads; such as 'redis://127.0.0.1:6379/0'"
            ) from None
    else:
        theirs = getattr(client_or_url, "connection_pool", client_or_url)
        if not isinstance(client_or_url, redis.Redis) or type(theirs) not in {pool_class, redis.BlockingConnectionPool}:
            raise ConfigurationError(
                f"client_or_url: {type(client_or_url).__name__} is no redis.Redis with a plain pool of connections; "
                "asyncio, Sentinel and Cluster clients are not used here: give a redis.Redis, or a URL"
            )
    settings: dict[str, Any] = {
        **theirs.connection_kwargs, "socket_timeout": timeout, "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0), "retry_on_timeout": False, "retry_on_error": [],
        "health_check_interval": 0, "decode_responses": False, "encoding": "utf-8",
    }  # fmt: skip
    pool = pool_class(connection_class=theirs.connection_class, **settings)
    if pool.connection_class(**pool.connection_kwargs).socket_timeout != timeout:
        raise ConfigurationError(
            "client_or_url: this redis-py loses the timeout of such connections, as 5.0.0 does that of UNIX sockets: "
            "pip install --upgrade redis"
        )
    return pool, redis.Redis(connection_pool=pool)

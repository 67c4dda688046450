"""CRLs in files, read again when they change, and the source that answers from CRLs at hand. Nothing is fetched.

A file that is gone counts no more; one that cannot be read any longer leaves its last content in force for a while.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from mtlspolicy._peer import now
from mtlspolicy._resolver import Answer
from mtlspolicy._revocation import CRL, CRLQuestion, shown
from mtlspolicy._text import escape, quoted
from mtlspolicy.errors import ConfigurationError, MalformedEvidence
from mtlspolicy.revocation._crl_layout import MOST_PEM, crl_blocks
from mtlspolicy.revocation._crl_list import SHORT, RevocationList
from mtlspolicy.revocation._crl_set import CRLInput, Held, crl_answer, held_crls
from mtlspolicy.revocation._offline import RETRY, keep_for, obtained_at
from mtlspolicy.revocation._process_lock import ProcessLock
from mtlspolicy.revocation._seen import Seen

__all__ = ["CRLFiles", "crls_source"]

MAX_STALE: Final = timedelta(hours=1)
"""How long the last content counts of a file that cannot be read any more."""
LOGGER: Final = logging.getLogger("mtlspolicy.revocation")
SETTLING: Final = 2.0
"""Seconds for which a missing or empty file is taken for one that is being replaced; and in which two versions of a
file may bear the same time."""
MOST_FILES: Final = 10_000
"""Of a directory; the rest, in the order of names, does not count."""
FEW_FILES: Final = 16
"""Files that are looked at in a handshake on an event loop."""
FEW_ENTRIES: Final = 64
"""Entries of a directory that are, those that do not count included."""
_NAME: Final = re.compile(r"(?!\.).*\.(?:crl|pem|der|r[0-9]{1,6})", re.IGNORECASE | re.DOTALL)

_Stamp = tuple[int, int, int, int, int]
"""What changes when a file does: device, inode, size, and times of content and of status in nanoseconds."""


class _File:
    """One file: what it held when it could last be read, and since when it cannot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: tuple[str, str] | None = None
        self._crls: tuple[RevocationList, ...] = ()
        self._since: dict[str, float] = {}
        self._read_at = ""
        self._stamp: _Stamp | None = None
        self._again = math.inf

    def refresh(self, clock: float, most: int | None = None) -> None:
        """Read the file if it is another one than the last time. Never raises for what the file is or holds.

        Args:
            clock: Now.
            most: Octets that a file may have to be read now; ``None``: as many as a CRL has.
        """
        try:
            info = self.path.stat()
            if not stat.S_ISREG(info.st_mode):
                self._fail("crl.unreadable", "is no regular file", clock)
            elif info.st_size == 0:
                self._fail("crl.absent", "is empty", clock)
            elif _stamp(info) != self._stamp or clock >= self._again:
                self._read(clock, most)
        except FileNotFoundError:
            self._fail("crl.absent", "is missing", clock)
        except OSError as error:
            self._fail("crl.unreadable", f"cannot be read: {escape(error.strerror or str(error))}", clock)

    def is_quick(self, clock: float) -> bool:
        """Return whether `refresh` would read nothing now, or little."""
        try:
            info = self.path.stat()
        except OSError:
            return True
        return info.st_size <= SHORT or (clock < self._again and _stamp(info) == self._stamp)

    def _read(self, clock: float, most: int | None) -> None:
        self._stamp = None
        # Somebody may have put something else there meanwhile: a pipe would keep us waiting for ever.
        with open(self.path, "rb", opener=_at_once) as opened:
            info = os.fstat(opened.fileno())
            if not stat.S_ISREG(info.st_mode) or (most is not None and info.st_size > most):
                raise OSError(errno.EAGAIN, "it is another file than a moment ago")
            data = opened.read(MOST_PEM + 1)
        try:
            crls = tuple([RevocationList(block, source=str(self.path)) for block in crl_blocks(data)])
        except MalformedEvidence as error:
            self._fail("crl.unreadable", f"holds no CRL: {escape(str(error), 200)}", clock)
        else:
            self._crls, self.problem, self._read_at = crls, None, shown(now())
            self._since.clear()
        self._stamp = _stamp(info)
        self._again = clock + SETTLING if abs(time.time() - info.st_mtime) < SETTLING else math.inf

    def _fail(self, code: str, what: str, clock: float) -> None:
        self.problem = code, what
        if code not in self._since and self._crls and code == "crl.unreadable":  # absence may settle by itself
            LOGGER.warning("%s %s; what it held before counts for a while", quoted(str(self.path), 200), what)
        self._since.setdefault(code, clock)
        self._stamp = None

    def current(self, clock: float, max_stale: float) -> list[tuple[RevocationList, str]]:
        """Return what counts of the file's CRLs at *clock*, each with where it came from."""
        if self.problem is None:
            return [(crl, crl.source) for crl in self._crls]
        code, what = self.problem
        if self._crls and clock - self._since[code] >= (SETTLING if code == "crl.absent" else max_stale):
            self._crls = ()
            LOGGER.warning("%s %s: what it held before counts no more", quoted(str(self.path), 200), what)
        return [(crl, f"{self.path} as it was at {self._read_at}; now it {what}") for crl in self._crls]


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _stamp(info: os.stat_result) -> _Stamp:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


class CRLFiles:
    """The CRLs in a file, or in a directory, as they are now. Safe between threads; reads files, so never on a loop.

    A file is read again when its times, size or inode change, and then counts at once; replace it by renaming a new one
    over it. One that has been missing or empty for two seconds is gone. One that cannot be read, or holds something
    else, leaves what it held before in force for *max_stale*, and answers say so.

    Args:
        path: A file, DER or PEM with one or several CRLs; or a directory, of which every file counts that ends in
            ``.crl``, ``.pem``, ``.der`` or ``.r`` and a number, as OpenSSL names them. A directory may be empty.
        max_stale: How long the last content counts of a file that cannot be read.

    Raises:
        ConfigurationError: A file is missing or cannot be read when this is constructed, or holds something else.
    """

    _clock: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(self, path: str | os.PathLike[str], *, max_stale: timedelta = MAX_STALE) -> None:
        if not isinstance(max_stale, timedelta) or max_stale < timedelta(0):
            raise ConfigurationError(f"CRLFiles: max_stale={max_stale!r}: give a timedelta of zero or more")
        if not isinstance(path, str | os.PathLike) or "\0" in str(path):
            raise ConfigurationError(f"CRLFiles: {quoted(str(path), 200)} is no path of a file or directory")
        self.path: Path = Path(path)
        self._max_stale = max_stale.total_seconds()
        self._files: dict[Path, _File] = {}
        self._lock = ProcessLock()
        for file in self._refreshed(self._clock(), self._paths()):
            if file.problem is not None:
                raise ConfigurationError(
                    f"CRLFiles: {quoted(str(file.path))} {file.problem[1]}; a CRL is DER, or PEM that begins with "
                    "'-----BEGIN X509 CRL-----'",
                    code="config.file",
                )

    def __repr__(self) -> str:
        return f"CRLFiles({str(self.path)!r})"

    def held(self) -> Held:
        """Return the CRLs as they are now, and what is wrong with files. Never raises."""
        with self._lock:
            return self._held(self._clock(), self._paths())

    def at_hand(self) -> Held | None:
        """Return what `held` does, where that is quick: a few files, and no long one that has changed; else ``None``.

        Waits for nobody, and asks the system about those files: for event loops.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            clock, paths = self._clock(), self._paths(most=FEW_ENTRIES)
            if len(paths) > FEW_FILES:
                return None
            known = [self._files.get(path) or _File(path) for path in paths]
            quick = all(file.is_quick(clock) for file in known)
            return self._held(clock, paths, SHORT) if quick else None
        finally:
            self._lock.release()

    def _held(self, clock: float, paths: list[Path], most: int | None = None) -> Held:
        files = self._refreshed(clock, paths, most)
        crls = [crl for file in files for crl in file.current(clock, self._max_stale)]
        problems = [(file.problem[0], f"{file.path} {file.problem[1]}") for file in files if file.problem is not None]
        return Held(tuple(crls), tuple(problems))

    def _refreshed(self, clock: float, paths: list[Path], most: int | None = None) -> list[_File]:
        self._files = {path: self._files.get(path) or _File(path) for path in paths}
        for file in self._files.values():
            file.refresh(clock, most)
        return list(self._files.values())

    def _paths(self, most: int | None = None) -> list[Path]:
        """Return the files that count; where the directory cannot be read, those that did, each with its own fate.

        Args:
            most: Entries after which a directory is left, with more than `FEW_FILES`; ``None``: it is read to its end.
        """
        try:
            with os.scandir(self.path) as entries:
                names = [entry.name for entry in islice(entries, most)]
        except NotADirectoryError:
            return [self.path]
        except OSError:
            return list(self._files) or [self.path]
        if most is not None and len(names) >= most:
            return [self.path] * (FEW_FILES + 1)
        return sorted(self.path / name for name in names if _NAME.fullmatch(name))[:MOST_FILES]


def crls_source(crls: CRLFiles | Iterable[CRLInput]) -> Callable[[Any], Answer]:
    """Return a source for ``Resolver({revocation.CRL: ...})`` that answers from *crls* and fetches nothing.

    It is blocking code, which a resolver runs on its threads: the first question about a CRL with a million entries
    takes most of a second. Where there is no usable CRL it answers UNAVAILABLE: a hard rule refuses then, and a soft
    one admits. Within the process it remembers who was revoked, and refuses a CRL older than one of the same issuer
    that was accepted before.

    Args:
        crls: CRLs, DER or PEM; or `CRLFiles`, looked at for each question, and again a second later. A handshake that
            cannot wait is answered at once where the files are few, and short or not changed since they were read.

    Raises:
        ConfigurationError: One of *crls* is something else than a CRL, or cannot be read.
    """
    return _CRLSource(crls)


class _CRLSource:
    """See `crls_source`."""

    def __init__(self, crls: CRLFiles | Iterable[CRLInput]) -> None:
        self._files: CRLFiles | None = crls if isinstance(crls, CRLFiles) else None
        self._fixed: Held = Held() if isinstance(crls, CRLFiles) else held_crls(crls)
        if self._fixed.problems:
            raise ConfigurationError(f"crls_source: {self._fixed.problems[0][1]}")
        self._seen = Seen()
        self._lock = ProcessLock()  # so that a long CRL is read once, by whoever asks first
        self._newest: dict[tuple[str, bytes, bytes, bool], datetime] = {}

    def __call__(self, question: Any) -> Answer:
        """Return the answer to a `CRLQuestion`, which may take reading a file and verifying a signature."""
        if not isinstance(question, CRLQuestion):
            raise ConfigurationError(f"{CRL} is asked with a CRLQuestion, not {type(question).__name__}")
        with self._lock:
            return self._answer(question, self._fixed if self._files is None else self._files.held())

    def at_hand(self, question: Any) -> Answer | None:
        """Return the answer if it takes a fraction of a handshake: nothing to be read, short CRLs or known ones."""
        if not isinstance(question, CRLQuestion) or not self._lock.acquire(blocking=False):
            return None
        try:
            held = self._fixed if self._files is None else self._files.at_hand()
            name = question.certificate.layout.issuer
            if held is None or not all(
                crl.answers_at_once(question.issuer) for crl, _ in held.crls if crl.issuer == name
            ):
                return None
            return self._answer(question, held)
        finally:
            self._lock.release()

    def _answer(self, question: CRLQuestion, held: Held) -> Answer:
        at = now()
        answer = self._seen.judged(question, crl_answer(question, held, at=at, newest=self._newest))
        keep = RETRY if self._files is not None and not answer.final else keep_for(answer, question, at)
        return Answer(answer, obtained_at=obtained_at(answer, at), keep=keep)

"""``python -m fuzz [TARGET ...] [--seconds N] [--seed S] [--corpus DIR] [--atheris]``: all targets, or some of them.

The exit status is 1 where an input breaks the sentence at the head of a target; the input is written to a file.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import sys
import traceback
from importlib import import_module
from pathlib import Path

from fuzz._material import Target
from fuzz._run import Broken, run
from fuzz.targets import TARGETS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="none: all of them")
    parser.add_argument("--list", action="store_true", help="name the targets, with what each of them holds, and stop")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="N", help="for each target (default 10)")
    parser.add_argument("--seed", type=int, metavar="S", help="of the mutations; drawn and shown if left out")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="more seeds in DIR/TARGET; new finds go there too")
    parser.add_argument("--reproduce", type=Path, metavar="FILE", help="run one target on the content of FILE alone")
    parser.add_argument("--atheris", action="store_true", help="let atheris follow the coverage, if it is installed")
    return parser


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    names: list[str] = given.targets or list(TARGETS)
    unknown = sorted(set(names) - set(TARGETS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if given.list:
        for name in names:
            print(f"{name}: {' '.join((TARGETS[name].run.__doc__ or '').split())}")
        return 0
    if (given.atheris or given.reproduce is not None) and len(names) != 1:
        parser.error("--atheris and --reproduce run one target: name it")
    if given.atheris:
        return _atheris(TARGETS[names[0]], given.seconds, given.corpus and given.corpus / names[0])
    if given.reproduce is not None:
        print(TARGETS[names[0]].run(given.reproduce.read_bytes()))
        return 0
    seed = secrets.randbits(32) if given.seed is None else given.seed
    print(f"--seed {seed}")
    return max([_run(name, seed, given.seconds, given.corpus) for name in names])


def _run(name: str, seed: int, seconds: float, corpus: Path | None) -> int:
    try:
        report = run(TARGETS[name], seed=seed, seconds=seconds, corpus=corpus and corpus / name)
    except Broken as found:
        path = Path(f"fuzz-{name}-{hashlib.sha256(found.data).hexdigest()[:16]}.bin")
        path.write_bytes(found.data)
        traceback.print_exception(found.__cause__)
        print(f"{name}: BROKEN by {found}: python -m fuzz {name} --reproduce {path}", flush=True)
        return 1
    print(f"{name}: {report}", flush=True)
    return 0


def _atheris(target: Target, seconds: float, corpus: Path | None) -> int:
    """Hand *target* to atheris, which does not come back: its own messages and exit status count."""
    try:
        atheris = import_module("atheris")
    except ImportError:
        print("atheris is not installed: pip install atheris, on a Python that it has a wheel for", file=sys.stderr)
        return 2

    def one(data: bytes) -> None:
        target.run(data)

    folder = corpus or Path("fuzz-corpus")
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.seeds):
        (folder / f"seed-{number}").write_bytes(data)
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", str(folder)], one)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""The fuzz targets hold on some inputs, reach what they are about, and would notice. `python -m fuzz` digs deeper."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtlspolicy import PathProfile, TrustStore, Verifier, forwarded, policies

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the folder beside this one is found however pytest was started

from fuzz import _material, _run, dialects  # noqa: E402 - after the path to it
from fuzz._mutator import LONGEST, Mutator  # noqa: E402
from fuzz.targets import TARGETS  # noqa: E402

SENTENCE = "Any bytes give a value or one of our errors, nothing else"
SOME = 400
"""Inputs for each target: a few seconds for all of them together."""


@pytest.mark.parametrize("name", TARGETS)
def test_targets_hold(name: str) -> None:
    """Seeds and some hundred mutations break no target, and a part of them is read as a value."""
    report = _run.run(TARGETS[name], seed=1, inputs=SOME)
    assert report.inputs == SOME
    assert report.values > 0


@pytest.mark.parametrize("name", TARGETS)
def test_the_first_seed_is_read(name: str) -> None:
    """A target whose best input is refused would hold whatever the parser did."""
    target = TARGETS[name]
    assert target.run(target.seeds[0]) == _material.VALUE


@pytest.mark.parametrize("name", TARGETS)
def test_the_sentence_heads_every_target(name: str) -> None:
    """The docstring of a target begins with what it holds."""
    assert (TARGETS[name].run.__doc__ or "").startswith(SENTENCE)


def test_every_dialect_is_fuzzed() -> None:
    """Each constructor of a source has a line in the table of targets."""
    constructors = {
        name
        for name in forwarded.__all__
        if inspect.isfunction(made := getattr(forwarded, name))
        and inspect.signature(made).return_annotation == "ForwardedSource"
    }
    assert constructors >= {"envoy", "nginx", "custom"}
    assert {name.partition("-")[0] for name in dialects.SOURCES} == constructors


def test_a_target_notices_a_certificate_that_was_never_issued(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a verifier admitted a stranger, the target would say so."""
    trust = TrustStore(peers=[_material.STRANGER.certificate])
    careless = Verifier.for_clients(trust=trust, policy=policies.Anyone(), profile=PathProfile.DIRECT)
    monkeypatch.setattr(_material, "VERIFIER", careless)
    seed = TARGETS["rfc9440"].seeds[2]
    with pytest.raises(_run.Broken) as caught:
        _run.run(_material.Target(TARGETS["rfc9440"].run, (seed,)), seed=1, inputs=1)
    assert caught.value.data == seed
    assert "never issued" in str(caught.value.__cause__)


@pytest.mark.parametrize("error", [ValueError("x"), AssertionError("x"), RecursionError(), BaseException("panic")])
def test_whatever_a_target_raises_is_a_find(error: BaseException) -> None:
    """Everything but our own errors stops the run, with the input that did it."""

    def target(data: bytes) -> str:
        if data == b"bad":
            raise error
        return "value"

    with pytest.raises(_run.Broken, match="3 bytes") as caught:
        _run.run(_material.Target(target, (b"good", b"bad")), seed=1, inputs=10)
    assert (caught.value.data, caught.value.__cause__) == (b"bad", error)


def test_ctrl_c_is_no_find() -> None:
    """Who stops a run has found nothing."""

    def target(_: bytes) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run.run(_material.Target(target, (b"",)), seed=1, inputs=1)


def test_the_same_seed_makes_the_same_inputs() -> None:
    """A run can be repeated, and another seed makes another one; inputs have a bound."""
    corpus = [b"abc" * 30, b"\x30\x82" * 20, b"", b"x" * LONGEST]

    def made(seed: int) -> list[bytes]:
        mutator = Mutator(seed, (b"token",))
        return [mutator.mutated(corpus) for _ in range(400)]

    assert made(1) == made(1) != made(2)
    assert max(map(len, made(1))) == LONGEST
    assert any(b"token" in data for data in made(1))


def test_a_corpus_is_read_and_grows(tmp_path: Path) -> None:
    """Files of the folder are seeds, and inputs with a new outcome are kept there."""
    (tmp_path / "kept").write_bytes(b"from the corpus")
    seen: list[bytes] = []

    def target(data: bytes) -> str:
        seen.append(data)
        return "short" if len(data) < 4 else "long"

    report = _run.run(_material.Target(target, (b"abc",)), seed=1, inputs=20, corpus=tmp_path)
    assert seen[:2] == [b"abc", b"from the corpus"]
    assert report.found == {"short": b"abc", "long": b"from the corpus"}
    assert sorted(path.read_bytes() for path in tmp_path.iterdir()) == [b"abc", b"from the corpus", b"from the corpus"]
    assert str(report).startswith("20 inputs, 0 read, 2 outcomes")


def fuzz(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    command = [sys.executable, "-m", "fuzz", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_line(tmp_path: Path) -> None:
    """Two targets for a moment: a line each, status 0; one input again says what came of it."""
    done = fuzz("spiffe_id", "url", "--seconds", "0.05", "--seed", "7", "--corpus", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()
    assert first == "--seed 7"
    assert second.startswith("spiffe_id: ")
    assert third.startswith("url: ")
    (tmp_path / "input").write_bytes(b"spiffe://a/b")
    again = fuzz("spiffe_id", "--reproduce", str(tmp_path / "input"))
    assert (again.returncode, again.stdout) == (0, "value\n")


@pytest.mark.parametrize(
    ("arguments", "why"), [(("spifee",), "unknown: spifee; there are chain, "), (("--atheris",), "name it")]
)
def test_the_command_line_names_what_is_wrong(arguments: tuple[str, ...], why: str) -> None:
    """A misspelt target, and a coverage run of no target in particular, are errors."""
    done = fuzz(*arguments)
    assert done.returncode == 2
    assert why in done.stderr


def test_without_atheris_its_option_says_so() -> None:
    """The coverage-guided run needs a package that has no wheel for every Python: status 2 and its name."""
    if importlib.util.find_spec("atheris") is not None:
        pytest.skip("atheris is installed")
    done = fuzz("url", "--atheris")
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install atheris" in done.stderr


def test_a_find_is_written_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 1, and the input lies in a file that the message names."""
    command = importlib.import_module("fuzz.__main__")
    monkeypatch.chdir(tmp_path)

    def target(_: bytes) -> str:
        raise ValueError("found")

    targets: dict[str, Any] = {"bad": _material.Target(target, (b"input",))}
    monkeypatch.setattr(command, "TARGETS", targets)
    assert command.main(["bad", "--seconds", "1"]) == 1
    (file,) = tmp_path.iterdir()
    assert file.read_bytes() == b"input"

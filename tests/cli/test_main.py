"""The command line as a whole: exit statuses, no tracebacks, quiet ends."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

import mtlspolicy
from mtlspolicy.cli import main

from .conftest import Answer, Call, plain_environment  # noqa: TID252 - tests are no package that could be named


def test_version(program: Call) -> None:
    """``--version`` says the one version of the distribution."""
    assert program("--version") == Answer(0, f"mtlspolicy {mtlspolicy.__version__}\n", "")


def test_importing_the_entry_point_runs_nothing() -> None:
    """``python -m`` runs the command line; importing the same module does not."""
    assert import_module("mtlspolicy.__main__").main is main


@pytest.mark.parametrize("command", ["demo", "serve", "pki", "inspect", "explain"])
def test_help_names_every_command_and_status(call: Call, command: str) -> None:
    """Every command has a help text that says what the exit statuses mean."""
    answer = call(command, "--help")
    assert answer.status == 0
    assert "Exit status: 0" in answer.out
    assert command in call("--help").out


@pytest.mark.parametrize(
    "words",
    [
        [], ["fly"], ["pki"], ["inspect"], ["explain"], ["serve", "--port", "65536"], ["serve", "--port", "x"],
        ["pki", "client", "x", "y", "--days", "0"], ["pki", "client", "x", "y", "--days", "36501"],
    ],
)  # fmt: skip
def test_wrong_usage_is_status_2(call: Call, words: list[str]) -> None:
    """Usage that cannot be understood ends with status 2 and a word on standard error."""
    answer = call(*words)
    assert (answer.status, answer.out) == (2, "")
    assert "usage: mtlspolicy" in answer.err


def test_a_configuration_error_is_one_line(program: Call, tmp_path: Path) -> None:
    """What the library refuses to be built from ends with status 2 and its message, without a traceback."""
    answer = program("inspect", tmp_path / "absent\x1b[31m.pem")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.startswith("mtlspolicy: the file ")
    assert answer.err.count("\n") == 1
    assert "\x1b" not in answer.err


def test_a_reader_that_goes_away_is_no_traceback(frodo: Path) -> None:
    """Output into a closed pipe ends quietly, with the status that a shell gives for SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "mtlspolicy", "inspect", str(frodo)]
    ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False, env=plain_environment())
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_ctrl_c_is_no_traceback(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a command reads ends quietly, with the status that a shell gives for SIGINT."""

    class Interrupted(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Interrupted()))
    assert call("inspect", "-") == Answer(130, "", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_letter(encoding: str, tmp_path: Path) -> None:
    """A name with letters that the terminal's encoding has not is escaped, and is no error."""
    issued = mtlspolicy.testing.CertificateAuthority("Złota").issue_client("żaba")
    chain, _ = issued.files(tmp_path, name="chain")
    command = [sys.executable, "-m", "mtlspolicy", "inspect", str(chain)]
    ended = subprocess.run(command, capture_output=True, check=False, env=plain_environment(PYTHONIOENCODING=encoding))
    assert ended.returncode == 0
    assert b"CN=\\u017caba" in ended.stdout


def test_colour_on_a_terminal_alone(frodo: Path) -> None:
    """Colour is shown on a terminal, and neither in a pipe, nor where NO_COLOR is set, nor on a dumb terminal."""
    assert b"\x1b[1mCN=frodo\x1b[0m" in _on_terminal(frodo, TERM="xterm")
    assert b"\x1b" not in _on_terminal(frodo, TERM="xterm", NO_COLOR="1")
    assert b"\x1b" not in _on_terminal(frodo, TERM="dumb")


def _on_terminal(path: Path, **environment: str) -> bytes:
    openpty: Callable[[], tuple[int, int]] | None = getattr(os, "openpty", None)
    if openpty is None:
        pytest.skip("this system has no pseudo-terminals")
    ours, theirs = openpty()
    command = [sys.executable, "-m", "mtlspolicy", "inspect", str(path)]
    with subprocess.Popen(command, stdout=theirs, env=plain_environment(**environment)) as started:
        os.close(theirs)
        data = b""
        try:
            while part := os.read(ours, 65536):
                data += part
        except OSError:
            pass  # Linux says so when the other end has closed
        started.wait(30)
    os.close(ours)
    return data

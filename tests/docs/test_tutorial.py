"""The tutorial works as it is printed, from the first certificate to the explanation of the refusal."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from mtlspolicy.cli import main

if TYPE_CHECKING:
    from tests.docs.conftest import Lab

PAGE: Final = "docs/tutorial/first-server.md"


def _commands(fenced: Callable[[str, str], list[str]], program: str, page: str = PAGE) -> list[list[str]]:
    """Return the commands of the page that start *program*."""
    lines = [line for block in fenced(page, "sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


def test_the_tutorial(
    lab: Lab,
    fenced: Callable[[str, str], list[str]],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    plain: Callable[[str], str],
) -> None:
    """Every command and every output of the tutorial is real."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    commands, outputs = _commands(fenced, "mtlspolicy"), fenced(PAGE, "text")
    for command in commands[:4]:
        assert main(command[1:]) == 0, command
    lab.run(PAGE)
    answers = []
    with caplog.at_level(logging.WARNING, "mtlspolicy.connection"):
        for command in _commands(fenced, "curl"):
            here = [part.replace(":8443/", f":{lab.port}/") for part in command]
            done = subprocess.run([*here, "-sS"], capture_output=True, text=True, timeout=30, check=False)
            answers.append(plain(done.stdout + done.stderr))
        lab.close()
    assert answers[:2] == [plain(outputs[0]), plain(outputs[1])]
    assert len(answers) == 3
    logged = [plain(record.getMessage()) for record in caplog.records if record.name == "mtlspolicy.connection"]
    assert sorted(logged) == sorted([plain(outputs[2]), plain(outputs[3])])
    capsys.readouterr()
    assert [main(command[1:]) for command in commands[4:]] == [1]
    assert plain(capsys.readouterr().out) == plain(outputs[4])


def test_the_commands_of_the_readme_make_the_files_of_its_server(
    lab: Lab, fenced: Callable[[str, str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """The server on the first page finds every file that it names."""
    del lab
    assert [main(command[1:]) for command in _commands(fenced, "mtlspolicy", "README.md")] == [0, 0, 0]
    assert "error" not in capsys.readouterr().err
    named = re.findall(r'"(pki/.+?)"', "".join(fenced("README.md", "python")))
    assert len(named) == 3
    assert [name for name in named if not Path(name).is_file()] == []


def test_explain_prints_what_the_guide_shows(
    lab: Lab, fenced: Callable[[str, str], list[str]], capsys: pytest.CaptureFixture[str], plain: Callable[[str], str]
) -> None:
    """The guide to refusals shows the output of its own command."""
    del lab
    page = "docs/howto/explain-refusal.md"
    assert main(["pki", "new", "pki"]) == main(["pki", "client", "pki", "gollum"]) == 0
    command = next(shlex.split(block) for block in fenced(page, "sh") if "explain" in block)
    capsys.readouterr()
    assert main([part if not part.endswith(".pem") else f"pki/{part}" for part in command[1:]]) == 1
    assert plain(capsys.readouterr().out) == plain(
        next(text for text in fenced(page, "text") if text.startswith("DENY"))
    )


@pytest.mark.parametrize("step", ["as they are", "properly"])
def test_the_openssl_commands(lab: Lab, fenced: Callable[[str, str], list[str]], step: str) -> None:
    """The commands of the openssl page run as printed, and make what the page says of them."""
    if shutil.which("openssl") is None or shutil.which("sh") is None:
        pytest.skip("openssl or a shell is not installed")
    page = "docs/howto/openssl-tutorials.md"
    made, root, leaf = fenced(page, "sh")
    text = made if step == "as they are" else made + root + leaf
    done = subprocess.run(["sh", "-e"], input=text, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    arguments = ["explain", "client.pem", "--trust", "root.pem", "--allow-cn", "client"]
    if step == "properly":
        assert main(arguments) == 0
    else:
        assert main([*arguments, "--profile", "direct"]) == (0 if _first_version() else 2)
        assert main(arguments) != 0
    assert lab.namespace == {"__name__": "example"}


def _first_version() -> bool:
    """Return whether the openssl that is installed makes X.509 v1 certificates, as before 3.2."""
    shown = subprocess.run(
        ["openssl", "x509", "-in", "root.pem", "-noout", "-text"], capture_output=True, text=True, check=True
    )
    return "Version: 1" in shown.stdout

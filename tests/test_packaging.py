"""What a user installs and a newcomer types: the distribution, the README's commands, the CI that repeats them."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mtlspolicy

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI_RUN = ROOT / ".ci" / "run"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYTHONS = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
IMPORTED_AS = {"grpcio": "grpc", "pyopenssl": "OpenSSL", "typing-extensions": "typing_extensions"}
DEMO, TESTS = ("-m mtlspolicy demo", "-m nox")


def readme_commands() -> list[str]:
    """Return the lines of the section with the set-up commands that stand in shell blocks."""
    section = README.split("## Two commands")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


def requirement_name(requirement: str) -> str:
    """Return the name at the start of a requirement."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def test_readme_has_exactly_two_commands() -> None:
    """One line runs the demo, one runs the tests, and there is nothing else to type."""
    commands = readme_commands()
    assert [command.endswith(end) for command, end in zip(commands, (DEMO, TESTS), strict=True)] == [True, True]


@pytest.mark.parametrize("command", readme_commands())
def test_readme_commands_write_into_ignored_folders(command: str) -> None:
    """What a command installs goes into a folder of the clone that git ignores, and is read back from there."""
    (target,) = re.findall(r"-qUt (\S+)", command)
    assert f"PYTHONPATH={target} python3" in command
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"/{target.split('/')[0]}/" in ignored


def test_readme_server_has_fifteen_lines() -> None:
    """The first server of the README is Python, and at most 15 lines of it."""
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert ast.parse(code).body
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_ci_runs_the_command_of_the_readme() -> None:
    """The CI proves the very line that a newcomer types."""
    lines = [line.strip() for line in CI_RUN.read_text(encoding="utf-8").splitlines()]
    assert readme_commands()[1] in lines


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for POSIX systems")
def test_ci_script_is_executable_and_strict() -> None:
    """The script of the CI can be started as it is, parses, and stops at the first failure."""
    assert os.access(CI_RUN, os.X_OK)
    assert "\nset -euo pipefail\n" in CI_RUN.read_text(encoding="utf-8")
    parsed = subprocess.run(["bash", "-n", str(CI_RUN)], capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")


def test_hosted_ci_covers_every_python_that_is_declared() -> None:
    """The classifiers, the lower bound and the matrix of the CI name the same Pythons."""
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    matrices = [re.findall(r"python: \[(.*?)\]", path.read_text(encoding="utf-8")) for path in WORKFLOWS]
    assert [re.findall(r"[\d.]+", matrix) for found in matrices for matrix in found] == [PYTHONS] * len(WORKFLOWS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_start_without_rights(path: Path) -> None:
    """A workflow has no right that a job does not ask for, and runs no code that a tag can be moved to."""
    text = path.read_text(encoding="utf-8")
    assert "\npermissions: {}\n" in text
    uses = re.findall(r"uses: (\S+)(.*)", text)
    assert uses
    assert [action for action, note in uses if not re.search(r"@[0-9a-f]{40}$", action) or "# v" not in note] == []


def test_required_job_waits_for_every_other() -> None:
    """One job says whether all of the CI succeeded."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    jobs = re.findall(r"^  ([a-z-]+):$", text.split("\njobs:\n")[1], re.MULTILINE)
    (needed,) = re.findall(r"needs: \[(.*?)\]", text.split("\n  required:\n")[1])
    assert set(needed.split(", ")) == set(jobs) - {"required"}


def test_the_version_is_said_once() -> None:
    """The installed distribution has the version that the one file states, and the change log knows it."""
    version = re.findall(r'__version__ = "(.+)"', (ROOT / "src/mtlspolicy/_version.py").read_text(encoding="utf-8"))
    assert [importlib.metadata.version("mtlspolicy")] == version
    assert version[0] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "version" in PROJECT["dynamic"]


def test_the_distribution_is_complete() -> None:
    """The distribution is typed, has its script, its licence and the dependencies of the design, and no others."""
    package = Path(mtlspolicy.__path__[0])
    assert (package / "py.typed").is_file()
    metadata = importlib.metadata.metadata("mtlspolicy")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    required = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert sorted(required) == ["certifi", "cryptography>=49", "typing-extensions"]
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="mtlspolicy")
    assert script.value == "mtlspolicy.cli:main"


@pytest.mark.skipif(os.environ.get("MTLSPOLICY_TESTS_RUN_ON") != "wheel", reason="nox alone installs the wheel")
def test_the_wheel_is_what_is_tested() -> None:
    """Under nox nothing of the source folder is importable, and the wheel holds the package and nothing else."""
    assert not Path(mtlspolicy.__path__[0]).is_relative_to(ROOT / "src")
    assert str(ROOT / "src") not in sys.path
    files = importlib.metadata.files("mtlspolicy") or []
    tops = {file.parts[0] for file in files if file.parts[0] != ".."}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mtlspolicy"}
    modules = {file.as_posix() for file in files if file.suffix == ".py"}
    assert modules == {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}


def test_only_declared_distributions_are_imported() -> None:
    """Every import of a stranger is declared, as a dependency or as an extra."""
    optional = [entry for extra in PROJECT["optional-dependencies"].values() for entry in extra]
    names = [requirement_name(requirement) for requirement in (*PROJECT["dependencies"], *optional)]
    declared = {IMPORTED_AS.get(name, name) for name in names}
    found: dict[str, str] = {}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {module.split(".")[0]: str(path) for module in modules}
    known = declared | sys.stdlib_module_names | {"mtlspolicy"}
    assert {module: path for module, path in found.items() if module not in known} == {}


def test_every_exception_has_its_reason() -> None:
    """A lint rule or a warning that is off says why on its line; so does a suppression in the code."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    rules = text.split("\nignore = [\n")[1].split("\n]")[0].splitlines()
    rules += text.split("[tool.ruff.lint.per-file-ignores]\n")[1].split("\n\n")[0].splitlines()
    rules += text.split("filterwarnings = [\n")[1].split("\n]")[0].splitlines()[1:]
    codes = [line for line in rules if re.search(r'"\S', line) and not line.rstrip().endswith("[")]
    assert codes
    assert [line for line in codes if "  # " not in line] == []


def test_coverage_is_not_talked_into_success() -> None:
    """No line is excluded from coverage but the block that never runs by definition."""
    assert PYPROJECT["tool"]["coverage"]["report"]["exclude_lines"] == ["if TYPE_CHECKING:"]
    assert "omit" not in PYPROJECT["tool"]["coverage"]["run"]
    pragma = "pragma: " + "no"
    assert [path for path in (ROOT / "src").rglob("*.py") if pragma in path.read_text(encoding="utf-8")] == []

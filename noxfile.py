"""What a contributor and the CI run: tests against the built wheel, lint, types, documentation, benchmarks, coverage.

Everything that is made here lies in ``.nox`` and ``dist``, both ignored by git. uv is used where it is installed and
never needed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import nox

ROOT = Path(__file__).parent.resolve()
WORK = ROOT / ".nox"
MEASURED = WORK / "measured"
# The CI builds once and hands the same wheel to every job.
DIST = Path(os.environ.get("MTLSPOLICY_DIST", ROOT / "dist"))
PYPROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)  # from the classifiers

nox.needs_version = ">=2025.5"
nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "uv|virtualenv"  # virtualenv brings its own pip: no ensurepip needed
nox.options.error_on_missing_interpreters = False  # else a CI variable turns a missing interpreter into a failure
nox.options.download_python = "never"


def _find_interpreters() -> None:
    """Add the interpreters of the version manager to the search path, after everything that is there already."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [str(path) for version in PYTHONS for path in sorted(versions.glob(f"{version}.*/bin"), reverse=True)]
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *found])


def _stay_inside() -> None:
    """Keep the caches of all tools inside the working copy."""
    os.environ["XDG_CACHE_HOME"] = str(WORK / "cache")
    os.environ["VIRTUALENV_OVERRIDE_APP_DATA"] = str(WORK / "cache" / "virtualenv")
    os.environ["PYRIGHT_PYTHON_CACHE_DIR"] = str(WORK / "cache" / "pyright")


_find_interpreters()
_stay_inside()


def _install(session: nox.Session, *groups: str, extras: str = "") -> None:
    """Install dependency groups and, with them, the one wheel of ``dist``; nothing of ``src`` is importable then."""
    # The path that leads to nox itself must not reach the sessions.
    session.env["PYTHONPATH"] = None
    wheels = sorted(DIST.glob("mtlspolicy-*.whl"))
    if len(wheels) != 1:
        session.error(f"{DIST} holds {len(wheels)} wheels, one is needed: nox -s build")
    wheel = f"mtlspolicy{extras} @ {wheels[0].resolve().as_uri()}"
    session.install(wheel, *nox.project.dependency_groups(PYPROJECT, *groups))


def _data_prefix() -> str:
    """Return the prefix of coverage data files for the sources as they are now, whatever the system ends lines with."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_text(encoding="utf-8").encode())
    return f"data.{digest.hexdigest()[:12]}"


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist, and the wheel from the sdist, once for all sessions that need it."""
    if "MTLSPOLICY_DIST" in os.environ:
        session.log(f"using the wheel in {DIST}")
        return
    for old in (*DIST.glob("mtlspolicy-*.whl"), *DIST.glob("mtlspolicy-*.tar.gz")):
        old.unlink()
    session.env["PYTHONPATH"] = None
    session.install("build", *PYPROJECT["build-system"]["requires"])
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(DIST), str(ROOT))


@nox.session(python=PYTHONS, requires=["build"])
def tests(session: nox.Session) -> None:
    """Run the tests against the installed wheel, on every supported Python that is installed here."""
    _install(session, "tests", extras="[pyopenssl]")
    MEASURED.mkdir(parents=True, exist_ok=True)
    data = f"{_data_prefix()}.{session.python}"
    for old in MEASURED.glob(f"{data}.*"):
        old.unlink()
    env = {"COVERAGE_FILE": str(MEASURED / data), "MTLSPOLICY_TESTS_RUN_ON": "wheel"}
    # Many tests wait for a server, so one process more than there are processors; a file's tests stay in one process,
    # and the files in their order, because those with few tests take longest and would come last.
    spread = ("-n", str((os.cpu_count() or 1) + 1), "--dist", "loadfile", "--no-loadscope-reorder")
    session.run("coverage", "run", "-m", "pytest", *spread, *session.posargs, env=env)


@nox.session
def coverage(session: nox.Session) -> None:
    """Combine what ``tests`` measured of the present sources on all its Pythons; a line or branch not reached fails."""
    session.env["PYTHONPATH"] = None
    measured = sorted(str(path) for path in MEASURED.glob(f"{_data_prefix()}.*"))
    if not measured:
        session.error("nothing was measured of the present sources: nox -s tests")
    session.install("coverage")
    env = {"COVERAGE_FILE": str(MEASURED / "combined")}
    session.run("coverage", "combine", "--keep", *measured, env=env)
    session.run("coverage", "report", "--fail-under=100", env=env)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and the likely mistakes that a linter sees."""
    session.env["PYTHONPATH"] = None
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(requires=["build"])
def types(session: nox.Session) -> None:
    """Both strict type checkers, for the oldest and the newest Python, and the completeness of the public types."""
    _install(session, "typing", extras="[pyopenssl]")
    for version in (PYTHONS[0], PYTHONS[-1]):
        session.run("mypy", f"--python-version={version}", f"--cache-dir={WORK / 'cache' / 'mypy'}")
        session.run("pyright", f"--pythonversion={version}")
    session.run("pyright", "--verifytypes", "mtlspolicy", "--ignoreexternal")


@nox.session(requires=["build"])
def docs(session: nox.Session) -> None:
    """Build the documentation without the network; a warning is an error."""
    _install(session, "docs", extras="[pyopenssl]")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session(requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure the ratios of the speed table; timings never decide whether a test passes."""
    _install(session, "bench")
    session.run("python", "-m", "bench", *session.posargs)


@nox.session(requires=["build"])
def fuzz(session: nox.Session) -> None:
    """Run every fuzz target for some seconds, three by default: ``-- --seconds 600 envoy`` digs deeper."""
    _install(session)
    session.run("python", "-m", "fuzz", *(session.posargs or ["--seconds", "3"]))

"""Every check by its name: ``.venv/bin/nox -s NAME …``; ``nox -l`` lists them, ``.ci/run`` says which of them CI runs.

All but ``oldest`` and ``newest`` run in the environment that nox runs in, which the README's line makes.
What follows ``--`` goes to the program behind the session: ``nox -s tests -- -k einsum``.
"""

from __future__ import annotations

import shutil
import sys
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["tests", "lint", "types", "floors", "size"]
nox.options.default_venv_backend = "none"

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
TYPESCRIPT = "7.0.2"
CPYTHONS = {"oldest": "3.11", "newest": "3.13"}


def run(session: nox.Session, program: str, *args: str) -> None:
    """Run a program of the environment that nox runs in, where it stands beside ``python``."""
    session.run(str(Path(sys.executable).parent / program), *args, external=True)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests, doctests and pages, as the README's line runs them."""
    run(session, "pytest", *session.posargs)


@nox.session
def thorough(session: nox.Session) -> None:
    """All tests, the deeper and slower ones among them."""
    run(session, "pytest", "--thorough", *session.posargs)


@nox.session
def deep(session: nox.Session) -> None:
    """What the default leaves out, but for random checks by the thousand."""
    run(session, "pytest", "--thorough", "-m", "thorough and not soak", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and form."""
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types: of the package, strictly, and of its face as editors see it."""
    run(session, "mypy")
    run(session, "basedpyright")


@nox.session
def floors(session: nox.Session) -> None:
    """Imports go down the floors only."""
    run(session, "lint-imports")


@nox.session
def size(session: nox.Session) -> None:
    """Lines of code of each room, against its budget; ``-- ROOM`` shows the files of one."""
    run(session, "python", "-m", "tests.size", *session.posargs)


SITE = ("--jobs", "2", "-c", "docs/site", ".")


@nox.session
def docs(session: nox.Session) -> None:
    """The site: pages, reference and executed notebooks, in build/site; a warning is an error."""
    run(
        session,
        "sphinx-build",
        "--fail-on-warning",
        "--keep-going",
        "-q",
        *SITE,
        "build/site",
        *session.posargs,
    )
    session.log("open build/site/index.html")


@nox.session
def links(session: nox.Session) -> None:
    """Links to other sites, which needs the network."""
    offline = ["-D", "nb_execution_mode=off"]
    run(session, "sphinx-build", "-b", "linkcheck", "-q", *offline, *SITE, "build/links", *session.posargs)


@nox.session
def page(session: nox.Session) -> None:
    """Types of the page's own JavaScript, by its comments."""
    if shutil.which("npm") is None:
        session.skip("npm is not installed, so nothing can check the page's types")
    compiler = ["npm", "exec", "--yes", f"--package=typescript@{TYPESCRIPT}", "--", "tsc"]
    session.run(*compiler, "--project", "tests/play/tsconfig.json", external=True)


@nox.session
def coverage(session: nox.Session) -> None:
    """All tests, and how much of the package they run."""
    run(session, "coverage", "erase")
    run(session, "coverage", "run", "-m", "pytest", *session.posargs)
    run(session, "coverage", "combine", "--quiet")
    run(session, "coverage", "report", "--skip-covered")


@nox.session(python=CPYTHONS["oldest"], venv_backend="venv")
def oldest(session: nox.Session) -> None:
    """All tests with the least NumPy that pyproject.toml admits."""
    (least,) = [need.replace(">=", "==") for need in PROJECT["dependencies"] if need.startswith("numpy")]
    session.install("-e", ".[test]", least)
    session.run("pytest", *session.posargs)


@nox.session(python=CPYTHONS["newest"], venv_backend="venv")
def newest(session: nox.Session) -> None:
    """All tests with the newest Python, NumPy and everything else that fit together."""
    session.install("--upgrade", "-e", ".[test]")
    session.run("pytest", *session.posargs)

"""The site of the documentation: what can be told without building it, which ``nox -s docs`` does."""

from __future__ import annotations

import re
from pathlib import Path

from test_public_names import NAMES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_reference_has_every_module_once():
    pages = [path.read_text(encoding="utf-8") for path in (DOCS / "site" / "reference").glob("*.rst")]
    rooms = re.findall(r"^\.\. room:: (\S+)", "\n".join(pages), flags=re.M)
    assert sorted([*rooms, "tinygrad_mnist.typing"]) == sorted(NAMES)  # types are explained in words


def test_every_page_is_in_the_table_of_contents():
    contents = (DOCS / "site" / "contents.md").read_text(encoding="utf-8")
    listed = re.findall(r"^(?:.+ <)?docs/([^\s>]+)>?$", contents, flags=re.M)
    pages = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.glob("*.md")]
    assert sorted(name for name in listed if "/" not in name) == sorted(pages)


def test_every_decision_is_listed():
    folder = DOCS / "decisions"
    listed = re.findall(r"^\d+\. \[(.+)\]\((\S+)\)$", (folder / "README.md").read_text("utf-8"), flags=re.M)
    titles = [
        (path.read_text("utf-8").partition("\n")[0], path.name) for path in sorted(folder.glob("0*.md"))
    ]
    assert [(f"# {number}. {title}", name) for number, (title, name) in enumerate(listed, 1)] == titles

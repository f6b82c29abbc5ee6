"""What mkdocs does besides building docs/: pages from elsewhere in the repository.

The README, SAFETY.md and their like stay at the top, where people and tools look for them, and the
examples in examples/; each becomes a page. Links are written as they are right in the repository
(`../../SAFETY.md`), and led to those pages here. What leads to neither a page nor a file that is
copied is left alone, and mkdocs reports it.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

# Where in the site a file of the repository is.
PAGES = {
    "README.md": "project/readme.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SAFETY.md": "project/safety.md",
    "SECURITY.md": "project/security.md",
    "benchmarks/README.md": "project/benchmarks.md",
}
EXAMPLES = {
    f"examples/{path.name}": f"examples/{path.stem}.md"
    for path in sorted((ROOT / "examples").glob("*.py"))
}
# Files that are no pages, and are copied.
COPIED = ("LICENSE-MIT", "LICENSE-APACHE", "benchmarks/results/chart.svg")
# Written by other commands than this one, and so not in every checkout.
PERHAPS = ("explanation/trust.md", "project/security.md")

LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)\s#]+)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def example(path: Path) -> str:
    """An example as a page: its docstring, then all of it."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    title, _, rest = (ast.get_docstring(tree) or "").partition("\n\n")
    body = "\n".join(text.splitlines()[tree.body[0].end_lineno or 0 :]).strip("\n") + "\n"
    title = " ".join(title.split()).rstrip(".")
    return f"# {path.name}: {title}\n\n{rest}\n\n```python\n{body}```\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the examples into the navigation, and leave out what this checkout has not."""
    config.nav = [kept for entry in config.nav or [] if (kept := _entry(entry)) is not None]
    return config


def _entry(entry: Any) -> Any:
    if isinstance(entry, str):
        source = next((name for name, page in PAGES.items() if page == entry), f"docs/{entry}")
        return None if entry in PERHAPS and not (ROOT / source).exists() else entry
    ((title, below),) = entry.items()
    if below == "EXAMPLES":
        return {title: [{Path(name).name: page} for name, page in EXAMPLES.items()]}
    if isinstance(below, list):
        return {title: [kept for each in below if (kept := _entry(each)) is not None]}
    return entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files from outside docs/."""
    for name, page in PAGES.items():
        if (ROOT / name).exists():
            text = (ROOT / name).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    for name, page in EXAMPLES.items():
        files.append(File.generated(config, page, content=example(ROOT / name)))
    for name in COPIED:
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links to where the things are in the site."""
    here = page.file.src_uri
    places = {**PAGES, **EXAMPLES}
    origin = next((name for name, at in places.items() if at == here), f"docs/{here}")

    def lead(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), match[1]))
        if path in places:
            target = places[path]
        elif path in COPIED:
            target = path
        elif path.startswith("docs/"):
            target = path.removeprefix("docs/")
        else:
            return match[1]
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    # Code is no text: what looks like a link there is none.
    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in parts)

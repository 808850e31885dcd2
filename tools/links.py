"""Checks the Markdown files: each link that stays in the project leads to a file and a heading."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from tools.base import FOREIGN, ROOT, directories

FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
EXTERNAL = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def markdown_files() -> list[Path]:
    """Every Markdown file the project wrote itself."""
    own = (directory for directory in directories() if directory.name not in FOREIGN)
    return [file for directory in own for file in sorted(directory.glob("*.md"))]


def broken_links(file: Path) -> Iterator[str]:
    """One line for each link in the file that leads nowhere."""
    text = INLINE_CODE.sub("", FENCED.sub("", file.read_text(encoding="utf-8")))
    for match in LINK.finditer(text):
        link = match[1] or match[2]
        if not EXTERNAL.match(link) and not _leads_somewhere(file, unquote(link)):
            yield f"{file}: {link} does not exist"


def headings(text: str) -> set[str]:
    """The anchors of a Markdown text, as the usual viewers make them from its headings."""
    seen: Counter[str] = Counter()
    anchors = set()
    for title in HEADING.findall(FENCED.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def _leads_somewhere(file: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = file.parent / path if path else file
    if not target.exists():
        return False
    if not anchor or target.suffix != ".md":
        return True
    return anchor in headings(target.read_text(encoding="utf-8"))


def main() -> int:
    """Print what is broken; 1 if anything is."""
    files = markdown_files()
    broken = [line for file in files for line in broken_links(file)]
    for line in broken:
        print(line.removeprefix(f"{ROOT}/"))
    print(f"{len(files)} Markdown files, {len(broken)} broken links")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

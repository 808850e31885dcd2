"""Links in the documentation."""

from pathlib import Path

import pytest

from tools import links
from tools.base import ROOT


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text(
        "# Other page\n\n## It's `here`!\n\n## Twice\n## Twice\n"
    )
    return tmp_path / "page.md"


@pytest.mark.parametrize(
    "text",
    [
        "[a](docs/other.md)",
        "[a](docs/)",
        "[a](<docs/other.md>)",
        '[a](docs/other.md "title")',
        "[a](docs/other.md#its-here)",
        "[a](docs/other.md#twice-1)",
        "# Own heading\n[a](#own-heading)",
        "![a picture](docs/other.md)",
        "[a][b]\n\n[b]: docs/other.md",
        "[elsewhere](https://example.com/missing.md)",
        "`[code](missing.md)`",
        "```\n[code](missing.md)\n```",
    ],
)
def test_accepts_a_link_that_leads_somewhere(page: Path, text: str) -> None:
    page.write_text(text)
    assert list(links.broken_links(page)) == []


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("[a](missing.md)", "missing.md"),
        ("[a](docs/other.md#missing)", "docs/other.md#missing"),
        ("[a](docs/other.md#twice-2)", "docs/other.md#twice-2"),
        ("[a](#missing)", "#missing"),
        ("![a picture](missing.png)", "missing.png"),
        ("[a][b]\n\n[b]: missing.md", "missing.md"),
        ("```\n# Code\n```\n[a](#code)", "#code"),
        ("`code` [a](missing.md) `code`", "missing.md"),
    ],
)
def test_names_a_link_that_leads_nowhere(page: Path, text: str, link: str) -> None:
    page.write_text(text)
    assert list(links.broken_links(page)) == [f"{page}: {link} does not exist"]


def test_finds_the_project_s_own_pages_only() -> None:
    files = links.markdown_files()
    assert {ROOT / "README.md", ROOT / "docs" / "testing.md"} <= set(files)
    assert [file for file in files if ".venv" in file.parts or "node_modules" in file.parts] == []

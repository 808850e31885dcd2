"""The types of the pages' JavaScript, which front ends in TypeScript see as well."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from tools.base import ROOT

pytestmark = pytest.mark.npm

STATIC = ROOT / "web" / "static"
COMPILER = ROOT / "tests" / "npm" / "node_modules" / ".bin" / "tsc"
OPTIONS = shlex.split("""
--allowJs --checkJs --strict --noEmit --skipLibCheck --pretty false --target es2024
--module es2022 --moduleResolution bundler --lib es2024,dom,dom.iterable,dom.asynciterable
""")


def test_the_javascript_is_what_its_types_say() -> None:
    """Strictly, for all but what is by others."""
    entries = [STATIC / "app" / "main.js", STATIC / "react.js", STATIC / "runs.js"]
    done = subprocess.run(
        [COMPILER, *OPTIONS, *entries], cwd=STATIC, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    checked = [line for line in lines if "error TS" in line and not line.startswith("vendor/")]
    assert checked == []
    # It has looked at something: what is minified has no types.
    assert any(line.startswith("vendor/") for line in lines), done.stderr

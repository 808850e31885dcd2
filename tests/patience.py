"""How long a test waits for what has to happen."""

from __future__ import annotations

PATIENCE_S = 100.0
"""No test passes later for it: on a busy machine everything takes many times as long."""

"""Sparse copies: the same bytes and the same size, and no room for holes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.sparse import copy_sparse
from supervisor.units import KIB, MIB


@pytest.mark.parametrize(
    "pieces",
    [
        {},
        {0: b"x"},
        {0: b"a" * 3 * MIB},
        {8 * MIB: b"end"},
        {0: b"begin", 4 * MIB: b"m" * 10 * KIB, 16 * MIB: b"end"},
    ],
    ids=["nothing", "one byte", "much", "a hole", "holes"],
)
@pytest.mark.parametrize("hole_at_the_end", [0, 5 * MIB])
def test_a_copy_has_the_same_bytes_and_the_same_holes(
    tmp_path: Path, pieces: dict[int, bytes], hole_at_the_end: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("w+b") as old, target.open("w+b") as new:
        for at, piece in pieces.items():
            os.pwrite(old.fileno(), piece, at)
        size = os.fstat(old.fileno()).st_size + hole_at_the_end
        os.ftruncate(old.fileno(), size)
        assert copy_sparse(old.fileno(), new.fileno()) == size
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks + 16

"""One call of the command inside a test: what it printed, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from capmodel.cli import main


@dataclass(frozen=True)
class Done:
    """What one call left behind."""

    code: int | str | None
    out: str
    err: str


Run = Callable[..., Done]


def runner(capsys: pytest.CaptureFixture[str], *first: str) -> Run:
    """Return a function that calls the command, always with these arguments first."""

    def call(*args: object) -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*first, *map(str, args)])
        out, err = capsys.readouterr()
        return Done(stop.value.code, out, err)

    return call

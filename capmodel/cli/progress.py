"""What is said beside the result: on standard error, and only where somebody has to wait."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Final

import click

__all__ = ["PATIENCE_S", "note", "step"]

PATIENCE_S: Final = 2.0
"""A step that takes longer says what it is doing [s]."""


def note(words: str) -> None:
    """Print a message for the person at the terminal, on standard error."""
    click.echo(f"capmodel: {words}", err=True)


@contextlib.contextmanager
def step(doing: str) -> Iterator[None]:
    """Say what is being done, once it has taken longer than `PATIENCE_S`."""
    timer = threading.Timer(PATIENCE_S, note, [f"{doing} …"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

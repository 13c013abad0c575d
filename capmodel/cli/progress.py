"""What is said beside the result: on standard error, and only where somebody has to wait."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

import click

__all__ = ["PATIENCE_S", "bar", "note", "step"]

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


@contextlib.contextmanager
def bar(doing: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show how far a long step has come, once it has taken longer than `PATIENCE_S`.

    Yields what is to be told (steps done, steps in all, what comes next). Where standard error is
    no terminal the step is named once, as by :func:`step`.
    """
    if not sys.stderr.isatty():
        with step(doing):
            yield lambda _done, _total, _what: None
        return
    from tqdm import tqdm  # noqa: PLC0415  only where somebody watches

    shape = "{desc} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left"
    with tqdm(
        desc=f"capmodel: {doing}",
        total=0,
        bar_format=shape,
        delay=PATIENCE_S,
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
    ) as shown:

        def tell(done: int, total: int, what: str) -> None:
            shown.total = total
            shown.set_description_str(f"capmodel: {doing}: {what}", refresh=False)
            shown.update(done - shown.n)

        yield tell

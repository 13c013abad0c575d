"""What a library leaves behind: warnings, log lines, numpy's global seed, the environment.

This module answers: how is a library called so that nothing of the process is other afterwards, and
what it had to say is not lost? Warnings and log lines become messages, which become findings. What
is put back is the process's own, so fit and draw from one thread at a time.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

__all__ = ["Message", "contained", "environment_kept", "numpy_seeded"]

TECHNICAL: Final = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
"""Warnings between a library and its own dependencies: no news of the data."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something that a library said."""

    severity: Literal["warning", "info"]
    text: str


@contextmanager
def contained(loggers: Mapping[str, int]) -> Iterator[list[Message]]:
    """Collect what is warned and logged inside the block; both go on as before afterwards.

    Parameters
    ----------
    loggers
        Logger to the lowest level that is collected; lower ones are dropped.

    Yields
    ------
    list of Message
        Complete after the block, each text once, without what is :data:`TECHNICAL`.
    """
    heard: list[Message] = []
    messages: list[Message] = []
    with ExitStack() as stack:
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        for name, level in loggers.items():
            stack.enter_context(_collected(name, level, heard))
        try:
            yield messages
        finally:
            heard += [
                Message("warning", f"{w.category.__name__}: {w.message}")
                for w in caught
                if not issubclass(w.category, TECHNICAL)
            ]
            messages += dict.fromkeys(heard)


class _Collector(logging.Handler):
    """A log handler that writes to a list."""

    def __init__(self, heard: list[Message]) -> None:
        super().__init__()
        self.heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record."""
        severity: Literal["warning", "info"] = (
            "warning" if record.levelno >= logging.WARNING else "info"
        )
        self.heard.append(Message(severity, record.getMessage()))


@contextmanager
def _collected(name: str, level: int, heard: list[Message]) -> Iterator[None]:
    """Send a logger's records, and its children's, to a list and nowhere else."""
    logger = logging.getLogger(name)
    before = (logger.level, logger.handlers, logger.propagate, logger.disabled)
    logger.setLevel(level)
    logger.handlers, logger.propagate, logger.disabled = [_Collector(heard)], False, False
    try:
        yield
    finally:
        logger.setLevel(before[0])
        _, logger.handlers, logger.propagate, logger.disabled = before


@contextmanager
def numpy_seeded(seed: int) -> Iterator[None]:
    """Seed numpy's global random stream inside the block and put its state back afterwards."""
    state = np.random.get_state()  # noqa: NPY002  the stream that the library draws from
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@contextmanager
def environment_kept(name: str) -> Iterator[None]:
    """Put an environment variable back after the block."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

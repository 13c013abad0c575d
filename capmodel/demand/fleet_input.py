"""Fleets as arrays: blocks of services read once, checked, and laid out by local hour.

This module answers: which rows of a large array can be fitted, and why not the others? It fits
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from capmodel.demand.design import HOURS
from capmodel.errors import InputError, Problem
from capmodel.schema import Finding

__all__ = ["SHORTEST_DAYS", "Chunk", "Stream", "checked_quantiles", "nothing_usable", "screened"]

CHUNK: Final = 256
"""Services solved side by side: their arrays fit a few tens of MB."""
TILE: Final = 64
"""Hours transposed at a time."""
SHORTEST_DAYS: Final = 14
"""Fewer observed days than this cannot be fitted [days]."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some usable services by local hour."""

    positions: np.ndarray
    services: tuple[str, ...]
    values: np.ndarray
    """Shape (N, 24, S), float32."""
    first_day: np.ndarray
    """First observed day, shape (S,)."""

    def pick(self, keep: np.ndarray, first: int = 0) -> Chunk:
        """Return some of the services, from a day on."""
        where = np.flatnonzero(keep)
        whole = len(where) == len(self.positions)
        return Chunk(
            positions=self.positions[where],
            services=tuple(self.services[i] for i in where),
            values=self.values[first:] if whole else self.values[first:, :, where],
            first_day=self.first_day[where] - first,
        )


class Stream:
    """Chunks of a fleet with their names, read once."""

    def __init__(
        self, values: np.ndarray | Iterable[np.ndarray], services: Sequence[str] | None
    ) -> None:
        self.source = values
        self.given = services
        self.names: list[str] = []

    def __iter__(self) -> Iterator[tuple[np.ndarray, list[str], int]]:
        steps = 0
        for block in [self.source] if isinstance(self.source, np.ndarray) else self.source:
            steps = _checked_steps(block, steps)
            for at in range(0, len(block), CHUNK):
                part = block[at : at + CHUNK]
                position = len(self.names)
                names = self._next_names(position, len(part))
                self.names += names
                yield part, names, position
        if self.given is not None and len(self.given) != len(self.names):
            raise self._wrong_names(f"{len(self.names)} rows")

    def _next_names(self, position: int, count: int) -> list[str]:
        if self.given is None:
            return [f"service_{position + i}" for i in range(count)]
        if len(self.given) < position + count:
            raise self._wrong_names(f"{position + count} rows or more")
        return list(self.given[position : position + count])

    def _wrong_names(self, rows: str) -> InputError:
        return InputError.of(
            "services",
            got=f"{len(self.given or ())} names for {rows}",
            expected="one name for each row",
            do="Give as many names as rows.",
        )


def _checked_steps(block: np.ndarray, steps: int) -> int:
    n = block.shape[1] if block.ndim == 2 else 0  # noqa: PLR2004  services by hours
    if n == 0 or n % HOURS or (steps and n != steps):
        raise InputError.of(
            "values",
            got=f"shape {block.shape}",
            expected="(services, hours) with whole local days, the same for every block",
            do="Pad the first and last day with NaN.",
        )
    return int(n)


def checked_quantiles(quantiles: Sequence[float]) -> tuple[float, ...]:
    """Return the probabilities, refused where one is not inside (0, 1)."""
    bad = [q for q in quantiles if not 0 < q < 1]
    if bad or not quantiles:
        raise InputError.of(
            "quantiles",
            got=str(bad or quantiles),
            expected="probabilities inside (0, 1)",
            do="Write (0.5, 0.9, 0.95, 0.99).",
        )
    return tuple(float(q) for q in quantiles)


def screened(raw: np.ndarray, names: Sequence[str], position: int) -> tuple[Chunk, list[Finding]]:
    """Return the usable services by local hour and why the others are set aside."""
    days = (~np.isnan(raw)).reshape(len(raw), -1, HOURS).any(axis=2)
    lowest, highest = np.fmin.reduce(raw, axis=1), np.fmax.reduce(raw, axis=1)
    faults = (
        ("all_nan", ~days.any(axis=1), "no demand was observed"),
        ("infinite", np.isinf(lowest) | np.isinf(highest), "demand holds infinite values"),
        ("negative", lowest < 0, "demand is negative"),
        (
            "too_short",
            days.sum(axis=1) < SHORTEST_DAYS,
            f"fewer than {SHORTEST_DAYS} days observed",
        ),
        ("constant_zero", highest == 0, "demand is zero throughout"),
    )
    bad = np.zeros(len(raw), dtype=bool)
    findings = []
    for code, mask, text in faults:
        findings += [
            Finding(code, "error", names[i], f"{names[i]}: {text}; it is set aside")
            for i in np.flatnonzero(mask & ~bad).tolist()
        ]
        bad |= mask
    chunk = Chunk(
        positions=position + np.arange(len(raw)),
        services=tuple(names),
        values=_by_hour(raw),
        first_day=days.argmax(axis=1),
    )
    return chunk.pick(~bad), findings


def _by_hour(raw: np.ndarray) -> np.ndarray:
    """Return services by hours as days, hours, services, shape (N, 24, S), float32."""
    out = np.empty(raw.shape[::-1], dtype=np.float32)
    for at in range(0, len(out), TILE):  # a tile fits the cache, a whole column does not
        out[at : at + TILE] = raw[:, at : at + TILE].T
    return out.reshape(-1, HOURS, len(raw))


def nothing_usable(findings: Sequence[Finding]) -> InputError:
    """Return the error of a fleet without a usable service, with each one's reason."""
    return InputError(
        Problem(
            where=finding.service,
            got=finding.message.removeprefix(f"{finding.service}: "),
            expected=f"{SHORTEST_DAYS} days of hourly demand",
            do="Give at least one service with demand.",
        )
        for finding in findings
    )

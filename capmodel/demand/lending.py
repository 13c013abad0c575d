"""What long histories lend to short ones.

This module answers: a service is younger than a year, or has never seen Black Friday; what does it
take for its seasons and events, and from whom? From its group where the group can tell, else from
the whole fleet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from capmodel.demand.design import Design
from capmodel.demand.event_columns import EVENT_TERMS

if TYPE_CHECKING:
    from capmodel.demand.uncertainty import EventSpread

__all__ = ["FLEET", "Lender", "Lending", "LentEvent"]

FLEET: Final = ""
"""Name of the group of all services."""
FEWEST_DONORS: Final = 3
"""Fewer services than this are no group to borrow from where the fleet has more."""
BORROWED_BLOCKS: Final = ("yearly", "yearly_weekend", "yearly_hour", "public_weekday")
ONE_DONOR_SD: Final = 0.5
"""Log standard deviation between services of an event that a single one has seen; `assumed`."""
LEAST_DONOR_SD: Final = 0.1
"""Smallest log standard deviation between services: donors are seldom a sample; `assumed`."""


class Lending(Protocol):
    """Services fitted on one window that may lend."""

    @property
    def services(self) -> tuple[str, ...]:
        """Names, in the order of the arrays."""

    @property
    def design(self) -> Design:
        """Columns of the window."""

    @property
    def log_beta(self) -> np.ndarray:
        """Coefficients in log units of demand, shape (p, S)."""

    @property
    def spread(self) -> EventSpread:
        """How often events were seen."""

    @property
    def is_borrowing(self) -> bool:
        """Whether the services borrow themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class LentEvent:
    """An event's mean effect over the services that have seen it, in log units of demand."""

    donors: tuple[str, ...]
    coefficients: np.ndarray
    """Mean coefficients of the event's terms, 0 for terms that nobody has, shape (11,)."""
    sd: float
    """Log standard deviation of the mean effect between donors."""


@dataclass(frozen=True, slots=True, eq=False)
class Lender:
    """What long histories lend to short ones, in log units of demand."""

    groups: Mapping[str, str]
    """Service to the name of its group."""
    blocks: Mapping[str, Mapping[str, np.ndarray]]
    """Group to mean coefficients of the calendar blocks, shape (columns,) each."""
    events: Mapping[tuple[str, str], LentEvent]
    """Group and event to its mean effect."""

    @classmethod
    def of(cls, parts: Sequence[Lending], groups: Mapping[str, str]) -> Lender | None:
        """Average the services that do not borrow themselves; None when there is none."""
        lending = [part for part in parts if not part.is_borrowing]
        if not lending:
            return None
        return cls(
            groups=groups,
            blocks=_lent_blocks(lending, groups),
            events=_lent_events(lending, groups),
        )

    def event(self, service: str, event: str) -> LentEvent | None:
        """Return what a service would borrow for an event; None where nobody has seen it."""
        fleet = self.events.get((FLEET, event))
        own = self.events.get((self.groups.get(service, FLEET), event))
        if own is None or fleet is None or len(own.donors) >= FEWEST_DONORS:
            return own or fleet
        return own if len(fleet.donors) < FEWEST_DONORS else fleet

    def prior(self, design: Design, services: Sequence[str], sd: np.ndarray) -> np.ndarray:
        """Return the coefficients toward which short histories are held, shape (p, S) [z]."""
        log_prior = np.zeros((design.p, len(services)))
        columns = [design.of_event(e) for e in range(len(design.event_names))]
        for s, service in enumerate(services):
            group = self.groups.get(service, FLEET)
            for name, values in self.blocks.get(group, self.blocks[FLEET]).items():
                log_prior[design.block(name).columns, s] = values
            for own, name in zip(columns, design.event_names, strict=True):
                lent = self.event(service, name)
                if lent is not None:
                    log_prior[own, s] = lent.coefficients[: own.stop - own.start]
        return np.asarray(log_prior / sd)


def _memberships(services: Sequence[str], groups: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Yield each service's groups, the fleet included, with its column."""
    for s, service in enumerate(services):
        yield FLEET, s
        if groups.get(service, FLEET) != FLEET:
            yield groups[service], s


def _lent_blocks(
    lending: Sequence[Lending], groups: Mapping[str, str]
) -> dict[str, dict[str, np.ndarray]]:
    """Return each group's mean coefficients; groups of fewer than three services are left out."""
    rows: dict[str, dict[str, list[np.ndarray]]] = {}
    for part in lending:
        log_beta = part.log_beta
        for group, s in _memberships(part.services, groups):
            for name in BORROWED_BLOCKS:
                own = log_beta[part.design.block(name).columns, s]
                rows.setdefault(group, {}).setdefault(name, []).append(own)
    return {
        group: {name: np.mean(several, axis=0) for name, several in by_name.items()}
        for group, by_name in rows.items()
        if group == FLEET or len(by_name[BORROWED_BLOCKS[0]]) >= FEWEST_DONORS
    }


def _lent_events(
    lending: Sequence[Lending], groups: Mapping[str, str]
) -> dict[tuple[str, str], LentEvent]:
    donors: dict[tuple[str, str], list[str]] = {}
    rows: dict[tuple[str, str], list[np.ndarray]] = {}
    for part in lending:
        log_beta = part.log_beta
        own = [log_beta[part.design.of_event(e)] for e in range(len(part.design.event_names))]
        for group, s in _memberships(part.services, groups):
            for e in np.flatnonzero(part.spread.n[s] > 0):
                key = group, part.design.event_names[e]
                donors.setdefault(key, []).append(part.services[s])
                # A window that was longer for some has more terms there.
                few = EVENT_TERMS - len(own[e])
                rows.setdefault(key, []).append(np.pad(own[e][:, s], (0, few)))
    return {key: _lent(donors[key], several) for key, several in sorted(rows.items())}


def _lent(donors: Sequence[str], rows: Sequence[np.ndarray]) -> LentEvent:
    # The first coefficient is the mean log effect: the other terms have mean zero.
    sd = float(np.std([row[0] for row in rows], ddof=1)) if len(rows) > 1 else 0.0
    return LentEvent(
        donors=tuple(sorted(donors)),
        coefficients=np.mean(rows, axis=0),
        sd=max(sd, ONE_DONOR_SD if len(rows) == 1 else LEAST_DONOR_SD),
    )

"""What services of a group know together: the effect of an event, and whose luck is shared.

This module answers: how far is a service's own evidence of an event to be believed, and which part
of a season's luck strikes all services alike? Effects are shrunk toward the group's mean, then the
fleet's, never toward zero: a peak that is smoothed away is the dangerous error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from capmodel.demand.design import Design
from capmodel.demand.event_columns import EVENT_TERMS
from capmodel.demand.lending import FLEET
from capmodel.demand.scale import Scale
from capmodel.demand.uncertainty import PRIOR_DF, SHOCK_PRIOR_SD, EventSpread, Misses
from capmodel.events.days import PUBLIC_HOLIDAY

__all__ = ["Luck", "pool_events", "shared_luck"]

KIN_AT: Final = 3.0
"""Own standard errors from the group's median at which a service stands alone."""
FEWEST_DONORS: Final = 3
"""Fewer services than this that have seen an event are no group."""


class Fitted(Protocol):
    """Services fitted on one window."""

    @property
    def services(self) -> tuple[str, ...]: ...
    @property
    def design(self) -> Design: ...
    @property
    def beta(self) -> np.ndarray: ...
    @property
    def scale(self) -> Scale: ...
    @property
    def spread(self) -> EventSpread: ...


P = TypeVar("P", bound=Any)


@dataclass(frozen=True, slots=True)
class Luck:
    """Which share of the variance of a season's luck all services have in common [ratio]."""

    shock: float = 1.0
    """Of how an event's year differs."""
    drift: float = 1.0
    """Of the trend's error."""


def shared_luck(spreads: Sequence[EventSpread], misses: Sequence[Misses]) -> Luck:
    """Estimate the common share of season luck from how services erred together.

    For errors ``d_s`` of S services in one season, ``(S mean^2 / mean square - 1) / (S - 1)`` is
    the mean correlation of two services; it is averaged over events' occurrences (over backtests
    for the trend), with four seasons of full correlation as the prior: services of one business
    grow and celebrate together until their history shows otherwise. A single service keeps 1.
    """
    shocks = [
        np.concatenate(parts, axis=1)
        for parts in zip(*(_aligned(s, spreads) for s in spreads), strict=True)
    ]
    drifts = _stacked(misses)
    return Luck(shock=_common_share(shocks, 1.0), drift=_common_share(drifts, _seasons(misses)))


def _aligned(spread: EventSpread, spreads: Sequence[EventSpread]) -> list[np.ndarray]:
    """Return the deviations if this window has the first one's occurrences, else none of them."""
    first = spreads[0].deviation
    shapes = [len(d) for d in spread.deviation]
    if shapes != [len(d) for d in first]:
        return [np.zeros((len(d), 0)) for d in first]
    return list(spread.deviation)


def _stacked(misses: Sequence[Misses]) -> list[np.ndarray]:
    """Return the trend errors of the windows that share the first one's backtests."""
    if not misses:
        return []
    shape = misses[0].drift.shape[:2]
    same = [m.drift for m in misses if m.drift.shape[:2] == shape]
    return [np.concatenate(same, axis=2).reshape(shape[0] * shape[1], -1)]


def _seasons(misses: Sequence[Misses]) -> float:
    return (
        misses[0].seasons / max(misses[0].drift.shape[0] * misses[0].drift.shape[1], 1)
        if misses
        else 0.0
    )


def _common_share(errors: Sequence[np.ndarray], season_per_row: float) -> float:
    """Return the prior and the mean correlation of the rows, each (n_rows, S) with NaN for gaps."""
    weight, total = PRIOR_DF, PRIOR_DF
    for rows in errors:
        for row in rows:
            known = row[~np.isnan(row)]
            square = float((known**2).mean()) if len(known) else 0.0
            if len(known) < FEWEST_DONORS or square == 0:
                continue
            ratio = float(known.mean() ** 2) / square
            share = (len(known) * ratio - 1) / (len(known) - 1)
            weight += season_per_row
            total += season_per_row * max(share, 0.0)
    return min(total / weight, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Members:
    """The services that have seen one event, over all windows."""

    part: np.ndarray
    """Which window, shape (K,)."""
    column: np.ndarray
    """Which service of it, shape (K,)."""
    event: np.ndarray
    """Which event of its design, shape (K,)."""
    coefficients: np.ndarray
    """Log effect by the event's terms, 0 for terms that it lacks, shape (K, 11)."""
    error: np.ndarray
    """Log variance of the mean effect, shape (K,)."""
    leverage: np.ndarray
    """Share of one day in the effect, shape (K,)."""
    day_variance: np.ndarray
    """Log variance of an ordinary day's mean, shape (K,)."""
    variance: np.ndarray
    """Log variance between own years, shape (K,); NaN below two."""
    spare: np.ndarray
    """Occurrences beyond the first, shape (K,)."""
    group: np.ndarray
    """Name of the group, shape (K,)."""

    def pick(self, chosen: np.ndarray) -> _Members:
        """Return some of them."""
        return _Members(*(getattr(self, f.name)[chosen] for f in fields(self)))

    @classmethod
    def join(cls, several: Sequence[_Members]) -> _Members:
        """Return all of several."""
        kept = [m for m in several if len(m.part)] or list(several[:1])
        return cls(*(np.concatenate([getattr(m, f.name) for m in kept]) for f in fields(cls)))


def pool_events(parts: Sequence[P], groups: Mapping[str, str], luck: Luck) -> list[P]:
    """Return the windows with every event's effects shrunk toward those of its group.

    With own effects ``y_s`` of error variance ``v_s`` and a variance ``tau^2`` between services,
    the effect becomes ``w y_s + (1 - w) m`` with ``1 - w = k_s v_s / (tau^2 + v_s)`` and m the mean
    weighted by ``k_s / (tau^2 + v_s)``. ``k_s`` is one at the group's middle and zero for a service
    that differs by more than three of its own errors; tau^2 is the moment estimate of DerSimonian &
    Laird; v_s rests on the scatter between years that the group shows, not on the assumed one. The
    error that remains is ``r e + (1 - r) (w e + (1 - w)^2 var m)``, e the service's own with the
    assumed scatter and r the common share of luck: what struck all alike no pooling takes away.

    Groups of fewer than three services give way to the fleet; where that has fewer, public holidays
    seen once lean on the service's others. The variance between years is the mean of the group's,
    its degrees of freedom the seasons'.

    Parameters
    ----------
    parts
        Windows with `services`, `design`, `beta`, `scale` and `spread`; not modified.
    groups
        Service to the name of its group; services without one belong to the fleet alone.
    luck
        Common shares of luck.

    References
    ----------
    Beaton, A. E., & Tukey, J. W. (1974). The fitting of power series, meaning polynomials,
    illustrated on band-spectroscopic data. Technometrics 16(2), 147-185.
    DerSimonian, R., & Laird, N. (1986). Meta-analysis in clinical trials. Controlled Clinical
    Trials 7(3), 177-188.
    Efron, B., & Morris, C. (1975). Data analysis using Stein's estimator and its generalizations.
    Journal of the American Statistical Association 70(350), 311-319.
    """
    draft = _Draft.of(parts)
    alone: list[_Members] = []
    for event in sorted({name for part in parts for name in part.design.event_names}):
        members = _members(parts, event, groups)
        left = np.ones(len(members.group), dtype=bool)
        for chosen in _pools(members.group):
            draft.shrink(members.pick(chosen), luck.shock)
            left &= ~chosen
        alone.append(members.pick(left))
    for siblings, once in _tag_siblings(parts, _Members.join(alone)) if alone else ():
        draft.shrink(siblings, 0.0, only=once)
    return [
        replace(
            part,
            beta=draft.beta[i],
            spread=replace(
                part.spread,
                variance=draft.variance[i],
                coefficient_sd=draft.coefficient_sd[i],
                pooled=draft.pooled[i],
            ),
        )
        for i, part in enumerate(parts)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    """The windows' new arrays, one of each a window."""

    designs: list[Design]
    sd: list[np.ndarray]
    beta: list[np.ndarray]
    variance: list[np.ndarray]
    coefficient_sd: list[np.ndarray]
    pooled: list[np.ndarray]

    @classmethod
    def of(cls, parts: Sequence[Fitted]) -> _Draft:
        return cls(
            designs=[part.design for part in parts],
            sd=[part.scale.sd for part in parts],
            beta=[np.array(part.beta) for part in parts],
            variance=[np.array(part.spread.variance) for part in parts],
            coefficient_sd=[np.array(part.spread.coefficient_sd) for part in parts],
            pooled=[np.array(part.spread.pooled) for part in parts],
        )

    def shrink(self, members: _Members, common: float, only: np.ndarray | None = None) -> None:
        """Shrink effects toward their mean: all of them, or `only` some, shape (K,) bool."""
        effect, error = _shrunk(members, common)
        if only is not None:
            members, effect, error = members.pick(only), effect[only], error[only]
        known = members.variance[~np.isnan(members.variance)]
        for part, event in np.unique(np.stack([members.part, members.event]), axis=1).T:
            rows = np.flatnonzero((members.part == part) & (members.event == event))
            who = members.column[rows]
            columns = np.r_[self.designs[part].of_event(event)]
            own = effect[rows, : len(columns)]
            self.beta[part][np.ix_(columns, who)] = own.T / self.sd[part][who]
            self.coefficient_sd[part][who, event] = np.sqrt(error[rows])
            self.pooled[part][who, event] = only is None
            twice = ~np.isnan(members.variance[rows])
            if twice.any():
                self.variance[part][who[twice], event] = known.mean()


def _tag_siblings(
    parts: Sequence[Fitted], members: _Members
) -> Iterator[tuple[_Members, np.ndarray]]:
    """Yield each service's public holidays that no group could pool, and which were seen once.

    Only public holidays: they have much in common. The days of a sale do not, and their peaks are
    what a plan is about.
    """
    tagged = [
        {day.name for day in part.design.events.days if day.tag == PUBLIC_HOLIDAY} for part in parts
    ]
    is_public = np.array(
        [
            parts[p].design.event_names[e] in tagged[p]
            for p, e in zip(members.part, members.event, strict=True)
        ],
        dtype=bool,
    )
    keys = np.stack([members.part, members.column])
    for part, column in np.unique(keys[:, is_public], axis=1).T:
        chosen = is_public & (members.part == part) & (members.column == column)
        once = np.isnan(members.variance[chosen])
        if chosen.sum() >= FEWEST_DONORS and once.any():
            yield members.pick(chosen), once


def _members(parts: Sequence[Fitted], event: str, groups: Mapping[str, str]) -> _Members:
    found = [
        _members_of(part, where, part.design.event_names.index(event), groups)
        for where, part in enumerate(parts)
        if event in part.design.event_names
    ]
    return _Members.join(found)


def _members_of(part: Fitted, where: int, event: int, groups: Mapping[str, str]) -> _Members:
    seen = np.flatnonzero(part.spread.n[:, event] > 0)
    own = part.beta[part.design.of_event(event)][:, seen] * part.scale.sd[seen]
    twice = part.spread.n[seen, event] > 1
    return _Members(
        part=np.full(len(seen), where),
        column=seen,
        event=np.full(len(seen), event),
        coefficients=np.pad(own.T, ((0, 0), (0, EVENT_TERMS - len(own)))),
        error=part.spread.coefficient_sd[seen, event] ** 2,
        leverage=part.spread.leverage[seen, event],
        day_variance=part.spread.day_variance[seen, event],
        variance=np.where(twice, part.spread.variance[seen, event], np.nan),
        spare=part.spread.n[seen, event] - 1,
        group=np.array([groups.get(part.services[s], FLEET) for s in seen], dtype=str),
    )


def _pools(group: np.ndarray) -> Iterator[np.ndarray]:
    """Yield who is shrunk together: each group of three or more, then all others together."""
    left = np.ones(len(group), dtype=bool)
    for name in np.unique(group):
        chosen = group == name
        if name != FLEET and chosen.sum() >= FEWEST_DONORS:
            left &= ~chosen
            yield chosen
    if left.sum() >= FEWEST_DONORS:
        yield left


def _shrunk(members: _Members, common: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the shrunk effects, shape (K, b), and their error variances, shape (K,)."""
    own = members.coefficients
    known = PRIOR_DF * SHOCK_PRIOR_SD**2 + members.spare @ np.nan_to_num(members.variance)
    shown = known / (PRIOR_DF + members.spare.sum())
    error = members.leverage * (shown + members.day_variance)
    kin = _kinship(own[:, 0], error)
    near = kin > 0
    if near.sum() < FEWEST_DONORS:
        return own, members.error
    between = _between(own[near, 0], error[near])
    precision = kin / np.maximum(between + error, np.finfo(float).tiny)
    mean = precision @ own / precision.sum()
    share = 1 - kin * error / np.maximum(between + error, np.finfo(float).tiny)
    left = share * members.error + (1 - share) ** 2 / precision.sum()
    effect = share[:, None] * own + (1 - share)[:, None] * mean
    return effect, common * members.error + (1 - common) * np.minimum(left, members.error)


def _kinship(effect: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return how far each service belongs to the group, 1 at its middle, 0 beyond three errors.

    Tukey's biweight of the distance in the service's own standard errors (Beaton & Tukey 1974): who
    has clearly shown to be different is left alone, however uniform the others are.
    """
    distance = np.abs(effect - np.median(effect)) / np.sqrt(error)
    return np.asarray(np.maximum(1 - (distance / KIN_AT) ** 2, 0.0) ** 2)


def _between(effect: np.ndarray, error: np.ndarray) -> float:
    """Return the variance between services that their own errors do not explain."""
    weight = 1 / np.maximum(error, np.finfo(float).tiny)
    mean = weight @ effect / weight.sum()
    excess = weight @ (effect - mean) ** 2 - (len(effect) - 1)
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    return max(float(excess / scale), 0.0) if scale > 0 else 0.0

"""Why figures differ between two plans: each changed input is swapped back, one at a time.

This module answers: which input moved this figure, and by which share? Between *all as before* (b)
and *all as now* (n), an input's effect on a figure is the mean of what taking it back from n and
what putting it into b change: ``((n − n_without_i) + (b_with_i − b)) / 2``. For two inputs that is
the Shapley value (1953), which sums to the whole change; for more, effects are scaled to sum to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from capmodel.errors import InputError
from capmodel.plan.changes import Change, changed_inputs, inputs_of
from capmodel.plan.diffs import Figure, diff_frames, figures, is_number, same
from capmodel.plan.swaps import Replanner, with_changes

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.plan.model import CapacityFit
    from capmodel.plan.planset import PlanSet
    from capmodel.plan.study import Study

__all__ = ["UNRECORDED", "UNRESOLVED", "explained_diff"]

UNRESOLVED: Final = "unresolved, add --study"
UNRECORDED: Final = "not recorded"
"""What differs is in no plan's record: how usage is fitted, accepted findings, capmodel itself."""
SMALLEST: Final = 0.005
"""Shares below half a percent are not named [ratio]."""

Values = Mapping[Figure, Any]


@dataclass(frozen=True, slots=True)
class Swaps:
    """The figures of the plan with inputs swapped."""

    names: tuple[str, ...]
    before: Values
    """All inputs that can be swapped as before."""
    without: tuple[Values, ...]
    """As now, one input as before; by input."""
    only: tuple[Values, ...]
    """As before, one input as now; by input."""
    rest: str
    """Inputs that cannot be swapped, '' where there are none."""


def explained_diff(
    old: PlanSet, new: PlanSet, *, fit: CapacityFit | None = None, study: Study | None = None
) -> pd.DataFrame:
    """Return what differs between two plans, each row with the input that moved it.

    Parameters
    ----------
    old, new
        The plans.
    fit, study
        What the new plan was made from: with one of them, inputs are told apart where several
        differ, by at most ``2 k + 2`` plans for k inputs.

    Raises
    ------
    InputError
        For a fit or a study that does not give the new plan.
    """
    frame = diff_frames(old.frames, new.frames)
    changes = changed_inputs(old, new)
    if frame.empty:
        return frame
    if len(changes) <= 1:
        return frame.assign(cause=changes[0].name if changes else UNRECORDED)
    if fit is None and study is None:
        return frame.assign(cause=UNRESOLVED)
    if fit is None and study is not None:
        fit = study.fit()
    assert fit is not None  # noqa: S101  one of the two is given
    return with_causes(frame, old, new, changes, Replanner(plan=new, fit=fit, study=study))


def with_causes(
    frame: pd.DataFrame,
    old: PlanSet,
    new: PlanSet,
    changes: Sequence[Change],
    replanner: Replanner,
) -> pd.DataFrame:
    """Return the rows of a diff with their causes, found by planning again."""
    now = replanner.figures(inputs_of(new))
    _require_reproduced(new, now)
    swaps = _swapped(old, new, changes, replanner, now)
    at = [tuple(row) for row in frame[["frame", "key", "metric"]].itertuples(index=False)]
    then = figures(old.frames)
    return frame.assign(cause=[_cause(figure, then, now, swaps) for figure in at])


def _require_reproduced(new: PlanSet, now: Values) -> None:
    written = figures(new.frames)
    other = [at for at in (*written, *now) if not same(written.get(at), now.get(at))]
    if other:
        raise InputError.of(
            "diff.study",
            got=f"a study or fit whose plan differs from NEW in {len(set(other))} figures, "
            f"first in {' '.join(min(other))}",
            expected="what NEW was made from",
            do="Name NEW's own study, or plan it again first.",
        )


def _swapped(
    old: PlanSet, new: PlanSet, changes: Sequence[Change], replanner: Replanner, now: Values
) -> Swaps:
    before, after = inputs_of(old), inputs_of(new)
    able: list[Change] = []
    without: list[Values] = []
    only: list[Values]
    rest = [c.name for c in changes if not c.swaps]
    for change in (c for c in changes if c.swaps):
        try:
            without.append(replanner.figures(with_changes(after, before, [change])))
            able.append(change)
        except InputError:  # it stands or falls with another input
            rest.append(change.name)
    base = with_changes(after, before, able)
    whole = without[0] if len(able) == 1 else replanner.figures(base) if able else now
    if len(able) == 2:  # noqa: PLR2004  taking one back leaves the other
        only = without[::-1]
    elif len(able) == 1:
        only = [now]
    else:
        only = [replanner.figures(with_changes(base, after, [change])) for change in able]
    then = figures(old.frames)
    if not rest and any(not same(then.get(f), whole.get(f)) for f in {*then, *whole}):
        rest.append(UNRECORDED)
    return Swaps(
        names=tuple(c.name for c in able),
        before=whole,
        without=tuple(without),
        only=tuple(only),
        rest=", ".join(rest),
    )


def _cause(figure: Figure, then: Values, now: Values, swaps: Swaps) -> str:
    """Return what moved a figure from its old value to its new one."""
    o, b, n, *swapped = (
        _plain(values.get(figure))
        for values in (then, swaps.before, now, *swaps.without, *swaps.only)
    )
    without, only = swapped[: len(swaps.names)], swapped[len(swaps.names) :]
    needed = {i for i, value in enumerate(without) if not same(value, n)}
    enough = {i for i, value in enumerate(only) if not same(value, b)}
    movers = sorted(needed | enough)
    rest = swaps.rest if not same(o, b) else ""
    if rest and same(b, n):
        return rest
    names = [swaps.names[i] for i in movers] or list(swaps.names)
    if len(movers) == 1 and not rest:
        return names[0]
    if (enough or len(needed) == 1) and all(map(_finite, (o, b, n, *without, *only))):
        effects = [(n - without[i] + only[i] - b) / 2 for i in movers]
        return _shares(names, effects, total=n - b, rest=(rest, b - o))
    words = names[0] if len(movers) == 1 else f"together: {', '.join(names)}"
    if movers and not needed:
        words = f"either: {', '.join(names)}"
    return f"{words}; {rest}" if rest else words


def _plain(value: Any) -> Any:
    """Return a figure, money as a number: shares need no cents."""
    return float(value) if isinstance(value, Decimal) else value


def _finite(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def _shares(
    names: Sequence[str], effects: Sequence[float], *, total: float, rest: tuple[str, float]
) -> str:
    """Return inputs with their shares, the largest first; with amounts where they offset."""
    found = sum(effects)
    scale = total / found if abs(found) > abs(total) * 1e-9 else 1.0
    parts = [(name, effect * scale) for name, effect in zip(names, effects, strict=True)]
    parts += [rest] if rest[0] else []
    ranked = sorted(parts, key=lambda one: -abs(one[1]))
    if len({effect > 0 for _, effect in parts if effect}) > 1:
        return ", ".join(f"{name} {effect:+,.6g}" for name, effect in ranked if effect)
    whole = sum(effect for _, effect in parts)
    shares = [(name, effect / whole) for name, effect in ranked]
    return ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= SMALLEST)

"""A frozen plan against the actuals of its season.

This module answers: were we right? It orchestrates; each part is computed in a module of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

from capmodel.history import History
from capmodel.plan import PlanSet
from capmodel.plan.baseline import Baseline
from capmodel.retro.comparable import Comparable, comparable
from capmodel.retro.limits import limits_frame, money_frame
from capmodel.retro.misses import decomposition_frame
from capmodel.retro.observed import Observed, observe
from capmodel.retro.planned import Planned, planned_of
from capmodel.retro.quantiles import normal_score
from capmodel.retro.result import Retro
from capmodel.retro.scores import coverage_frame, days_frame, peaks_frame, scores_frame
from capmodel.schema import Finding, Findings

__all__ = ["retro"]


def retro(
    baseline: Baseline | PlanSet,
    actuals: History,
    *,
    provisioned: Mapping[tuple[str, str], float] | None = None,
) -> Retro:
    """Compare a frozen plan with what happened.

    Parameters
    ----------
    baseline
        What :func:`capmodel.plan.baseline.load_baseline` read, which refuses edited files. A plan
        that was never frozen is compared too, but cannot enter the ledger.
    actuals
        The season, hourly or by the minute: demand of roots, services and externals; cores,
        memory, pods, connections where they are known; a pool's nodes as ``replicas`` under its
        name.
    provisioned
        What stood there where it was not the plan's hard value: ``{("credit-bureau", "quota"):
        126}``, in the limit's unit.

    Returns
    -------
    Retro
        Frames, sentences, ledger rows and figures.

    Raises
    ------
    InputError
        For actuals of another zone, another time or other nodes than the plan's, and for
        provisioned limits that the plan does not hold.
    """
    frozen = baseline if isinstance(baseline, Baseline) else None
    plan = frozen.plan if frozen else baseline
    if not isinstance(plan, PlanSet):
        message = f"baseline: a frozen plan, not {type(plan).__name__}"
        raise TypeError(message)
    planned = planned_of(plan)
    observed = observe(planned, actuals)
    actual = comparable(planned, observed)
    days = days_frame(planned, observed, actual)
    peaks = peaks_frame(planned, observed, actual)
    freezing = _freezing(planned, frozen)
    findings = Findings((*freezing[2], *observed.findings, *actual.findings))
    frames = {
        "peaks": peaks,
        "days": days,
        "scores": scores_frame(days),
        "coverage": coverage_frame(peaks, days),
        "decomposition": decomposition_frame(planned, observed, actual),
        "limits": limits_frame(planned, observed, provisioned or {}),
        "money": money_frame(planned, observed),
        "findings": findings.to_frame().drop(columns="data"),
    }
    return Retro(frames=frames, meta=_meta(planned, observed, actual, freezing))


def _freezing(planned: Planned, frozen: Baseline | None) -> tuple[bool, str, tuple[Finding, ...]]:
    """Return whether the plan was frozen before its season, in words, and the finding if not."""
    if frozen is None:
        words = "never frozen"
    elif frozen.frozen_on >= planned.season_start:
        words = f"frozen on {frozen.frozen_on}, after its season began"
    else:
        return True, f"frozen on {frozen.frozen_on}", ()
    finding = Finding(
        code="not_frozen",
        severity="warning",
        service="",
        message=f"the plan was {words}: that it was made without the actuals is not shown",
    )
    return False, words, (finding,)


def _meta(
    planned: Planned,
    observed: Observed,
    actual: Comparable,
    freezing: tuple[bool, str, tuple[Finding, ...]],
) -> dict[str, Any]:
    season = planned.in_season
    values = {
        root: actual.season(root, season)[0] for root in planned.roots if root in actual.peaks
    }
    return {
        "title": str(planned.plan.meta["title"]),
        "plan_hash": planned.plan.hash,
        "as_of": str(planned.plan.meta["as_of"]),
        "frozen_before": freezing[0],
        "frozen_words": freezing[1],
        "scenario": planned.main,
        "season": {
            "start": planned.season_start.isoformat(),
            "end": planned.season_end.isoformat(),
        },
        "basis": actual.basis,
        "made_on": _after_last(observed).isoformat(),
        "actuals": observed.history.digest(),
        "scores": {
            root: normal_score(value, planned.season[root])
            for root, value in values.items()
            if not math.isnan(value)
        },
    }


def _after_last(observed: Observed) -> date:
    """Return the local date at which the actuals end."""
    axis = observed.history.axis
    return date.fromisoformat(axis.local_text(axis.n_steps)[:10])

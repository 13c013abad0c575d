"""Right-sizing: the request and the replicas of a service for the season's peak, and in quiet.

This module answers: what should one pod request, how many pods does the *forecast* peak take, how
many the quiet season, and which cores and GiB does that free or miss against today? Tools that look
back one or two weeks cannot see the season; :mod:`capmodel.capacity.lookback` sets them beside.

It knows no money: what a core and a GiB weigh comes from the caller.

Shapes: S scenarios, D draws, K pod sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from capmodel.capacity.pods import PodCpu, hpa_settled_pods, replicas_floor
from capmodel.capacity.podsizes import MEDIAN, PodNeeds, PodPaths, ceil_to
from capmodel.capacity.replicas import SLACK
from capmodel.capacity.rightsizing_input import (
    PodsToday,
    ServicePods,
    SizingRules,
    Weights,
    check,
    no_evidence,
)
from capmodel.capacity.throttling import StartUp, start_up
from capmodel.errors import InputError
from capmodel.laws import hpa_target_percent
from capmodel.schema import Basis, Status, worst_basis
from capmodel.topology import Policy
from capmodel.usage.saturation import THROTTLED_SHARE

__all__ = [
    "PodsToday",
    "RightSize",
    "ServicePods",
    "SizedSeason",
    "SizingRules",
    "Weights",
    "right_size",
    "right_size_all",
    "rightsizing_rows",
]

Season = Literal["season", "quiet"]
_SIZED = (
    "replicas", "cores", "memory_gib", "freed_cores", "freed_gib", "freed_weight",
    "least_cores", "least_gib", "settled_pods",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SizedSeason:
    """Pods of one season at the recommended request."""

    season: Season
    replicas: float
    cores: float
    """Requested in total [cores]."""
    memory_gib: float
    """Requested in total [GiB]."""
    freed_cores: float
    """Today's total − this [cores]; negative: missing."""
    freed_gib: float
    freed_weight: float
    """Of both, in the caller's unit."""
    binding: str
    """The hold row that asks this many, or ``minimum``."""
    least_cores: float
    """Smallest CPU request with which these pods keep every hold row [cores]."""
    least_gib: float
    """Smallest memory request, before rounding up [GiB]."""
    settled_pods: float
    """Where the autoscaler rests at the median load, within its bounds, unrounded [pods]."""


@dataclass(frozen=True, slots=True, eq=False)
class RightSize:
    """A service's recommended pod, in the season and in quiet, or why there is none."""

    service: ServicePods
    status: Status
    reason: str
    """Why there is no recommendation, or what it leans on; '' where nothing is to be said."""
    basis: Basis
    cpu_request_cores: float = math.nan
    memory_request_gib: float = math.nan
    """Also the memory limit [GiB]. No CPU limit is recommended."""
    hpa_percent: int | None = None
    """The autoscaler's target at this request [percent of the request]."""
    season: SizedSeason | None = None
    quiet: SizedSeason | None = None
    paths: PodPaths | None = None
    """The season's paths and policy, for what other requests would need."""
    startup: StartUp | None = None
    """Whether the burst of a start is there; None where it was not given."""

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name


def right_size_all(
    services: Iterable[ServicePods], *, policy: Policy, rules: SizingRules, weights: Weights
) -> tuple[RightSize, ...]:
    """Return :func:`right_size` of each service; one with bad input is GREY with its reason."""
    results = []
    for service in services:
        try:
            results.append(right_size(service, policy=policy, rules=rules, weights=weights))
        except InputError as error:
            reason = "; ".join(str(problem) for problem in error.problems)
            results.append(_grey(service, reason))
    return tuple(results)


def right_size(
    service: ServicePods, *, policy: Policy, rules: SizingRules, weights: Weights
) -> RightSize:
    """Return a service's recommended request and replicas for the season and for quiet.

    1. For each allowed CPU request r the pods n(r): the largest over the policy's ``hold`` rows
       (:func:`capmodel.capacity.replicas.replicas_for` at the row's quantile, target and lost
       zones), and the minimum, also per zone.
    2. The memory request m(r): a quantile of the hottest pod's memory at the season's peak times a
       margin, and no less than the policy's rows on memory ask; rounded up. A pod may be as full as
       ``(1 + tolerance) · target``, where the autoscaler leaves it.
    3. The r with the least ``n · (r · weight_per_core + m · weight_per_gib)``; today's where that
       saves too little, or where larger pods would see loads far beyond those measured.

    The request and the autoscaler's target belong together: it rests at
    ``n = per_request · load / (percent/100 · r − per_pod)``, so a smaller request at the same
    percent means more pods, and a request set to the usage is wrong again once pods have moved
    (robusta-dev/krr#80). Here percent is ``100 · target`` of the new request, and n is counted at
    that target: nothing moves afterwards. To change the request alone, see
    :func:`capmodel.capacity.pods.percent_after`.

    In quiet only replicas change: another request would be a rollout before every season.

    Parameters
    ----------
    service
        Usage, loads and today.
    policy
        Its ``hold`` rows, targets and risks.
    rules
        Allowed pods and margins.
    weights
        What a core and a GiB weigh.

    Returns
    -------
    RightSize
        GREY without evidence (no usage of a resource, CPU that does not follow the load, no loads,
        today unknown); RED where no allowed pod holds the policy, or the season needs more pods
        than the maximum; AMBER with a reason that weakens it; else GREEN.

    Raises
    ------
    InputError
        Arguments outside their range; more zones to lose than there are.
    """
    reason = no_evidence(service)
    today = service.today
    if reason or today is None:
        return _grey(service, reason)
    target = policy.utilization.cpu_cores if service.cpu_target is None else service.cpu_target
    check(service, target)
    floor = replicas_floor(service.minimum, zones=service.zones or 1, per_zone=rules.per_zone)
    season, quiet = (
        _paths(service, load, policy, target=target, floor=floor)
        for load in (service.season_rps, service.quiet_rps)
    )
    sizes = _ladder(rules, today.cpu_cores)
    near = (season.reach(sizes, service.uses) <= rules.reach_x + SLACK) | (sizes == today.cpu_cores)
    pods = _candidates(service, rules, season, sizes[near])
    if not pods.possible.any():
        pods = _candidates(service, rules, season, sizes)
    if not pods.possible.any():
        return _infeasible(service, pods, rules)
    chosen = _with_quiet(service, rules, quiet, pods, _choose(service, rules, pods, weights))
    start = _start(service, chosen.cores)
    made = _season("season", service, season, chosen, weights)
    status, reason = _judged(service, rules, chosen, made, start=start, target=target)
    return RightSize(
        service=service,
        status=status,
        reason=reason,
        basis=worst_basis(use.basis for use in service.uses),
        cpu_request_cores=chosen.cores,
        memory_request_gib=chosen.gib,
        hpa_percent=hpa_target_percent(target, limit_cores=1.0, request_cores=1.0),
        season=made,
        quiet=_season("quiet", service, quiet, chosen, weights),
        paths=season,
        startup=start,
    )


def rightsizing_rows(results: Iterable[RightSize]) -> list[dict[str, Any]]:
    """Return one plain row per service and season, units in the names; nan where there is none.

    ``replicas``, requests per pod, totals, what is freed against today (negative: missing), the
    caller's weight of it, the autoscaler's percent, status, reason and basis.
    """
    rows = []
    for result in results:
        today, day = result.service.today, result.service.season_day
        for name, sized in (("season", result.season), ("quiet", result.quiet)):
            row: dict[str, Any] = {
                "service": result.name,
                "season": name,
                "day": day if name == "season" else None,
                "status": result.status,
                "today_pods": math.nan if today is None else today.pods,
                "today_cpu_cores": math.nan if today is None else today.cpu_cores,
                "today_memory_gib": math.nan if today is None else today.memory_gib,
                "cpu_request_cores": result.cpu_request_cores,
                "memory_request_gib": result.memory_request_gib,
                "hpa_percent": result.hpa_percent,
            }
            row |= {field: getattr(sized, field, math.nan) for field in _SIZED}
            row["binding"] = sized.binding if sized else ""
            rows.append(row | {"reason": result.reason, "basis": result.basis})
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Candidates:
    """Pods of several sizes and what the season needs of them, shape (K,)."""

    cores: np.ndarray
    pods: np.ndarray
    memory: np.ndarray
    """Unrounded memory request [GiB]."""
    gib: np.ndarray
    reach: np.ndarray
    possible: np.ndarray
    """Whether some number of pods keeps the policy, and the memory request is allowed."""


@dataclass(frozen=True, slots=True)
class _Chosen:
    cores: float
    memory: float
    """Unrounded memory request [GiB]."""
    gib: float
    reach: float


def _ladder(rules: SizingRules, today: float) -> np.ndarray:
    """Return the allowed CPU requests and today's, rising [cores]."""
    steps = math.floor(rules.cpu_most_cores / rules.cpu_step_cores + SLACK)
    return np.union1d(rules.cpu_step_cores * np.arange(1, steps + 1), [today])


def _candidates(
    service: ServicePods, rules: SizingRules, season: PodPaths, cores: np.ndarray
) -> _Candidates:
    needs = season.pods(cores)
    memory = _memory(service, rules, season, cores, needs)
    gib = ceil_to(memory, rules.memory_step_gib)
    return _Candidates(
        cores=cores,
        pods=needs.whole,
        memory=memory,
        gib=gib,
        reach=season.reach(cores, service.uses),
        possible=np.isfinite(needs.whole) & (gib <= rules.memory_most_gib),
    )


def _memory(
    service: ServicePods, rules: SizingRules, path: PodPaths, cores: np.ndarray, needs: PodNeeds
) -> np.ndarray:
    """Return the unrounded memory request of each size, no less than what was seen asks [GiB]."""
    modeled = path.memory(
        cores,
        needs.continuous,
        quantile=rules.memory_quantile,
        margin_x=rules.memory_margin_x,
        slack=1 + rules.tolerance,
    )
    seen = rules.memory_margin_x * (service.memory_seen_gib or 0.0)
    return np.asarray(np.maximum(modeled, seen))


def _with_quiet(
    service: ServicePods, rules: SizingRules, quiet: PodPaths, pods: _Candidates, k: int
) -> _Chosen:
    """Return the chosen pod; its memory holds in quiet too, where fewer pods may be as full."""
    cores = pods.cores[[k]]
    memory = _memory(service, rules, quiet, cores, quiet.pods(cores))
    largest = np.maximum(pods.memory[[k]], np.where(np.isfinite(memory), memory, 0.0))
    return _Chosen(
        cores=float(cores[0]),
        memory=float(largest[0]),
        gib=float(ceil_to(largest, rules.memory_step_gib)[0]),
        reach=float(pods.reach[k]),
    )


def _paths(
    service: ServicePods, load: np.ndarray, policy: Policy, *, target: float, floor: int
) -> PodPaths:
    rows = np.atleast_2d(load)
    weights = None
    if service.scenario_weights is not None:
        weights = np.repeat(service.scenario_weights / rows.shape[1], rows.shape[1])
    level = 1 - policy.risk.of(service.tier) if service.level is None else service.level
    return PodPaths(
        uses=service.uses,
        load=rows.ravel(),
        weights=weights,
        policy=policy,
        cpu_target=target,
        level=level,
        imbalance_x=service.imbalance_x,
        zones=service.zones,
        floor=floor,
    )


def _choose(service: ServicePods, rules: SizingRules, pods: _Candidates, weights: Weights) -> int:
    """Return the possible pod of least weight; today's request where another is not worth it."""
    allowed = pods.possible
    if service.maximum is not None and (allowed & (pods.pods <= service.maximum)).any():
        allowed = allowed & (pods.pods <= service.maximum)
    per_pod = pods.cores * weights.per_core + pods.gib * weights.per_gib
    weight = np.full(len(per_pod), np.inf)
    np.multiply(pods.pods, per_pod, out=weight, where=allowed)
    best = int(weight.argmin())
    today = service.today.cpu_cores if service.today else math.nan
    kept = np.flatnonzero((pods.cores == today) & allowed)
    if len(kept) and weight[kept[0]] * (1 - rules.worth) <= weight[best]:
        return int(kept[0])
    return best


def _season(
    name: Season, service: ServicePods, path: PodPaths, pod: _Chosen, weights: Weights
) -> SizedSeason:
    """Return one season's pods of the chosen size, against today."""
    need, today = path.pods(np.array([pod.cores])), service.today
    count = float(need.whole[0])
    freed_cores = today.pods * today.cpu_cores - count * pod.cores if today else math.nan
    freed_gib = today.pods * today.memory_gib - count * pod.gib if today else math.nan
    ceiling = math.inf if service.maximum is None else service.maximum
    return SizedSeason(
        season=name,
        replicas=count,
        cores=count * pod.cores,
        memory_gib=count * pod.gib,
        freed_cores=freed_cores,
        freed_gib=freed_gib,
        freed_weight=freed_cores * weights.per_core + freed_gib * weights.per_gib,
        binding=need.binding[0],
        least_cores=path.least(count, "cpu_cores"),
        least_gib=pod.memory,
        settled_pods=min(max(_settled(service, path, pod.cores), path.floor), ceiling),
    )


def _settled(service: ServicePods, path: PodPaths, request: float) -> float:
    """Return the pods at which the autoscaler rests at the median load, before its bounds."""
    load = float(path.quantile(path.load[None, :], MEDIAN)[0])
    rests = [
        hpa_settled_pods(
            load,
            per_request=max(line.per_request, 0.0),
            per_pod=line.per_pod,
            request_cores=request,
            percent=100.0 * path.cpu_target,
        )
        for line in service.resource("cpu_cores")
    ]
    return max(float(rest) for rest in rests)


def _start(service: ServicePods, request: float) -> StartUp | None:
    if service.startup_cores is None:
        return None
    cpu = PodCpu(request_cores=request)
    return start_up(service.startup_cores, cpu, node_free_cores=service.node_free_cores)


def _judged(
    service: ServicePods,
    rules: SizingRules,
    pod: _Chosen,
    season: SizedSeason,
    *,
    target: float,
    start: StartUp | None,
) -> tuple[Status, str]:
    """Return the status, and in words what the recommendation leans on."""
    reasons = []
    today = service.today
    if pod.reach > rules.reach_x + SLACK:
        reasons.append(f"pods at {pod.reach:.1f} times the load that any was measured at")
    hottest = (1 + rules.tolerance) * target * service.imbalance_x
    if hottest > 1 + SLACK:
        reasons.append(f"the autoscaler may leave the hottest pod at {hottest:.0%} of its request")
    if any(not use.follows_load for use in service.resource("memory_gib")):
        reasons.append("memory follows something else than the load")
    if today and today.throttled_share is not None and today.throttled_share > THROTTLED_SHARE:
        reasons.append(
            f"throttled in {today.throttled_share:.0%} of the periods today: measured usage is a "
            "lower bound until the CPU limit goes"
        )
    elif today and today.cpu_limit_cores is not None and today.throttled_share is None:
        reasons.append("throttling under today's CPU limit is not measured")
    if start is not None and not start.fits:
        reasons.append(f"a start takes {start.slower_x:.1f} times longer: its burst finds no cores")
    status: Status = "AMBER" if reasons else "GREEN"
    if service.maximum is not None and season.replicas > service.maximum:
        status = "RED"
        short = f"the season takes {season.replicas:g} pods, replicas.max is {service.maximum}"
        reasons.insert(0, short)
    if pod.gib > rules.memory_most_gib:
        status = "RED"
        reasons.insert(0, f"memory: {pod.gib:g} GiB in quiet, {rules.memory_most_gib:g} allowed")
    return status, "; ".join(reasons)


def _infeasible(service: ServicePods, pods: _Candidates, rules: SizingRules) -> RightSize:
    """Return the result where no allowed pod keeps the policy, with the limit that binds."""
    finite = np.isfinite(pods.pods)
    if finite.any():
        least = float(pods.memory[finite].min())
        reason = f"memory: a pod needs {least:.2f} GiB, {rules.memory_most_gib:g} are allowed"
    else:
        reason = (
            f"cpu_cores: no request up to {rules.cpu_most_cores:g} cores holds the policy: an idle "
            "pod fills it"
        )
    return RightSize(service, "RED", reason, worst_basis(use.basis for use in service.uses))


def _grey(service: ServicePods, reason: str) -> RightSize:
    return RightSize(service, "GREY", reason, worst_basis(use.basis for use in service.uses))

"""What pods and databases use per request: central values and draws, ready for sizing.

This module answers: how many pods does a load need when each may be filled to a target, and how
many cores does a service or database burn at a load? Coefficients come from a usage fit or are
declared; beyond the range that a fit has seen, their spread grows.

Shapes: D draws, N local days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from capmodel.capacity.replicas import replicas_for
from capmodel.schema import Basis, rng_for
from capmodel.usage import extrapolation_log_sd

if TYPE_CHECKING:
    from capmodel.topology import Hold, Policy
    from capmodel.usage import LinearUsage

__all__ = [
    "DatabaseUse",
    "PodUse",
    "ServiceUse",
    "database_use",
    "pod_uses",
    "targets_of",
]

POD_RESOURCES: Final = ("cpu_cores", "memory_gib")


@dataclass(frozen=True, slots=True, eq=False)
class PodUse:
    """One resource of a service's pods: ``usage = per_pod * pods + per_request * rps``."""

    resource: str
    request: float
    """What a pod requests [cores or GiB]."""
    per_request: float
    per_pod: float
    per_request_draws: np.ndarray
    """Shape (D, 1)."""
    per_pod_draws: np.ndarray
    """Shape (D, 1)."""
    load_per_pod_max: float
    """Largest load per pod that the fit has seen [1/s]; inf for declared coefficients."""
    widening: np.ndarray
    """Standard normal draws of the extrapolation, shape (D, 1)."""
    basis: Basis
    follows_load: bool = True
    """Whether the fit saw usage follow the load at all."""
    holds_from: float = 0.0
    """Load per pod from which this line is the one that holds [1/s]: the knee of a bent one."""

    def load_per_pod(self, target: float) -> float:
        """Return the load that fills one pod to a target ratio of its request [1/s]."""
        if self.per_request == 0:
            return math.inf
        return max((target * self.request - self.per_pod) / self.per_request, 0.0)

    def per_request_at(self, load_per_pod: float) -> np.ndarray:
        """Return draws of per_request, widened where a pod's load lies beyond the range seen."""
        sd = float(extrapolation_log_sd(load_per_pod, self.load_per_pod_max))
        if sd == 0.0:
            return self.per_request_draws
        return np.asarray(self.per_request_draws * np.exp(sd * self.widening))

    def pods(
        self, load: np.ndarray, *, target: float, imbalance: float, load_per_pod: float
    ) -> np.ndarray:
        """Return pods, unrounded, that keep the hottest within the target; inf where none can."""
        return replicas_for(
            load,
            per_request=self.per_request_at(load_per_pod),
            per_pod=self.per_pod_draws,
            pod_size=target * self.request,
            target=1.0,
            imbalance_x=imbalance,
        ).continuous

    def pods_per_load(self, target: float, *, imbalance: float = 1.0) -> float:
        """Return central, continuous pods per unit of load [pods per 1/s]; inf where infeasible."""
        room = target * self.request - self.per_pod * imbalance
        return self.per_request * imbalance / room if room > 0 else math.inf


def pod_uses(
    fit: LinearUsage, *, request: float, draws: int, seed: int, today_pods: int | None = None
) -> tuple[PodUse, ...]:
    """Return a service's use of one resource from its fit or declaration.

    Two uses where the fit bends: a line that bends upwards at a knee ``k`` is the larger of
    ``a + b x`` and ``(a − q k) + (b + q) x`` (x: load per pod), so the pods that it needs are the
    larger of what the two need.

    Several classes, requests in flight or failures count at the ratios of the busiest rows
    (:attr:`capmodel.usage.LinearUsage.typical`): the plan forecasts requests as a whole. Where pods
    were not counted, the idle usage of the service is that of `today_pods`, a share for each; it is
    left out where those are not known either, as known work always is.
    """
    names = (fit.service, fit.resource)
    drawn = fit.draws(draws, rng_for(seed, "usage", *names))
    widening = rng_for(seed, "extrapolation", *names).standard_normal((draws, 1))
    by_request, by_pod = fit.weights("requests"), fit.weights("pods")
    if today_pods:
        by_pod = by_pod + np.array([term == "idle" for term in fit.terms]) / today_pods
    line = PodUse(
        resource=fit.resource,
        request=request,
        per_request=float(fit.value @ by_request),
        per_pod=float(fit.value @ by_pod),
        per_request_draws=(drawn @ by_request)[:, None],
        per_pod_draws=(drawn @ by_pod)[:, None],
        load_per_pod_max=_finite_or_inf(fit.load_per_pod_max),
        widening=widening,
        basis=fit.basis,
        follows_load=fit.follows_load,
    )
    if "per_request_above_knee" not in fit.terms:
        return (line,)
    k = fit.terms.index("per_request_above_knee")
    steeper = replace(
        line,
        per_request=line.per_request + float(fit.value[k]),
        per_pod=line.per_pod - float(fit.value[k]) * fit.knee_per_pod,
        per_request_draws=line.per_request_draws + drawn[:, [k]],
        per_pod_draws=line.per_pod_draws - drawn[:, [k]] * fit.knee_per_pod,
        holds_from=fit.knee_per_pod,
    )
    return (line, steeper)


def _finite_or_inf(value: float) -> float:
    return value if math.isfinite(value) else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class ServiceUse:
    """How a service turns load into pods."""

    name: str
    uses: tuple[PodUse, ...]
    imbalance_x: float
    """Hottest pod / mean pod; multiplies usage against hard per-pod limits only."""
    today_rps: float
    """Central load of today's busiest minute [1/s]; nan where unknown."""
    today_pods: int | None
    minimum: int
    maximum: int | None
    imbalance_basis: Basis = "assumed"
    imbalance_source: str = ""
    utilization: float | None = None
    """Planned utilization of the cores, of the request, where the service has its own [ratio]."""
    cpu_limit_x: float = 1.0
    """Cores that a pod may use at most / cores that it requests [ratio]."""

    @property
    def known(self) -> bool:
        """Whether pods follow from load at all."""
        return bool(self.uses) or (self.today_pods is not None and self.today_rps > 0)

    def uses_of(self, resource: str) -> tuple[PodUse, ...]:
        """Return the lines of one resource: two where its usage bends upwards."""
        return tuple(use for use in self.uses if use.resource == resource)

    def infeasible(self, targets: Mapping[str, float], *, hard: bool) -> PodUse | None:
        """Return the resource that idle pods alone fill beyond the target at the median, if any.

        No number of pods brings it within: each brings its own idle usage. See :meth:`pods`.
        """
        imbalance = self.imbalance_x if hard else 1.0
        for use in self.uses:
            room = targets[use.resource] * use.request - use.per_pod_draws * imbalance
            if np.median(room) <= 0:
                return use
        return None

    def targets(self, hold: Hold, policy: Policy) -> dict[str, float]:
        """Return what a hold row accepts of each resource, of the request [ratio].

        :func:`targets_of`, but for cores: the service's own utilization wins over the policy's, and
        a full pod is one at its CPU limit. Requests size nodes, a limit bounds what a pod may use;
        so a pod with a limit is full there, and on rows up to `hard` it takes as much from its node
        (:meth:`node_cores_x`), which no request sets aside. Without a limit a pod may use what its
        neighbours leave, and nobody promises that: it is full at its request.
        """
        targets = targets_of(hold, policy)
        degraded = hold.up_to == "utilization_degraded" and policy.utilization_degraded is not None
        if hold.is_hard:
            targets["cpu_cores"] = self.cpu_limit_x
        elif self.utilization is not None and not degraded:
            targets["cpu_cores"] = self.utilization
        return targets

    def limit_x(self, resource: str) -> float:
        """Return what a pod may use at most of a resource / what it requests [ratio]."""
        return self.cpu_limit_x if resource == "cpu_cores" else 1.0

    def node_cores_x(self, hold: Hold, policy: Policy) -> float:
        """Return the cores that a pod takes from its node under a row / its request [ratio].

        1 but for pods with a limit on rows up to `hard`: what the hottest pod then uses, from its
        request to its limit; less than the limit where memory decides how many pods there are.
        """
        if not hold.is_hard or self.cpu_limit_x == 1.0:
            return 1.0
        rate = self.pods_per_load(self.targets(hold, policy), hard=True)
        if not (math.isfinite(rate) and rate > 0):
            return self.cpu_limit_x
        busy = [(u.per_pod + u.per_request / rate) / u.request for u in self.uses_of("cpu_cores")]
        return min(max([1.0, *(x * self.imbalance_x for x in busy)]), self.cpu_limit_x)

    @property
    def basis(self) -> Basis:
        """Evidence of the pods: the uses', or assumed proportional to today's."""
        return self.uses[0].basis if self.uses else "assumed"

    def pods(self, load: np.ndarray, *, targets: Mapping[str, float], hard: bool) -> np.ndarray:
        """Return the pods that a load needs, unrounded and before the autoscaler's bounds.

        Parameters
        ----------
        load
            Requests in the busiest minute, any shape broadcastable with (D, 1) [1/s].
        targets
            Accepted utilization per resource [ratio].
        hard
            Whether the hottest pod is meant (imbalance applies) or the mean.
        """
        if not self.uses:
            return np.asarray((self.today_pods or 0) * load / self.today_rps)
        imbalance = self.imbalance_x if hard else 1.0
        load_per_pod = self.load_per_pod(targets)
        need = np.zeros(np.broadcast_shapes(load.shape, (1, 1)))
        for use in self.uses:
            pods = use.pods(
                load,
                target=targets[use.resource],
                imbalance=imbalance,
                load_per_pod=load_per_pod,
            )
            need = np.maximum(need, pods)
        return need

    def load_per_pod(self, targets: Mapping[str, float]) -> float:
        """Return the load of a pod that its binding resource fills to the target [1/s]."""
        loads = [use.load_per_pod(targets[use.resource]) for use in self.uses]
        finite = [load for load in loads if math.isfinite(load)]
        return min(finite, default=0.0)

    def extrapolation_x(self, targets: Mapping[str, float], *, load: float = math.inf) -> float:
        """Return a pod's load at the target / the largest that any fit has seen [ratio].

        Pods that the minimum keeps running share `load` [1/s] and may never reach the target.
        """
        per_pod = self.load_per_pod(targets)
        if self.minimum:
            per_pod = min(per_pod, load / self.minimum)
        return max((per_pod / use.load_per_pod_max for use in self.uses), default=0.0)

    def pods_per_load(self, targets: Mapping[str, float], *, hard: bool = False) -> float:
        """Return central, continuous pods per unit of load, by the binding resource.

        `hard` means the hottest pod, as in :meth:`pods`.
        """
        if not self.uses:
            return (self.today_pods or 0) / self.today_rps if self.today_rps > 0 else 0.0
        imbalance = self.imbalance_x if hard else 1.0
        return max(
            use.pods_per_load(targets[use.resource], imbalance=imbalance) for use in self.uses
        )


@dataclass(frozen=True, slots=True, eq=False)
class DatabaseUse:
    """Busy cores of a database: ``idle + per_read * reads + per_write * writes``."""

    name: str
    idle: np.ndarray
    per_read: np.ndarray
    per_write: np.ndarray
    """Each of shape (D, 1)."""
    central: tuple[float, float, float]
    """Central idle [cores], per_read and per_write [core-seconds per query]."""
    qps_max: float
    """Largest query rate that the fit has seen [1/s]; inf for declared coefficients."""
    widening: np.ndarray
    basis: Basis
    follows_load: bool = True
    """Whether the fit saw usage follow the queries at all."""

    def cores(self, reads: np.ndarray, writes: np.ndarray) -> np.ndarray:
        """Return the writer's busy cores for query rates of shape (D, N) [1/s]."""
        qps = reads + writes
        with np.errstate(divide="ignore"):
            sd = extrapolation_log_sd(qps, self.qps_max)
        x = np.exp(sd * self.widening)
        return np.asarray(self.idle + x * (self.per_read * reads + self.per_write * writes))


def database_use(fit: LinearUsage, *, draws: int, seed: int) -> DatabaseUse:
    """Return a database's use of cores from its fit or declaration."""
    names = (fit.service, fit.resource)
    drawn = fit.draws(draws, rng_for(seed, "usage", *names))
    reads, writes = (_of_queries(fit, kind) for kind in ("per_read", "per_write"))
    idle = np.array([term == "idle" for term in fit.terms], dtype=float)
    seen = [float(fit.load_max[k]) for k in np.flatnonzero(reads + writes > 0)]
    return DatabaseUse(
        name=fit.service,
        idle=(drawn @ idle)[:, None],
        per_read=(drawn @ reads)[:, None],
        per_write=(drawn @ writes)[:, None],
        central=(float(fit.value @ idle), float(fit.value @ reads), float(fit.value @ writes)),
        qps_max=_finite_or_inf(_queries_seen(fit, seen)),
        widening=rng_for(seed, "extrapolation", *names).standard_normal((draws, 1)),
        basis=fit.basis,
        follows_load=fit.follows_load,
    )


def _of_queries(fit: LinearUsage, kind: str) -> np.ndarray:
    """Return each term's load per read, or per write, at the busiest rows, shape (K,).

    Classes count by their share of that kind; rows examined and misses by their ratio to all
    queries, so that reads and writes both bring their part.
    """
    per = fit.weights("requests")
    of_kind = np.array([term.partition(":")[0] == kind for term in fit.terms])
    shared = np.array(
        [term.partition(":")[0] in ("per_row_examined", "per_miss") for term in fit.terms]
    )
    total = float(per[of_kind].sum())
    own = np.where(of_kind, per / total if total > 0 else 1.0, 0.0)
    return np.asarray(np.where(shared, per, own))


def _queries_seen(fit: LinearUsage, by_term: list[float]) -> float:
    if math.isfinite(fit.load_total_max):
        return fit.load_total_max
    return sum(by_term) if by_term else math.inf


def targets_of(hold: Hold, policy: Policy) -> dict[str, float]:
    """Return the accepted utilization per pod resource of one hold row [ratio]."""
    if hold.up_to == "hard":
        return dict.fromkeys(POD_RESOURCES, 1.0)
    normal = {r: float(getattr(policy.utilization, r)) for r in POD_RESOURCES}
    if hold.up_to == "utilization" or policy.utilization_degraded is None:
        return normal
    return dict.fromkeys(POD_RESOURCES, policy.utilization_degraded)

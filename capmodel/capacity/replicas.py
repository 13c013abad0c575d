"""Pods of a service: how many hold a load, and what the autoscaler makes of a metric.

This module answers: how many pods keep the hottest pod within its target, through a rollout and
the loss of zones? It takes arrays of draws and knows neither nodes nor money. A need that no number
of pods can meet is ``inf`` and flagged, never a large number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError, require

__all__ = [
    "HPA_TOLERANCE",
    "SLACK",
    "BindingNeed",
    "BoundedReplicas",
    "ReplicaNeed",
    "bounded",
    "ceil_units",
    "check_loss",
    "hpa_replicas",
    "largest_need",
    "pod_utilization",
    "replicas_for",
    "surge_pods",
    "zone_cover",
]

Floats = npt.NDArray[np.float64]

HPA_TOLERANCE: Final = 0.1
"""Default tolerance of the Kubernetes horizontal pod autoscaler [ratio]."""

SLACK: Final = 1e-9
"""Rounding noise that a ceiling ignores [units]: 12.24 / 1.02 pods are 12, not 13."""


@dataclass(frozen=True, slots=True, eq=False)
class ReplicaNeed:
    """Pods needed per draw.

    ``pods`` has the broadcast shape of the inputs [pods]; ``continuous`` is the same before
    rounding up, for sweeps that look for the multiple at which a bound is met; ``infeasible`` marks
    the draws in which one idle pod alone exceeds its target, where both are ``inf``.
    """

    pods: Floats
    continuous: Floats
    infeasible: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class BindingNeed:
    """The largest of several needs per draw, and the name of the one that binds."""

    pods: Floats
    binding: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class BoundedReplicas:
    """Replicas within the autoscaler's bounds, and what the upper bound withholds.

    ``pods`` [pods]; ``short`` the pods above the maximum that are needed and do not come [pods].
    """

    pods: Floats
    short: Floats


def ceil_units(units: npt.ArrayLike) -> Floats:
    """Return whole units: ``ceil(x - 1e-9)``, with ``inf`` kept.

    Examples
    --------
    >>> ceil_units([3.0000000001, 3.1]).tolist()
    [3.0, 4.0]
    """
    # Adding 0.0 turns the -0.0 of an empty load into 0.0.
    return np.asarray(np.ceil(np.asarray(units, dtype=np.float64) - SLACK) + 0.0)


def hpa_replicas(
    current: npt.ArrayLike,
    *,
    metric: npt.ArrayLike,
    target: npt.ArrayLike,
    tolerance: float = HPA_TOLERANCE,
) -> Floats:
    """Return the replicas that the horizontal pod autoscaler asks for.

    Formula: ``ceil(current * metric / target)``, and `current` while
    ``|metric / target - 1| <= tolerance``.

    Parameters
    ----------
    current
        Running replicas [pods].
    metric, target
        Mean metric over the pods and its target, in one unit.
    tolerance
        Deviation that changes nothing [ratio].

    Returns
    -------
    numpy.ndarray
        Replicas before the autoscaler's own bounds, see :func:`bounded` [pods].

    References
    ----------
    Kubernetes documentation, *Horizontal Pod Autoscaling*, "Algorithm details".

    Examples
    --------
    >>> hpa_replicas(10, metric=[1.09, 1.11], target=1.0).tolist()
    [10.0, 12.0]
    """
    pods = np.asarray(current, dtype=np.float64)
    goal = np.asarray(target, dtype=np.float64)
    require(bool(np.all(goal > 0)), "target", target, "more than 0")
    ratio = np.asarray(metric, dtype=np.float64) / goal
    steady = np.abs(ratio - 1.0) <= tolerance + SLACK
    return np.asarray(np.where(steady, pods, ceil_units(pods * ratio)))


def replicas_for(
    load: npt.ArrayLike,
    *,
    per_request: npt.ArrayLike,
    per_pod: npt.ArrayLike,
    pod_size: float,
    target: float,
    imbalance_x: float = 1.0,
) -> ReplicaNeed:
    """Return the pods whose hottest member stays at its target utilization under a load.

    Formula: ``n = ceil(per_request * load * imbalance / (target * size - per_pod * imbalance))``.
    The hottest pod uses ``imbalance * (per_pod + per_request * load / n)``; the formula solves that
    for ``target * size``. It serves every resource of a pod alike, cores as well as GiB.

    Parameters
    ----------
    load
        Requests per second of the service, any shape [1/s]. With several request classes, pass
        their sum of ``per_request * load`` and a `per_request` of 1.
    per_request
        Resource per request per second, broadcastable to `load` [resource s].
    per_pod
        Resource of an idle pod, broadcastable to `load` [resource].
    pod_size
        What one pod requests [resource].
    target
        Planned utilization of the request [ratio].
    imbalance_x
        Hottest pod / mean pod [ratio].

    Returns
    -------
    ReplicaNeed
        Pods per draw; ``inf`` and flagged where an idle pod alone exceeds the target.

    Examples
    --------
    >>> replicas_for(
    ...     [60, 120], per_request=0.102, per_pod=0.05, pod_size=2, target=0.6
    ... ).pods.tolist()
    [6.0, 11.0]
    """
    require(pod_size > 0, "pod_size", pod_size, "more than 0")
    require(0 < target <= 1, "target", target, "a ratio in (0, 1]")
    require(imbalance_x >= 1, "imbalance_x", imbalance_x, "a ratio of at least 1")
    busy = np.asarray(load, dtype=np.float64) * np.asarray(per_request, dtype=np.float64)
    require(bool(np.all(busy >= 0)), "load * per_request", "a negative value", "at least 0")
    room = target * pod_size - np.asarray(per_pod, dtype=np.float64) * imbalance_x
    busy, room = np.broadcast_arrays(busy, room)
    infeasible = np.asarray(room <= 0)
    pods = np.full(busy.shape, np.inf)
    np.divide(busy * imbalance_x, room, out=pods, where=~infeasible)
    return ReplicaNeed(pods=ceil_units(pods), continuous=pods, infeasible=infeasible)


def largest_need(needs: Mapping[str, npt.ArrayLike]) -> BindingNeed:
    """Return the largest need per draw and the name of the resource that sets it.

    Parameters
    ----------
    needs
        Resource name to pods [pods]; of equal needs the first named binds.

    Examples
    --------
    >>> need = largest_need({"cpu_cores": [4, 9], "memory_gib": [6, 6]})
    >>> need.pods.tolist(), need.binding.tolist()
    ([6.0, 9.0], ['memory_gib', 'cpu_cores'])
    """
    require(bool(needs), "needs", "none", "at least one resource")
    stack = np.stack(
        np.broadcast_arrays(*(np.asarray(n, dtype=np.float64) for n in needs.values()))
    )
    names = np.array(list(needs), dtype=np.str_)
    return BindingNeed(pods=stack.max(axis=0), binding=np.asarray(names[stack.argmax(axis=0)]))


def pod_utilization(
    load: npt.ArrayLike,
    *,
    pods: npt.ArrayLike,
    per_request: npt.ArrayLike,
    per_pod: npt.ArrayLike,
    pod_size: float,
    imbalance_x: float = 1.0,
) -> Floats:
    """Return the utilization of the hottest pod, the inverse of :func:`replicas_for`.

    Formula: ``imbalance * (per_pod + per_request * load / pods) / size``; without pods it is
    ``inf`` under a load and 0 without one.

    Parameters
    ----------
    load, per_request, per_pod, pod_size, imbalance_x
        As in :func:`replicas_for`.
    pods
        Running pods, broadcastable to `load` [pods].

    Examples
    --------
    >>> float(pod_utilization(120, pods=11, per_request=0.102, per_pod=0.05, pod_size=2).round(4))
    0.5814
    """
    require(pod_size > 0, "pod_size", pod_size, "more than 0")
    busy = np.asarray(load, dtype=np.float64) * np.asarray(per_request, dtype=np.float64)
    idle = np.asarray(per_pod, dtype=np.float64)
    busy, idle, count = np.broadcast_arrays(busy, idle, np.asarray(pods, dtype=np.float64))
    share = np.where(busy > 0, np.inf, 0.0)
    np.divide(busy, count, out=share, where=count > 0)
    return np.asarray(imbalance_x * (np.where(count > 0, idle, 0.0) + share) / pod_size)


def zone_cover(pods: npt.ArrayLike, *, zones: int, lost: int, continuous: bool = False) -> Floats:
    """Return the total that still leaves the need standing after whole zones are lost.

    Formula: ``A * ceil(n / (A - k))``: zones hold equal counts, so the total is a multiple of the
    number of zones, also for ``k = 0``.

    Parameters
    ----------
    pods
        Need after the loss (pods or nodes), any shape; ``inf`` is kept.
    zones
        Zones A that the pool spans.
    lost
        Zones k that may be lost at once.
    continuous
        Keep fractions, for sweeps: ``A * n / (A - k)``.

    Raises
    ------
    InputError
        When no zone would be left.

    Examples
    --------
    >>> zone_cover([10, 20, 21], zones=3, lost=1).tolist(), float(zone_cover(10, zones=4, lost=1))
    ([15.0, 30.0, 33.0], 16.0)
    """
    check_loss(lost, zones)
    per_zone = np.asarray(pods, dtype=np.float64) / (zones - lost)
    return np.asarray(zones * (per_zone if continuous else ceil_units(per_zone)))


def check_loss(lost: int, zones: int) -> None:
    """Raise an InputError unless a zone is left."""
    if not 0 <= lost < zones:
        raise InputError.of(
            "lose_zones",
            got=f"{lost} of {zones} zones lost",
            expected="at least one zone left",
            do="Give the pool more zones, or promise to survive fewer.",
        )


def surge_pods(pods: npt.ArrayLike, *, surge: float, continuous: bool = False) -> Floats:
    """Return the pods that exist at once during a rollout: ``ceil(n * (1 + surge))``.

    Parameters
    ----------
    pods
        Replicas, any shape [pods].
    surge
        Extra pods of the rollout [ratio of replicas]; the Deployment default is 0.25, rounded up.
    continuous
        Keep fractions, for sweeps.

    Examples
    --------
    >>> surge_pods([20, 21], surge=0.25).tolist()
    [25.0, 27.0]
    """
    require(surge >= 0, "surge", surge, "a ratio of at least 0")
    raised = np.asarray(pods, dtype=np.float64) * (1.0 + surge)
    return np.asarray(raised) if continuous else ceil_units(raised)


def bounded(
    pods: npt.ArrayLike, *, minimum: float = 0, maximum: float | None = None
) -> BoundedReplicas:
    """Return replicas within the autoscaler's bounds, with the shortfall beside them.

    Parameters
    ----------
    pods
        Needed replicas, any shape [pods].
    minimum, maximum
        The autoscaler's bounds [pods]; no maximum means no bound.

    Examples
    --------
    >>> held = bounded([2, 30, 70], minimum=6, maximum=60)
    >>> held.pods.tolist(), held.short.tolist()
    ([6.0, 30.0, 60.0], [0.0, 0.0, 10.0])
    """
    wanted = np.maximum(np.asarray(pods, dtype=np.float64), minimum)
    if maximum is None:
        return BoundedReplicas(pods=wanted, short=np.zeros_like(wanted))
    require(maximum >= minimum, "replicas.max", maximum, f"at least replicas.min ({minimum})")
    held = np.minimum(wanted, maximum)
    return BoundedReplicas(pods=held, short=np.asarray(wanted - held))

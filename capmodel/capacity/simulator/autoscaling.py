"""What the horizontal pod autoscaler asks for at one sync.

This module answers: how many replicas does the autoscaler set, given what it saw a while ago, what
it asked for lately and how fast it may go? Arrays of shape (D, S) or (S,); no state.

References
----------
Kubernetes documentation, *Horizontal Pod Autoscaling*: "Algorithm details", "Configurable scaling
behavior". The platform truncates utilization to whole percents before it divides; that is not
played here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from capmodel.capacity.replicas import SLACK, ceil_units, hpa_replicas
from capmodel.capacity.simulator.arrays import Policy

__all__ = ["limited", "recommended"]

Floats = npt.NDArray[np.float64]


def recommended(
    replicas: Floats,
    *,
    seen: Floats,
    utilization: Floats,
    target: npt.ArrayLike,
    tolerance: npt.ArrayLike,
) -> Floats:
    """Return the replicas that a metric asks for, pods without a sample set aside.

    Formula: ``ceil(seen * u / target)``. When that scales up while pods are set aside, they count
    as idle: the ratio over all replicas is ``u / target * seen / replicas``, and if it is within
    the tolerance, or below 1, nothing changes.

    Parameters
    ----------
    replicas
        Pods asked for so far, pending and starting ones included [pods].
    seen
        Pods with a sample: ready when it was taken, and still there [pods].
    utilization
        Their mean utilization of the request [ratio].
    target, tolerance
        Of the autoscaler [ratio].

    Examples
    --------
    >>> see = {"utilization": np.array([0.654, 0.666]), "target": 0.6, "tolerance": 0.1}
    >>> recommended(np.array([10.0, 10.0]), seen=np.array([10.0, 10.0]), **see).tolist()
    [10.0, 12.0]
    >>> recommended(np.array([12.0, 14.0]), seen=np.array([10.0, 10.0]), **see).tolist()
    [12.0, 14.0]
    """
    ratio = utilization / np.asarray(target)
    partly = (ratio > 1) & (seen < replicas)
    counted = np.where(partly, replicas, seen)
    share = np.divide(seen, counted, out=np.zeros_like(ratio), where=counted > 0)
    whole = ratio * share
    steady = (np.abs(whole - 1.0) <= np.asarray(tolerance) + SLACK) | (partly & (whole < 1))
    # The deviation was weighed above, each service by its own tolerance.
    wanted = hpa_replicas(counted, metric=whole, target=1.0, tolerance=0.0)
    return np.where(steady | (seen == 0), replicas, wanted)


def limited(
    wanted: Floats,
    replicas: Floats,
    *,
    up: Policy,
    down: Policy,
    up_start: Floats,
    down_start: Floats,
) -> Floats:
    """Return the step that the scaling policies allow.

    Formula: up to ``max(start + pods, ceil(start * (1 + share)))``, never below `replicas`; down to
    ``min(start - pods, floor(start * (1 - share)))``, never above them.

    Parameters
    ----------
    wanted
        Stabilised recommendation [pods].
    replicas
        Pods asked for so far [pods].
    up, down
        The policies.
    up_start, down_start
        Replicas at the start of each policy's period [pods].

    Examples
    --------
    >>> default = Policy(pods=np.array([4.0]), share=np.array([1.0]), ticks=np.array([1]))
    >>> pods = np.array([2.0, 10.0])
    >>> limited(
    ...     np.array([50.0, 50.0]), pods, up=default, down=default, up_start=pods, down_start=pods
    ... ).tolist()
    [6.0, 20.0]
    """
    most = np.maximum(up_start + up.pods, ceil_units(up_start * (1.0 + up.share)))
    least = np.minimum(down_start - down.pods, np.floor(down_start * (1.0 - down.share) + SLACK))
    return np.asarray(np.clip(wanted, np.minimum(least, replicas), np.maximum(most, replicas)))

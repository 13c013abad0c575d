"""Where a service's load comes from, as a frame; and which nodes concern who owns a service.

This module answers: which callers send how much of the busiest minute, and whose limits can stop
the service?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from capmodel.capacity.risk import mixture_quantile

if TYPE_CHECKING:
    from capmodel.plan.make import Solved

__all__ = ["callers_frame", "nodes_around"]

COLUMNS = ["service", "caller", "calls_x", "rps", "share", "basis"]


def callers_frame(solved: Solved) -> pd.DataFrame:
    """Return what each caller sends to a service, largest first, on the mixture's P50 path.

    In the service's busiest minute of the season on that path, ``rps_c = rps · a_c / sum a`` with
    ``a_c`` the caller's load times its central calls, so that callers sum to the service's P50
    peak. Services that nothing calls have no row.
    """
    rows: list[dict[str, Any]] = []
    for service in solved.estate.topology.services:
        edges = [
            solved.futures.calls[caller, service]
            for caller in solved.estate.topology.calls_of(service)
        ]
        if not edges:
            continue
        peaks = solved.needs.load_peak[service]
        at, draw = mixture_quantile(peaks, 0.5, solved.request.weights)
        loads = solved.season_loads[at].take(slice(draw, draw + 1), slice(None))
        instant = loads.instant({service: 1.0})
        day = int(loads.at(service, instant)[0].argmax())
        sent = {}
        for edge in edges:
            load = loads.at(edge.caller, instant)[0]
            sent[edge.caller] = float(load[min(day, len(load) - 1)]) * edge.ratio
        total, peak = sum(sent.values()), float(peaks[at, draw])
        for edge in sorted(edges, key=lambda e: (-sent[e.caller], e.caller)):
            share = sent[edge.caller] / total if total > 0 else 0.0
            rows.append(
                {
                    "service": service,
                    "caller": edge.caller,
                    "calls_x": edge.ratio,
                    "rps": share * peak,
                    "share": share,
                    "basis": edge.basis,
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def nodes_around(topology: Mapping[str, Any], service: str) -> tuple[str, ...]:
    """Return the nodes whose limits can stop a service: its own, its pool's, those that it uses.

    Parameters
    ----------
    topology
        A topology as a plan holds it.
    service
        The service's name.

    Examples
    --------
    >>> nodes_around(
    ...     {
    ...         "services": {"api": {"pool": "general"}},
    ...         "databases": {"core-db": {"used_by": {"api": {}}}},
    ...         "externals": {"bureau": {"calls": {"scores": 1}}},
    ...     },
    ...     "api",
    ... )
    ('api', 'general', 'core-db')
    """
    own = topology.get("services", {}).get(service, {})
    nodes = [service, *([own["pool"]] if own.get("pool") else [])]
    uses = (("databases", "used_by"), ("externals", "calls"), ("limits", "per_request"))
    for kind, column in uses:
        nodes += [n for n, node in topology.get(kind, {}).items() if service in node[column]]
    return tuple(dict.fromkeys(nodes))

"""The usual laws of scaling, each fitted and judged by the same two measures.

This module answers: how well does one law describe these measurements, and how well does it predict
an n that it was not shown?
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from capmodel.usage.scaling_fits import (
    TINY_SHARE,
    finite_population_fit,
    finite_population_throughput,
    two_line_fit,
    two_line_throughput,
    usl_curve,
    usl_fit,
    usl_peaks,
    usl_refit,
)
from capmodel.usage.scaling_rows import BEYOND_KNEE, ScalingRows

__all__ = ["LAWS", "ScalingModel", "fit_law"]

_MOST_FOLDS: Final = 20
"""Folds of the leave-one-out error; with more distinct n, several are left out together."""

_MOST_CUSTOMERS: Final = 10_000
"""Largest n of M/M/c//N with think time: beyond, a fit takes minutes."""


@dataclass(frozen=True, slots=True)
class ScalingModel:
    """One law, fitted.

    Attributes
    ----------
    name
        ``usl``, ``amdahl``, ``two_line`` or ``finite_population``.
    parameters
        By name: alpha, beta, gamma; or service_s [s] and servers.
    think_s
        Think time that was given [s].
    knee_n, ceiling_x
        Where the first line meets the ceiling, and the ceiling: peak, limit, or c/S; inf where the
        law has none.
    knee_seen
        Whether n was measured at or below the knee, and at least two n beyond; if not, the ceiling
        is extrapolated.
    rss, aicc, loo_rmse, worst
        Weighted sum of squares; corrected Akaike criterion (inf with too few rows for the law);
        error of leaving one n out [unit of x]; largest relative error on the rows [ratio].
    refused
        Why the law could not be fitted; '' where it was.
    """

    name: str
    parameters: Mapping[str, float]
    think_s: float
    knee_n: float
    ceiling_x: float
    knee_seen: bool
    rss: float
    aicc: float
    loo_rmse: float
    worst: float
    refused: str = ""

    @property
    def title(self) -> str:
        """The law's usual name."""
        return LAWS[self.name].title

    def throughput(self, n: np.ndarray) -> np.ndarray:
        """Return the law's throughput at n, shape of n; it knows no range, see the comparison."""
        return LAWS[self.name].curve(self.parameters, self.think_s, n)


@dataclass(frozen=True, slots=True)
class Law:
    """How a law is fitted and read; `size` counts its parameters and the scatter.

    ``fit`` and the others take the think time, which USL and Amdahl's law do not know.
    """

    title: str
    size: int
    fit: Callable[[ScalingRows, float], Mapping[str, float]]
    curve: Callable[[Mapping[str, float], float, np.ndarray], np.ndarray]
    ceiling: Callable[[Mapping[str, float], float], tuple[float, float]]


def _fit_usl(rows: ScalingRows, think_s: float) -> Mapping[str, float]:  # noqa: ARG001
    return _usl_named(usl_fit(rows.n, rows.x, rows.weights, amdahl=False))


def _fit_amdahl(rows: ScalingRows, think_s: float) -> Mapping[str, float]:  # noqa: ARG001
    return _usl_named(usl_fit(rows.n, rows.x, rows.weights, amdahl=True))


def _usl_named(theta: np.ndarray) -> Mapping[str, float]:
    return dict(zip(("alpha", "beta", "gamma"), theta.tolist(), strict=True))


def _usl_curve(parameters: Mapping[str, float], think_s: float, n: np.ndarray) -> np.ndarray:  # noqa: ARG001
    return usl_curve(np.array(list(parameters.values())), n)


def _usl_ceiling(parameters: Mapping[str, float], think_s: float) -> tuple[float, float]:  # noqa: ARG001
    ceiling = float(usl_peaks(np.array([list(parameters.values())]))[1][0])
    return ceiling / parameters["gamma"], ceiling


def _fit_two_line(rows: ScalingRows, think_s: float) -> Mapping[str, float]:
    slope, ceiling = two_line_fit(rows.n, rows.x, rows.weights)
    service_s = 1 / slope - think_s
    return {"service_s": service_s, "servers": ceiling * service_s}


def _two_line_curve(parameters: Mapping[str, float], think_s: float, n: np.ndarray) -> np.ndarray:
    service_s = parameters["service_s"]
    ceiling = parameters["servers"] / service_s
    return two_line_throughput(n, slope=1 / (service_s + think_s), ceiling=ceiling)


def _queue_ceiling(parameters: Mapping[str, float], think_s: float) -> tuple[float, float]:
    ceiling = parameters["servers"] / parameters["service_s"]
    return ceiling * (parameters["service_s"] + think_s), ceiling


def _fit_finite_population(rows: ScalingRows, think_s: float) -> Mapping[str, float]:
    bound = _fit_two_line(rows, think_s)
    if bound["service_s"] <= 0:
        return bound
    service_s, servers = finite_population_fit(
        rows.n,
        rows.x,
        rows.weights,
        think_s=think_s,
        near=(bound["service_s"], max(bound["servers"], 1.0)),
    )
    return {"service_s": service_s, "servers": servers}


def _finite_population_curve(
    parameters: Mapping[str, float], think_s: float, n: np.ndarray
) -> np.ndarray:
    return finite_population_throughput(
        n,
        service_s=parameters["service_s"],
        servers=int(parameters["servers"]),
        think_s=think_s,
    )


LAWS: Final[Mapping[str, Law]] = MappingProxyType(
    {
        "usl": Law("USL", 4, _fit_usl, _usl_curve, _usl_ceiling),
        "amdahl": Law("Amdahl", 3, _fit_amdahl, _usl_curve, _usl_ceiling),
        "two_line": Law("two-line bound", 3, _fit_two_line, _two_line_curve, _queue_ceiling),
        "finite_population": Law(
            "M/M/c//N", 3, _fit_finite_population, _finite_population_curve, _queue_ceiling
        ),
    }
)


def fit_law(name: str, rows: ScalingRows, think_s: float) -> ScalingModel:
    """Fit a law of :data:`LAWS`; one that the data contradict is returned with the reason."""
    law = LAWS[name]
    if name == "finite_population" and think_s > 0 and rows.n[-1] > _MOST_CUSTOMERS:
        why = f"its states are counted one by one, to {_MOST_CUSTOMERS:,} customers at most"
        return _refused(name, MappingProxyType({}), think_s, why)
    parameters = MappingProxyType(dict(law.fit(rows, think_s)))
    if parameters.get("service_s", 1.0) <= 0:
        cycle = parameters["service_s"] + think_s
        return _refused(
            name,
            parameters,
            think_s,
            f"think_s {think_s:g} s is longer than the whole cycle of {cycle:.4g} s",
        )
    curve = law.curve(parameters, think_s, rows.n)
    rss = float(rows.weights @ (curve - rows.x) ** 2)
    knee_n, ceiling = law.ceiling(parameters, think_s)
    return ScalingModel(
        name=name,
        parameters=parameters,
        think_s=think_s,
        knee_n=knee_n,
        ceiling_x=ceiling,
        knee_seen=rows.n[0] <= knee_n and int(np.sum(np.unique(rows.n) > knee_n)) >= BEYOND_KNEE,
        rss=rss,
        aicc=_aicc(rows, rss, law.size),
        loo_rmse=_loo_rmse(name, rows, think_s, parameters),
        worst=float(np.max(np.abs(curve / rows.x - 1))),
    )


def _refused(name: str, parameters: Mapping[str, float], think_s: float, why: str) -> ScalingModel:
    return ScalingModel(
        name=name,
        parameters=parameters,
        think_s=think_s,
        knee_n=math.nan,
        ceiling_x=math.nan,
        knee_seen=False,
        rss=math.nan,
        aicc=math.inf,
        loo_rmse=math.inf,
        worst=math.nan,
        refused=why,
    )


def _aicc(rows: ScalingRows, rss: float, size: int) -> float:
    m = len(rows.n)
    if m - size - 1 <= 0:
        return math.inf
    # Exact fits differ by rounding only: then the smaller law wins.
    least = m * (TINY_SHARE * float(np.max(rows.x))) ** 2
    return m * math.log(max(rss, least) / m) + 2 * size + 2 * size * (size + 1) / (m - size - 1)


def _loo_rmse(
    name: str, rows: ScalingRows, think_s: float, parameters: Mapping[str, float]
) -> float:
    """Return the weighted root mean square error at n that were left out of the fit."""
    level = np.unique(rows.n, return_inverse=True)[1]
    fold = level % min(level.max() + 1, _MOST_FOLDS)
    folds = np.arange(fold.max() + 1)
    if name in {"usl", "amdahl"}:
        start = np.array(list(parameters.values()))
        keep = np.where(fold == folds[:, None], 0.0, rows.weights)
        many = np.broadcast_to(rows.x, keep.shape)
        thetas = usl_refit(rows.n, many, keep, start=start, amdahl=name == "amdahl")
        error = (usl_curve(thetas, rows.n) - rows.x)[fold, np.arange(len(fold))]
    else:
        error = np.empty(len(rows.n))
        for k in folds:
            out = fold == k
            kept = ScalingRows(rows.n[~out], rows.x[~out], rows.weights[~out], {})
            without = LAWS[name].fit(kept, think_s)
            if without["service_s"] <= 0:
                return math.inf
            error[out] = LAWS[name].curve(without, think_s, rows.n[out]) - rows.x[out]
    return math.sqrt(float(np.average(error**2, weights=rows.weights)))

"""One node's use of one resource: coefficients, their uncertainty, the range they were seen in.

This module answers: given loads, how much is used, and how sure is that? It does not know where
the coefficients come from.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from capmodel.errors import InputError, nearest
from capmodel.schema import Basis
from capmodel.usage.mix import Mix
from capmodel.usage.terms import (
    DERIVED_TERMS,
    TERMS,
    follows,
    is_background,
    load_column,
    load_of,
    request_classes,
    request_load,
)

__all__ = [
    "EXTRAPOLATION_LOG_SD",
    "NORMAL_5_50_95",
    "LinearUsage",
    "Regime",
    "Sample",
    "declared_usage",
    "extrapolation_log_sd",
]

NORMAL_5_50_95: Final = (-1.6448536269514722, 0.0, 1.6448536269514722)
"""Standard normal scores of the quantiles that predictions and figures show."""

EXTRAPOLATION_LOG_SD: Final = 0.10
"""Growth of the log standard deviation per factor e beyond the largest load seen."""


@dataclass(frozen=True, slots=True)
class Regime:
    """A stretch of local days in which the cost per unit of load stayed the same.

    ``start`` is the first day, ``end`` the first day after it (None: still running). ``change_x``
    is the usage of the same load relative to the regime before [ratio], NaN for the first one, with
    its 95 % interval ``low``..``high``. ``changed`` says what the step fits best: ``"requests"``
    (the part that follows requests) or ``"all"`` (all usage); '' for the first regime.
    """

    start: dt.date
    end: dt.date | None
    change_x: float
    low: float
    high: float
    changed: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some of the rows that a line was fitted to, for a figure.

    ``load`` and ``usage`` (R,) are per pod where pods were counted; ``role`` (R,) holds one of
    ``used``, ``outlier``, ``saturated``, ``load_test``.
    """

    load: np.ndarray
    usage: np.ndarray
    role: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class LinearUsage:
    """Usage of one resource by one node: ``usage = Σ value[k] · load[k]``.

    Attributes
    ----------
    service, resource
        The node, and the column of the history that is explained (``cpu_cores``, ``memory_gib``).
    terms
        Names of the loads, see :data:`capmodel.usage.terms.TERMS`: ``per_pod``, ``idle``,
        ``per_request`` or ``per_request:CLASS``, ``per_read``, ``per_write``, ….
    value, covariance
        Coefficients, shape (K,), never negative, and their covariance, shape (K, K).
    low, high
        95 % interval, shape (K,). Where loads move together so closely that only their sum can be
        known, it spans what the data allow; NaN where nothing was seen at all.
    identifiable
        Whether the data tell each coefficient apart from the others.
    load_max
        Largest load seen per term, shape (K,).
    load_per_pod_max
        Most requests per pod seen [1/s per pod]; NaN for a database or without a pod count.
    load_total_max
        Most requests seen [1/s].
    resid_log_sd
        Scatter of usage around the line [log standard deviation].
    n_used, dropped
        Rows in the fit, and rows left out by reason.
    regime_from, regime_change_x, regimes
        First day of the regime that was used and the step into it (None: no change was found), and
        every regime, oldest first.
    r2
        Share of the variance explained, by the fit's own weights.
    basis
        ``fitted``, ``censored`` where saturated rows counted as lower bounds, or ``assumed`` when
        declared.
    n_saturated, saturated
        Rows among those used that are only lower bounds, in all and by reason.
    typical
        Load of each term per request (per pod for what follows pods) in the busiest tenth of rows,
        shape (K,): a class's share of requests, requests in flight per request/s, …; of growth by
        the day, the days to the last row.
    knee_per_pod
        Load per pod from which ``per_request_above_knee`` counts [1/s per pod]; NaN without one.
    mix
        Shares of the request classes seen; None with one class.
    sample
        Some rows for a figure; None where none were kept.
    follows_load
        False where requests explain next to nothing of how usage varies
        (:attr:`capmodel.usage.estimate.Estimate.explains_little`): what more requests would use is
        then not known.
    """

    service: str
    resource: str
    terms: tuple[str, ...]
    value: np.ndarray
    covariance: np.ndarray
    low: np.ndarray
    high: np.ndarray
    identifiable: tuple[bool, ...]
    load_max: np.ndarray
    load_per_pod_max: float
    resid_log_sd: float
    n_used: int
    dropped: Mapping[str, int]
    regime_from: dt.date | None
    regime_change_x: float | None
    regimes: tuple[Regime, ...]
    r2: float
    basis: Basis
    load_total_max: float = math.nan
    n_saturated: int = 0
    saturated: Mapping[str, int] = field(default_factory=dict)
    typical: np.ndarray = field(default_factory=lambda: np.empty(0))
    knee_per_pod: float = math.nan
    mix: Mix | None = None
    sample: Sample | None = None
    follows_load: bool = True

    def draws(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw coefficient vectors: normal, each moved onto the non-negative orthant.

        A draw with negative coefficients is replaced by the nearest non-negative one in the metric
        of the covariance: the offending coefficients become 0 and the others move by their
        regression on them, ``b_F − Σ_FA Σ_AA⁻¹ b_A``. That is what non-negative least squares does
        to noise. Cutting negatives off alone would raise the total: a background drawn below zero
        belongs to a slope drawn too high.

        Parameters
        ----------
        n
            Number of draws.
        rng
            Source of randomness; the same generator state gives the same draws.

        Returns
        -------
        numpy.ndarray
            Shape (n, K), never negative. Extrapolation widening is the caller's, see
            :func:`extrapolation_log_sd`.
        """
        sd = np.sqrt(np.diag(self.covariance))
        if not np.any(sd):
            return np.tile(self.value, (n, 1))
        # In units of standard deviations: coefficients differ by orders of magnitude.
        scale = np.where(sd > 0, sd, 1.0)
        correlation = self.covariance / np.outer(scale, scale)
        normal = rng.standard_normal((n, len(self.terms)))
        drawn = self.value / scale + normal @ _symmetric_root(correlation)
        return _onto_orthant(drawn, correlation) * scale

    def loads(self, columns: Mapping[str, np.ndarray], *, n: int) -> np.ndarray:
        """Return the load matrix of these terms, shape (n, K), from columns named as a history's.

        Pods and requests (of each class) must be given. What follows them, failed requests or
        requests in flight, is taken at its :attr:`typical` ratio where it is not, growth by the day
        at its level on the last day seen; known work is 0.

        Raises
        ------
        InputError
            If a column that a term needs is missing; every missing one is named.
        """
        requests = request_load(columns)
        found = {term: self._load(k, columns, requests, n=n) for k, term in enumerate(self.terms)}
        missing = [load_column(term) for term, load in found.items() if load is None]
        if missing:
            needed = {load_column(term) for term in self.terms if load_column(term)}
            raise InputError.of(
                f"loads of {self.service}",
                got=f"columns {', '.join(sorted(columns)) or 'none'}",
                expected=f"columns {', '.join(sorted(needed))}",
                do=f"Add {', '.join(missing)}.",
            )
        return np.column_stack([load for load in found.values() if load is not None])

    def _load(
        self, k: int, columns: Mapping[str, np.ndarray], requests: np.ndarray | None, *, n: int
    ) -> np.ndarray | None:
        term = self.terms[k]
        if term == "per_request_above_knee":
            pods = columns.get("replicas", np.ones(n))
            return None if requests is None else np.maximum(requests - self.knee_per_pod * pods, 0)
        if term == "per_request" and "per_failed" in self.terms and "errors_rps" not in columns:
            return None if requests is None else self.typical[k] * requests
        load = load_of(term, self.terms, columns, n=n)
        return self._usual(k, columns, requests, n=n) if load is None else load

    def _usual(
        self, k: int, columns: Mapping[str, np.ndarray], requests: np.ndarray | None, *, n: int
    ) -> np.ndarray | None:
        """Return a load that was not given, from what it follows; None where it must be given."""
        name = self.terms[k].partition(":")[0]
        if not len(self.typical):
            return None
        if name in ("per_work", "per_day"):
            return np.full(n, self.typical[k] if name == "per_day" else 0.0)
        if name in ("per_failed", "per_in_flight", "per_row_examined", "per_miss"):
            return None if requests is None else self.typical[k] * requests
        if name in ("per_connection", "per_pod_day") and "replicas" in columns:
            return np.asarray(self.typical[k] * columns["replicas"])
        return None

    def extrapolation(self, loads: np.ndarray) -> np.ndarray:
        """Return how far each row lies beyond the range seen, shape (T,) [ratio], 1 inside.

        The range is judged on requests per pod where pods were counted, on each load otherwise.
        """
        request = np.flatnonzero(~is_background(self.terms))
        ratio = np.ones(len(loads))
        if math.isfinite(self.load_per_pod_max) and "per_pod" in self.terms:
            pods = loads[:, self.terms.index("per_pod")]
            per_pod = self._requests(loads) / np.where(pods > 0, pods, np.nan)
            return np.asarray(np.fmax(ratio, per_pod / self.load_per_pod_max))
        for k in request:
            if math.isfinite(self.load_max[k]) and self.load_max[k] > 0:
                ratio = np.fmax(ratio, loads[:, k] / self.load_max[k])
        return ratio

    def _requests(self, loads: np.ndarray) -> np.ndarray:
        """Return all requests of load rows (T, K), shape (T,): what the terms' loads stand for."""
        counted = [
            k
            for k, term in enumerate(self.terms)
            if term.partition(":")[0] in ("per_request", "per_failed", "per_read", "per_write")
        ]
        if counted:
            return np.asarray(loads[:, counted].sum(axis=1))
        k = int(np.flatnonzero(~is_background(self.terms))[0])
        each = self.typical[k] if len(self.typical) else 1.0
        return np.asarray(loads[:, k] / each)

    def mix_distance(self, loads: np.ndarray) -> np.ndarray:
        """Return how far each row's request mix lies from those seen [ratio], shape (T,).

        1 is the edge of what was seen; see :class:`capmodel.usage.mix.Mix`. 0 with one class.
        """
        if self.mix is None:
            return np.zeros(len(loads))
        return self.mix.distance(loads[:, request_classes(self.terms)])

    def weights(self, what: str) -> np.ndarray:
        """Return the load of each term per request/s, or per pod, at the busiest rows, shape (K,).

        Parameters
        ----------
        what
            ``"requests"`` or ``"pods"``: terms that follow something else weigh 0.
        """
        per = self.typical if len(self.typical) else np.ones(len(self.terms))
        counted = [
            follows(term) == what and term != "per_request_above_knee" for term in self.terms
        ]
        return np.where(counted, per, 0.0)

    def quantiles(self, loads: np.ndarray, *, normal: np.ndarray) -> np.ndarray:
        """Return usage at standard normal scores `normal` (Q,), shape (T, Q).

        Coefficient error, scatter and extrapolation add as variances of the logarithm.
        """
        middle = loads @ self.value
        safe = np.where(middle > 0, middle, 1.0)
        variance = np.einsum("tk,kl,tl->t", loads, self.covariance, loads) / safe**2
        share = (loads * ~is_background(self.terms)) @ self.value / safe
        beyond = np.maximum(self.extrapolation(loads), self.mix_distance(loads))
        wider = extrapolation_log_sd(beyond, 1.0)
        log_sd = np.sqrt(variance + self.resid_log_sd**2 + (share * wider) ** 2)
        return np.asarray(middle[:, None] * np.exp(log_sd[:, None] * normal))

    @property
    def equation(self) -> str:
        """The equation as text, for example ``cpu_cores = 0.05 · replicas + 0.085 · rps``."""
        parts = [
            f"{value:.4g}" + (f" · {name}" if (name := self._load_text(term)) else "")
            for term, value in zip(self.terms, self.value, strict=True)
        ]
        return f"{self.resource} = {' + '.join(parts)}"

    def _load_text(self, term: str) -> str:
        if term != "per_request_above_knee":
            return load_column(term)
        each = " · replicas" if "per_pod" in self.terms else ""
        return f"max(rps − {self.knee_per_pod:.4g}{each}, 0)"


def extrapolation_log_sd(x: np.ndarray | float, x_max: float) -> np.ndarray:
    """Return the extra log standard deviation of a slope used beyond the load it was seen at.

    ``0.10 · ln(x/x_max)`` for ``x > x_max``, else 0: 7 % at twice the range.

    Parameters
    ----------
    x
        Load (per pod, or in total), any shape.
    x_max
        Largest load seen, in the same unit.

    Examples
    --------
    >>> float(extrapolation_log_sd(120.0, 60.0).round(4))
    0.0693
    """
    ratio = np.asarray(x, dtype=float) / x_max
    return np.asarray(EXTRAPOLATION_LOG_SD * np.log(np.maximum(ratio, 1.0)))


def declared_usage(service: str, resource: str, coefficients: Mapping[str, float]) -> LinearUsage:
    """Make a usage from stated coefficients: no uncertainty, no range, ``basis=assumed``.

    Parameters
    ----------
    service, resource
        The node and its resource.
    coefficients
        Term to value, for example ``{"per_pod": 0.05, "per_request": 0.085}``.

    Raises
    ------
    InputError
        For an unknown term, or a negative or missing value.

    Examples
    --------
    >>> usage = declared_usage("underwriting", "cpu_cores", {"per_pod": 0.05, "per_request": 0.085})
    >>> usage.equation
    'cpu_cores = 0.05 · replicas + 0.085 · rps'
    """
    known = tuple(term for term in TERMS if term not in DERIVED_TERMS)
    for term, number in coefficients.items():
        where = f"usage of {service}: {resource}.{term}"
        if term.partition(":")[0] not in known:
            close = nearest(term, known)
            raise InputError.of(
                where,
                got="an unknown term",
                expected=f"one of {', '.join(known)}",
                do=f'Did you mean "{close}"?' if close else "Use one of these.",
            )
        if not (math.isfinite(number) and number >= 0):
            raise InputError.of(
                where, got=number, expected="a number >= 0", do="State the resource per unit."
            )
    value = np.array(list(coefficients.values()), dtype=float)
    return LinearUsage(
        service=service,
        resource=resource,
        terms=tuple(coefficients),
        value=value,
        covariance=np.zeros((len(value), len(value))),
        low=value.copy(),
        high=value.copy(),
        identifiable=(True,) * len(value),
        load_max=np.full(len(value), np.nan),
        load_per_pod_max=math.nan,
        resid_log_sd=0.0,
        n_used=0,
        dropped={},
        regime_from=None,
        regime_change_x=None,
        regimes=(),
        r2=math.nan,
        basis="assumed",
    )


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    # The symmetric root does not depend on the signs of eigenvectors, which differ by LAPACK.
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _onto_orthant(draws: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    draws = draws.copy()
    fixed = np.zeros(draws.shape, dtype=bool)
    # At most K rounds: each fixes at least one more coefficient of every draw it touches. Nested
    # projections in one metric compose, so a later round may start from an earlier one's result.
    for _ in range(draws.shape[1]):
        negative = ~fixed & (draws < 0)
        touched = np.flatnonzero(negative.any(axis=1))
        if not len(touched):
            break
        fixed |= negative
        patterns, which = np.unique(fixed[touched], axis=0, return_inverse=True)
        for number, zero in enumerate(patterns):
            rows = touched[which.ravel() == number]
            block = draws[rows]
            inverse = np.linalg.pinv(covariance[np.ix_(zero, zero)], hermitian=True)
            block[:, ~zero] -= block[:, zero] @ inverse @ covariance[np.ix_(zero, ~zero)]
            block[:, zero] = 0.0
            draws[rows] = block
    return np.asarray(np.maximum(draws, 0.0))

"""Forecasts that must add up: paths of a whole and of its parts made consistent.

This module answers: the total was forecast by itself and so were its parts; which numbers lie
closest to all of them and add up on every path? By default a plan needs none of this: it carries
drivers down the calls. Reconciling is for those who forecast both and want one truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from capmodel.errors import InputError, ModelError, Problem, nearest

__all__ = ["reconcile"]

ROUNDING: Final = 1e-9
"""A negative value smaller than this share of the largest is rounding."""


def reconcile(
    paths: Mapping[str, np.ndarray], parts: Mapping[str, Sequence[str]]
) -> dict[str, np.ndarray]:
    """Return paths in which every whole is the sum of its parts.

    With y the forecasts of all series, S the matrix that sums the bottom ones, and W diagonal with
    the number of bottom series in each (the *structural* weights: a whole errs as the sum of what
    it holds), each hour of each path becomes

    ``S (S' W^-1 S)^-1 S' W^-1 y``,

    the closest consistent numbers in the metric of W. Paths are reconciled one by one, so whatever
    went together on a path still does.

    Parameters
    ----------
    paths
        Sample paths by series, all of one shape (draws, ...) [one unit].
    parts
        Every whole's parts; parts may be wholes themselves.

    Returns
    -------
    dict
        The same series, consistent on every path.

    Raises
    ------
    InputError
        When a part has no paths, shapes differ, or a whole holds itself.
    ModelError
        When a consistent number would be negative: the forecasts contradict each other too much.

    References
    ----------
    Athanasopoulos, G., Hyndman, R. J., Kourentzes, N., & Petropoulos, F. (2017). Forecasting with
    temporal hierarchies. European Journal of Operational Research 262(1), 60-74 (structural
    scaling).
    Wickramasuriya, S. L., Athanasopoulos, G., & Hyndman, R. J. (2019). Optimal forecast
    reconciliation for hierarchical and grouped time series through trace minimization. Journal of
    the American Statistical Association 114(526), 804-819.

    Examples
    --------
    >>> whole, web, app = (np.array([[x]]) for x in (110.0, 60.0, 40.0))
    >>> found = reconcile({"all": whole, "web": web, "app": app}, {"all": ("web", "app")})
    >>> {name: round(float(path[0, 0]), 2) for name, path in found.items()}
    {'all': 105.0, 'web': 62.5, 'app': 42.5}
    """
    _check(paths, parts)
    names = list(paths)
    bottom = [name for name in names if name not in parts]
    summing = np.array([[_count(name, leaf, parts) for leaf in bottom] for name in names], float)
    weighted = summing / summing.sum(axis=1)[:, None]
    projection = summing @ np.linalg.solve(weighted.T @ summing, weighted.T)
    stacked = np.stack([paths[name] for name in names])
    found = np.tensordot(projection, stacked, axes=1)
    low = found.min(axis=tuple(range(1, found.ndim)))
    worst = int(low.argmin())
    if low[worst] < -ROUNDING * np.abs(stacked).max():
        raise ModelError.of(
            names[worst],
            got=f"a consistent value of {low[worst]:.4g}",
            expected="wholes and parts whose forecasts roughly agree",
            do="Look at the series apart; one of them is far off.",
        )
    return dict(zip(names, np.maximum(found, 0.0), strict=True))


def _count(name: str, leaf: str, parts: Mapping[str, Sequence[str]]) -> int:
    """Return how often a bottom series is contained in a series."""
    if name not in parts:
        return int(name == leaf)
    return sum(_count(part, leaf, parts) for part in parts[name])


def _check(paths: Mapping[str, np.ndarray], parts: Mapping[str, Sequence[str]]) -> None:
    problems = []
    for whole, members in parts.items():
        for name in (whole, *members):
            if name not in paths:
                near = nearest(name, paths)
                problems.append(
                    Problem(
                        f"parts.{whole}",
                        f'"{name}", which has no paths',
                        f"names among the {len(paths)} series",
                        f'Did you mean "{near}"?' if near else "Forecast it too.",
                    )
                )
        if _holds_itself(whole, parts):
            problems.append(
                Problem(f"parts.{whole}", "a whole that holds itself", "a tree", "Cut the circle.")
            )
    shapes = {np.shape(path) for path in paths.values()}
    if len(shapes) > 1:
        problems.append(
            Problem("paths", f"shapes {sorted(shapes)}", "one shape", "Forecast the same days.")
        )
    if problems:
        raise InputError(problems)


def _holds_itself(whole: str, parts: Mapping[str, Sequence[str]]) -> bool:
    seen: set[str] = set()
    todo = list(parts.get(whole, ()))
    while todo:
        name = todo.pop()
        if name == whole:
            return True
        if name not in seen:
            seen.add(name)
            todo += parts.get(name, ())
    return False

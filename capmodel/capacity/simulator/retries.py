"""What retries do to the load at the bottom of a call chain, in closed form.

This module answers: if a share of calls fails at the bottom and every layer above retries, how many
calls arrive there per call that a user made, and how many still fail?

Every layer makes at most `attempts` calls per call that it received, and retries only what still
fails after the layer below gave up. Attempts fail independently with the same probability: a
correlated outage is the case ``failure = 1``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from capmodel.errors import InputError, Problem

__all__ = ["layered_budget_x", "residual_failure", "retry_factor"]

Floats = npt.NDArray[np.float64]


def retry_factor(
    failure: npt.ArrayLike,
    *,
    attempts: int,
    layers: int = 1,
    budget: float | None = None,
) -> Floats:
    """Return the calls that arrive at the bottom per call at the top.

    Formula: ``(1 - f^n) / (1 - f)`` with ``n = attempts^layers``, and n where ``f = 1``. The lowest
    layer calls ``1 + f + … + f^(A-1) = (1 - f^A) / (1 - f)`` times and fails with ``f^A``; the next
    does the same with ``f^A`` in the place of f; the product over the layers telescopes. A budget
    caps the result at ``1 + budget``.

    Parameters
    ----------
    failure
        Probability f that one call fails at the bottom, any shape [ratio 0–1].
    attempts
        Calls that a layer makes at most, the first included [calls].
    layers
        Layers that retry [count].
    budget
        Retries of the whole chain / calls at the top, at most [ratio]; None: no budget. Where each
        layer keeps a budget of its own, the cap is :func:`layered_budget_x` instead.

    Returns
    -------
    numpy.ndarray
        Amplification, of the shape of `failure` [ratio].

    Raises
    ------
    InputError
        A probability outside 0–1, fewer than one attempt or layer, a negative budget.

    References
    ----------
    Brooker, "Timeouts, retries, and backoff with jitter", Amazon Builders' Library: five layers of
    three attempts send 243 times the load. Beyer et al. (2016), *Site Reliability Engineering*,
    ch. 21, "Handling Overload": a retry budget of 10 % holds the load at 1.1 times.

    Examples
    --------
    >>> retry_factor([0.3, 1.0], attempts=3, layers=3).round(4).tolist()
    [1.4286, 27.0]
    >>> float(retry_factor(1.0, attempts=3, layers=5))
    243.0
    >>> float(retry_factor(1.0, attempts=3, layers=5, budget=0.1))
    1.1
    """
    fails = _checked(failure, attempts=attempts, layers=layers, budget=budget)
    calls = float(attempts) ** layers
    # log1p(-(1 - f)) keeps its digits where f is near 1.
    works = 1.0 - fails
    some = (works > 0) & (fails > 0)
    factor = np.where(fails > 0, calls, 1.0)
    log_f = np.log1p(-works, where=some, out=np.zeros_like(works))
    np.divide(-np.expm1(calls * log_f), works, out=factor, where=some)
    return factor if budget is None else np.minimum(factor, 1.0 + budget)


def residual_failure(failure: npt.ArrayLike, *, attempts: int, layers: int = 1) -> Floats:
    """Return the probability that a call at the top fails after every retry: ``f^(A^L)``.

    Parameters
    ----------
    failure, attempts, layers
        As in :func:`retry_factor`, without a budget.

    Examples
    --------
    >>> residual_failure([0.3, 1.0], attempts=3).round(3).tolist()
    [0.027, 1.0]
    """
    fails = _checked(failure, attempts=attempts, layers=layers, budget=None)
    return np.asarray(fails ** (float(attempts) ** layers))


def layered_budget_x(budget: float, *, layers: int) -> float:
    """Return the largest amplification where each layer keeps its own budget: ``(1 + b)^L``.

    Parameters
    ----------
    budget
        Retries of a layer / calls that it received, at most [ratio].
    layers
        Layers that retry [count].

    Examples
    --------
    >>> round(layered_budget_x(0.1, layers=5), 4)
    1.6105
    """
    _checked(0.0, attempts=1, layers=layers, budget=budget)
    return float((1.0 + budget) ** layers)


def _checked(failure: npt.ArrayLike, *, attempts: int, layers: int, budget: float | None) -> Floats:
    fails = np.asarray(failure, dtype=np.float64)
    problems = []
    if not np.all((fails >= 0) & (fails <= 1)):
        problems.append(
            Problem(
                "failure",
                str(failure),
                "a probability between 0 and 1",
                "Write 30 % as 0.3.",
            )
        )
    problems += [
        Problem(name, str(count), "a whole number of at least 1", f"Correct {name}.")
        for name, count in (("attempts", attempts), ("layers", layers))
        if count < 1 or count != int(count)
    ]
    if budget is not None and not budget >= 0:
        problems.append(
            Problem(
                "budget",
                str(budget),
                "a ratio of at least 0, or None for no budget",
                "Write 10 % as 0.1.",
            )
        )
    if problems:
        raise InputError(problems)
    return fails

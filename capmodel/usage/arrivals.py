"""Tell load tests whose users arrive independently from those whose users march in step.

This module answers: is the response of a closed test explained by queueing, or by a batch that
arrives at once? Users with a constant pace who start together stay in phase, and every pass of the
batch waits for itself: such a run says little about independent users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from capmodel.errors import InputError
from capmodel.laws.arguments import number, whole
from capmodel.laws.closed import finite_population
from capmodel.schema import Finding, Findings

__all__ = ["PHASE_LOCKED_X", "ArrivalCheck", "batch_response_s", "check_arrivals"]

PHASE_LOCKED_X: Final = 3.0
"""Observed response above this many times that of independent users is no queueing of theirs."""


@dataclass(frozen=True, slots=True)
class ArrivalCheck:
    """How the observed response compares with that of independent users and of a batch.

    Attributes
    ----------
    observed_response_s, independent_response_s, batch_response_s
        Mean response [s]: measured, of M/M/c//N, and of users who all arrive at once.
    ratio_x
        Observed / independent [ratio].
    phase_locked
        Whether `ratio_x` exceeds 3.
    findings
        ``phase_locked``, or empty.
    """

    observed_response_s: float
    independent_response_s: float
    batch_response_s: float
    ratio_x: float
    phase_locked: bool
    findings: Findings

    def to_frame(self) -> pd.DataFrame:
        """Return one row with the three responses, the ratio and the verdict."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        del row["findings"]
        return pd.DataFrame([row])

    def explain(self) -> str:
        """Return the comparison as text."""
        verdict = "phase-locked arrivals" if self.phase_locked else "no sign of a batch"
        return (
            f"{verdict}: observed mean response {self.observed_response_s:.4g} s, independent "
            f"users {self.independent_response_s:.4g} s (×{self.ratio_x:.3g}), a batch "
            f"{self.batch_response_s:.4g} s"
        )

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(index=False)


def batch_response_s(*, users: int, service_s: float, servers: int) -> float:
    """Return the mean response of users who all arrive at once: ``S (1 + (B/c − 1)/2)``.

    B/c rounds of c requests follow each other, and a request waits for half of the others' rounds
    on average. A batch no larger than the servers does not wait: S.

    Parameters
    ----------
    users
        B, size of the batch.
    service_s
        S, mean service time [s].
    servers
        c.

    Returns
    -------
    float
        Mean response [s].

    Raises
    ------
    InputError
        For users or servers that are no whole numbers from 1, or a service time that is not > 0.

    References
    ----------
    Mean of the rounds 1 … B/c, each of length S.

    Examples
    --------
    >>> round(batch_response_s(users=40, service_s=0.0256, servers=4), 4)
    0.1408
    """
    problems = [*whole("users", users), *whole("servers", servers)]
    problems += number("service_s", service_s, "Give the mean service time in seconds.", above=0)
    if problems:
        raise InputError(problems)
    return float(service_s) * (1 + (max(users / servers, 1.0) - 1) / 2)


def check_arrivals(
    *, users: int, think_s: float, service_s: float, servers: int, observed_response_s: float
) -> ArrivalCheck:
    """Compare the mean response of a closed test with independent users and with a batch.

    Parameters
    ----------
    users
        Users of the test, N.
    think_s
        Mean time between a response and the user's next request [s]; of a paced test the pace less
        the response of an idle system.
    service_s
        Mean time a request holds a server [s].
    servers
        Servers (slots, cores), c.
    observed_response_s
        Measured mean response [s], best on the server's side: a generator adds its own.

    Returns
    -------
    ArrivalCheck
        With a finding ``phase_locked`` where the observed response is more than 3 times that of
        M/M/c//N.

    Raises
    ------
    InputError
        With every argument that is out of range.

    Examples
    --------
    >>> run = check_arrivals(
    ...     users=40, think_s=0.47, service_s=0.0256, servers=4, observed_response_s=0.1216
    ... )
    >>> run.phase_locked, round(run.ratio_x, 1), round(run.batch_response_s, 4)
    (True, 4.4, 0.1408)
    """
    problems = [*whole("users", users), *whole("servers", servers)]
    for where, value, do in (
        ("service_s", service_s, "Give the mean service time in seconds."),
        ("observed_response_s", observed_response_s, "Give the measured mean in seconds."),
    ):
        problems += number(where, value, do, above=0)
    problems += number("think_s", think_s, "Give seconds; 0 for none.", least=0)
    if problems:
        raise InputError(problems)
    observed, service_s = float(observed_response_s), float(service_s)
    independent = finite_population(
        servers=servers, service_s=service_s, customers=users, think_s=think_s
    ).response_s
    batch = batch_response_s(users=users, service_s=service_s, servers=servers)
    ratio = observed / independent
    locked = ratio > PHASE_LOCKED_X
    found = (_phase_locked(observed, independent, batch, users=users),) if locked else ()
    return ArrivalCheck(
        observed_response_s=observed,
        independent_response_s=independent,
        batch_response_s=batch,
        ratio_x=ratio,
        phase_locked=locked,
        findings=Findings(found),
    )


def _phase_locked(observed: float, independent: float, batch: float, *, users: int) -> Finding:
    return Finding(
        "phase_locked",
        "warning",
        "",
        f"mean response {observed:.4g} s is {observed / independent:.1f} times the "
        f"{independent:.4g} s of independent users; {users} users who arrive at once would see "
        f"{batch:.4g} s (observed: {observed / batch - 1:+.0%}). Give users random think times or "
        "start phases and measure again; if it stays, the service is slower than stated.",
        {
            "observed_response_s": observed,
            "independent_response_s": independent,
            "batch_response_s": batch,
        },
    )

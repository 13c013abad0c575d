"""What a backtest found: long frames, and one row per model that sums them up.

This module answers: which model is best on the tasks that all of them could do, by how much, and
how sure is that? It averages; it judges nothing itself.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from capmodel.accuracy import (
    Share,
    binomial_interval,
    clustered_share,
    geometric_mean_ratio,
)
from capmodel.backtest.judge import (
    BUCKETS,
    EVENT_DAYS,
    ORDINARY_DAYS,
    PEAK_QUANTILES,
    Judged,
    label,
)
from capmodel.backtest.tasks import Refusal
from capmodel.errors import require_known

if TYPE_CHECKING:
    from capmodel.backtest.origins import Origin

__all__ = ["REFERENCE", "BacktestResult"]

REFERENCE: Final = "weekly_seasonal_naive"
"""What skill is measured against: the last measured value of the same hour of the week."""

KEY: Final = ("origin", "model", "service")
MEASURES: Final = ("n_hours", "mae", "wape", "bias", "mase", "mae_naive", "skill")
COLUMNS: Final = {
    "scores": (*KEY, "compared", "quantity", *MEASURES, "n_left_out", "scale"),
    "buckets": (*KEY, "compared", "bucket", *MEASURES),
    "quantiles": (
        *KEY, "compared", "q", "n_hours", "n_covered", "coverage", "coverage_low",
        "coverage_high", "pinball", "pinball_x",
    ),
    "peaks": (
        *KEY, "compared", "actual", "local_time", "event",
        *(label(q) for q in PEAK_QUANTILES),
        *(f"error_{label(q)}" for q in PEAK_QUANTILES),
        *(f"above_{label(q)}" for q in PEAK_QUANTILES),
    ),
    "refused": tuple(field.name for field in fields(Refusal)),
}  # fmt: skip
"""Frame to its columns."""
MEANS: Final = ("wape", "bias", "mase", "skill")
COVERAGE: Final = ("coverage", "coverage_low", "coverage_high", "pinball_x")
SHOWN: Final = (
    "model", "n_compared", "wape", "mase", "skill", "better_than_naive", "bias", "peak_error",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BacktestResult:
    """Every measure of every model on every task; a task is one service at one cut.

    Ratios are fractions of 1, never percent. ``compared`` marks the tasks that every model could
    do (models that could do none at all stand aside): only these enter ``summary``, so that all
    models are judged on the same services and hours.
    """

    models: tuple[str, ...]
    """In the order they were given, the reference last."""
    origins: tuple[Origin, ...]
    scores: pd.DataFrame
    """One row per task and model: ``mae`` [quantity], ``wape``, ``bias`` (above 0: too high),
    ``mase`` (scale: weekly difference before the cut), ``skill`` (1 - mae / mae of the reference),
    ``n_hours`` judged and ``n_left_out`` (gaps, outages)."""
    buckets: pd.DataFrame
    """The same by ``bucket``: days since the cut, event days, ordinary days."""
    quantiles: pd.DataFrame
    """One row per task, model and ``q``: ``coverage`` with the binomial interval of so many
    independent hours (hours are not: the summary's interval takes a task for a cluster),
    ``pinball`` [quantity] and ``pinball_x`` (by the mean of what happened)."""
    peaks: pd.DataFrame
    """One row per task and model: the busiest judged hour, the forecast quantiles of the busiest
    hour, their relative errors, and whether what happened was above them (1 or 0)."""
    refused: pd.DataFrame
    """What could not be judged, and why; '' stands for every model."""
    summary: pd.DataFrame
    """One row per model, over compared tasks; see :meth:`to_frame`."""

    @classmethod
    def of(
        cls,
        models: tuple[str, ...],
        judged: Sequence[Judged],
        refusals: Iterable[Refusal],
        *,
        origins: tuple[Origin, ...],
        quantiles: tuple[float, ...],
    ) -> BacktestResult:
        """Lay out the rows and sum them up."""
        rows = {
            "scores": [j.score for j in judged],
            "buckets": [row for j in judged for row in j.buckets],
            "quantiles": [row for j in judged for row in j.quantiles],
            "peaks": [j.peak for j in judged],
            "refused": [asdict(refusal) for refusal in refusals],
        }
        frames = {name: pd.DataFrame(part, columns=_given(name)) for name, part in rows.items()}
        compared = _compared(frames["scores"])
        for name in ("scores", "buckets", "quantiles", "peaks"):
            tasks = zip(frames[name]["origin"], frames[name]["service"], strict=True)
            marks = np.array([task in compared for task in tasks], dtype=bool)
            frames[name].insert(len(KEY), "compared", marks)
        names = (*models, REFERENCE)
        summary = [_summary_row(name, frames, quantiles) for name in names]
        return cls(models=names, origins=origins, summary=pd.DataFrame(summary), **frames)

    def to_frame(self, name: str = "summary") -> pd.DataFrame:
        """Return a frame by name.

        Parameters
        ----------
        name
            ``summary`` (one row per model), ``scores``, ``buckets``, ``quantiles``, ``peaks``,
            ``refused``. In the summary, over the compared tasks: ``wape``, ``bias`` and ``mase``
            are means; ``mase_gm`` and ``skill`` (1 - ratio) geometric means over the ``n_scaled``
            tasks that have a scale; ``better_than_naive`` the share with a smaller error;
            ``coverage_p95`` the share of hours at or below the forecast's P95, its interval that of
            tasks as clusters; ``peak_error`` the median relative error of the P50 of the busiest
            hour, ``above_p95`` the share of busiest hours above their P95. Intervals are 95 %.
            Services at one cut share their luck, so those of shares of tasks are the narrowest
            possible.

        Raises
        ------
        InputError
            For another name; names the nearest.
        """
        frames = ("summary", *COLUMNS)
        require_known("to_frame", name, frames)
        frame: pd.DataFrame = getattr(self, name)
        return frame.copy()

    def versus(self, other: str = REFERENCE) -> pd.DataFrame:
        """Compare every model with one of them, over the compared tasks.

        Parameters
        ----------
        other
            Name of a model; tasks where its own error is 0 have no ratio and are not counted.

        Returns
        -------
        pandas.DataFrame
            model, n (tasks), ``mae_ratio`` (geometric mean), ``better`` (share of tasks with the
            smaller error), ``better_low``, ``better_high`` (95 %, binomial).

        Raises
        ------
        InputError
            For a name that was not judged; names the nearest.
        """
        require_known("versus", other, self.models)
        rows = [{"model": m, **_against(self.scores, m, other)} for m in self.models if m != other]
        return pd.DataFrame(rows)

    def by_bucket(self) -> pd.DataFrame:
        """Return the means over compared tasks by horizon bucket, and on event days apart.

        Returns
        -------
        pandas.DataFrame
            bucket, model, n (tasks), wape, bias, mase (means), skill (1 - geometric mean ratio).
        """
        kept = self.buckets[self.buckets["compared"]]
        rows = [
            {"bucket": bucket, "model": model, "n": len(part), **_means(part)}
            for bucket in (*(name for name, _, _ in BUCKETS), EVENT_DAYS, ORDINARY_DAYS)
            for model in self.models
            if len(part := kept[(kept["bucket"] == bucket) & (kept["model"] == model)])
        ]
        return pd.DataFrame(rows, columns=["bucket", "model", "n", *MEANS])

    def by_quantile(self) -> pd.DataFrame:
        """Return how often what happened stayed at or below each quantile, over compared tasks.

        Returns
        -------
        pandas.DataFrame
            q, model, n_hours, ``coverage`` with its 95 % interval (tasks as clusters,
            :func:`capmodel.accuracy.clustered_share`), ``pinball_x`` (mean).
        """
        kept = self.quantiles[self.quantiles["compared"]]
        rows = [
            {"q": q, "model": model, "n_hours": int(part["n_hours"].sum()), **_coverage(part)}
            for q in kept["q"].drop_duplicates()
            for model in self.models
            if len(part := kept[(kept["q"] == q) & (kept["model"] == model)])
        ]
        columns = ["q", "model", "n_hours", *COVERAGE]
        return pd.DataFrame(rows, columns=columns)

    def __str__(self) -> str:
        """Return what was judged, and the summary's main columns."""
        return f"{self._headline()}\n\n{self._main().to_string(index=False, na_rep='-')}"

    def __repr__(self) -> str:
        """Return one line."""
        return f"<BacktestResult: {self._headline()}>"

    def _repr_html_(self) -> str:
        """Return what was judged, and the summary's main columns."""
        table = self._main().to_html(index=False, na_rep="-")
        return f"<p>{html.escape(self._headline())}</p>{table}"

    def _headline(self) -> str:
        cuts = f"{len(self.origins)} cut{'' if len(self.origins) == 1 else 's'}"
        tasks = self.scores.drop_duplicates(["origin", "service"])
        compared = int(tasks["compared"].sum())
        return (
            f"{len(self.models) - 1} models and {REFERENCE} at {cuts}: "
            f"{compared} of {len(tasks)} tasks judged under all of them"
        )

    def _main(self) -> pd.DataFrame:
        return self.summary[list(SHOWN)].round(4)


def _given(name: str) -> list[str]:
    """Return the columns of a frame before `compared` is known."""
    return [column for column in COLUMNS[name] if column != "compared"]


def _compared(scores: pd.DataFrame) -> set[tuple[str, str]]:
    """Return the tasks that every model could do which could do any."""
    able = scores["model"].nunique()
    count = scores.groupby(["origin", "service"])["model"].nunique()
    return {task for task, models in count.items() if models == able}  # type: ignore[misc]


def _summary_row(
    model: str, frames: Mapping[str, pd.DataFrame], quantiles: tuple[float, ...]
) -> dict[str, Any]:
    scores = frames["scores"]
    own = scores[scores["model"] == model]
    kept = own[own["compared"]]
    against = _against(scores, model, REFERENCE)
    row: dict[str, Any] = {
        "model": model,
        "n_judged": len(own),
        "n_compared": len(kept),
        "n_scaled": int(kept["skill"].notna().sum()),
        **_means(kept),
        "mase_gm": float(geometric_mean_ratio(kept["mase"], 1.0)),
    }
    for name in ("better", "better_low", "better_high"):
        row[name.replace("better", "better_than_naive")] = (
            np.nan if model == REFERENCE else against[name]
        )
    spread = frames["quantiles"]
    spread = spread[spread["compared"] & (spread["model"] == model)]
    for q in quantiles:
        found = _coverage(spread[spread["q"] == q])
        row |= {_of_quantile(name, q): value for name, value in found.items()}
    return row | _peaks(frames["peaks"], model)


def _of_quantile(name: str, q: float) -> str:
    """Return a column's name with its quantile: coverage_p95_low."""
    stem = "pinball_x" if name == "pinball_x" else "coverage"
    return name.replace(stem, f"{stem}_{label(q)}")


def _means(part: pd.DataFrame) -> dict[str, float]:
    ratio = geometric_mean_ratio(1 - part["skill"], 1.0)
    means = {name: float(part[name].mean()) for name in ("wape", "bias", "mase")}
    return {**means, "skill": float(1 - ratio)}


def _against(scores: pd.DataFrame, model: str, other: str) -> dict[str, float]:
    kept = scores[scores["compared"]]
    errors = {
        name: kept[kept["model"] == name].set_index(["origin", "service"])["mae"]
        for name in (model, other)
    }
    both = pd.concat([errors[model], errors[other]], axis=1, keys=["one", "two"]).dropna()
    both = both[both["two"] > 0]
    better = int((both["one"] < both["two"]).sum())
    low, high = binomial_interval(better, len(both))
    return {
        "n": len(both),
        "mae_ratio": float(geometric_mean_ratio(both["one"], both["two"])),
        "better": better / len(both) if len(both) else np.nan,
        "better_low": float(low),
        "better_high": float(high),
    }


def _coverage(part: pd.DataFrame) -> dict[str, float]:
    """Return the coverage of one quantile of one model."""
    share = clustered_share(part["n_covered"], part["n_hours"])
    return {**_share("coverage", share), "pinball_x": float(part["pinball_x"].mean())}


def _peaks(peaks: pd.DataFrame, model: str) -> dict[str, float]:
    kept = peaks[peaks["compared"] & (peaks["model"] == model)]
    row = {
        "peak_error": float(kept["error_p50"].median()),
        "peak_abs_error": float(kept["error_p50"].abs().median()),
    }
    for q in PEAK_QUANTILES:
        above = kept[f"above_{label(q)}"].dropna()
        hits, n = int(above.sum()), len(above)
        low, high = binomial_interval(hits, n)
        share = np.asarray(hits / n if n else np.nan)
        row |= _share(f"above_{label(q)}", Share(share, low, high, np.asarray(n)))
    return row


def _share(name: str, share: Share) -> dict[str, float]:
    """Return a share and its interval, all NaN where there is no case."""
    if not share.n:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), np.nan)
    ends = {f"{name}_low": float(share.low), f"{name}_high": float(share.high)}
    return {name: float(share.share), **ends}

"""A plan: frames, sentences and provenance in one frozen object that saves to canonical JSON.

This module answers: what did we plan, why, what changed, and what if traffic were k times today's?
It draws and writes through the report and plot layers and computes no capacity of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from capmodel import documents
from capmodel.capacity.curves import curve_from_dict, sweep_points
from capmodel.errors import InputError, Problem, require_known
from capmodel.orders import OrdersPolicy, orders_as_of
from capmodel.plan.causes import explained_diff
from capmodel.plan.changes import changed_inputs, changes_frame, mismatch
from capmodel.plan.columns import FRAMES, frame_from_json, frame_to_json
from capmodel.plan.diffs import diff_frames
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.freezing import Baseline, freeze
from capmodel.plan.gates import GateResult, apply_gates
from capmodel.plan.plan_files import SCHEMA, WRITTEN, read_document
from capmodel.plan.plan_views import PlanViews
from capmodel.plan.ranking import ranked
from capmodel.plan.request import as_date
from capmodel.plan.rules import GateRules
from capmodel.plan.sentences import headline_of
from capmodel.plan.stories import stories_of
from capmodel.plan.tripwire_words import tripwire_sentences

if TYPE_CHECKING:
    from capmodel.plan.model import CapacityFit
    from capmodel.plan.study import Study

__all__ = ["PlanSet", "load_plan"]


@dataclass(frozen=True, slots=True, eq=False)
class PlanSet(PlanViews):
    """The plan of several scenarios and their mixture.

    ``frames`` are the results by name (see :meth:`to_frame`), ``meta`` what was asked, ``curves``
    each limit's usage by multiple of today, ``environment`` the versions it was made with.
    """

    frames: Mapping[str, pd.DataFrame]
    meta: Mapping[str, Any]
    curves: tuple[Mapping[str, Any], ...]
    environment: Mapping[str, str]

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios, in order."""
        return tuple(s["name"] for s in self.meta["scenarios"])

    @property
    def hash(self) -> str:
        """SHA-256 of everything but the environment."""
        return documents.sha256_hex(documents.canonical_json(self._body()))

    def to_frame(self, name: str = "limits") -> pd.DataFrame:
        """Return one of the plan's frames.

        Parameters
        ----------
        name
            What is asked: demand, fan, yoy, calendar_yoy, lifts, fits, assumptions, changes. What
            breaks: limits, ladder, shares, callers, risk, register, overlays, event_hour, factors,
            findings. How do scenarios and inputs compare: summary, tornado. What is needed:
            services, nodes, databases, sizing, schedule, provisioning, mix, mix_floor, rightsizing,
            lookback. What to do: orders, release, lead_times, load_tests, tripwires,
            tripwire_curve, remedies, options, cost, waterfall; how to buy it (part `commitments`):
            cost_hour, cost_month, unit_cost, cost_term, commitments, reservations, levers.

        Raises
        ------
        InputError
            For an unknown name, naming the nearest.
        """
        require_known("to_frame", name, self.frames)
        return self.frames[name].copy()

    def headline(self) -> str:
        """Return what breaks first, when, what to order by when, at which cost and risk."""
        return "\n".join(headline_of(self.frames, self.meta))

    def orders(self, *, as_of: str | date | None = None) -> pd.DataFrame:
        """Return the order book as of a date: what is late then, what was done by then.

        Counts, dates and money are the plan's; states and statuses follow from the dates and from
        what the plan's study says was placed. Nothing is computed again and no clock is read.

        Parameters
        ----------
        as_of
            A local date; None: the plan's own.

        Raises
        ------
        InputError
            For a text that is no date.
        """
        day = as_date(self.meta["as_of"] if as_of is None else as_of, "as_of")
        policy = OrdersPolicy.model_validate(self.meta["orders_policy"])
        return orders_as_of(self.frames["orders"], policy, day)

    def tripwires(self) -> pd.DataFrame:
        """Return per order what to watch, when to look, and above what to order how much more.

        Step 0 of an order is what to order now, with the units and USD of both stages beside one
        order for everything; each further step is a wire: where the driver's mean daily demand of
        the event-free days from `window_start` to `look_on` is above `threshold_per_day`, order
        `count` more by `latest_by`. An order of one row is sized one-shot, and `reason` says why.
        """
        return self.to_frame("tripwires")

    def tripwire_headline(self) -> str:
        """Return the tripwires in sentences, one per order, those that wait for a look first."""
        return "\n".join(tripwire_sentences(self.to_frame("tripwires")))

    def explain(self, node: str, limit: str, *, scenario: str | None = None) -> pd.DataFrame:
        """Return the chain of factors behind a limit's P50, each with its source.

        Raises
        ------
        InputError
            For an unknown node, limit or scenario, naming the nearest.
        """
        factors = self.frames["factors"]
        wanted = {"scenario": scenario or self._main, "node": node, "limit": limit}
        for column, value in wanted.items():
            known = list(dict.fromkeys(factors[column]))
            require_known(f"explain.{column}", value, known)
            factors = factors[factors[column] == value]
        columns = ["step", "factor", "value", "unit", "basis", "source"]
        return factors[columns].reset_index(drop=True)

    def stories(self) -> tuple[str, ...]:
        """Return the three likeliest failures, a paragraph each that ends with its register row."""
        return stories_of(self.frames)

    def summary(self) -> pd.DataFrame:
        """Return one row per scenario, planned as if it were certain, and the mixture's row.

        Raises
        ------
        InputError
            Where the plan was made without the part ``summary``; a grid always has it.
        """
        return self._part("summary")

    def rank(self, by: str = "usd") -> pd.DataFrame:
        """Return the scenarios of :meth:`summary`, the best first: the cheapest, calmest, smallest.

        Parameters
        ----------
        by
            ``usd``, ``p_any`` (of the strictest tier, as things stand), ``nodes`` or ``regret``.

        Raises
        ------
        InputError
            For another word, and for ``regret`` where no unit of the policy has a price.
        """
        return ranked(self.summary(), by)

    def _part(self, name: str) -> pd.DataFrame:
        if name not in self.frames:
            raise InputError.of(
                name,
                got="a plan without this part",
                expected=f'a plan made with also=["{name}"]',
                do="Make the plan again with it.",
            )
        return self.frames[name].copy()

    def sweep(self, multiples: Sequence[float]) -> pd.DataFrame:
        """Return how full each limit is at multiples of today's traffic.

        Central coefficients, integer pods and nodes, no failures.

        Raises
        ------
        InputError
            For a multiple that is not positive.
        """
        wrong = [x for x in multiples if not x > 0]
        if wrong:
            raise InputError.of(
                "sweep", got=wrong, expected="multiples above 0", do="1.0 is today's traffic."
            )
        rows = [
            (row["node"], row["limit"], point.x, point.usage, row["unit"], row["hard"],
             point.utilization, point.status)
            for row in self.curves
            for point in sweep_points(
                curve_from_dict(row["curve"]),
                hard=row["hard"],
                policy_x=row["policy_x"],
                multiples=multiples,
                saturation=curve_from_dict(row["saturation"]),
                follows_load=row["follows_load"],
            )
        ]  # fmt: skip
        columns = ["node", "limit", "x", "usage", "unit", "hard", "utilization", "status"]
        return pd.DataFrame(rows, columns=columns)

    def diff(
        self,
        old: str | PlanSet | Baseline,
        new: str | None = None,
        *,
        fit: CapacityFit | None = None,
        study: Study | None = None,
    ) -> pd.DataFrame:
        """Return what differs between two scenarios of this plan, or from an older plan.

        Each row of a comparison with an older plan names the input that moved it. Where several
        inputs differ, this plan is made again with one of them swapped back at a time.

        Parameters
        ----------
        old, new
            Two scenario names; or an older plan alone, which this one is compared with.
        fit, study
            What this plan was made from, to tell several changed inputs apart.

        Raises
        ------
        InputError
            For an unknown scenario, and for a fit or study that does not give this plan.
        """
        if not isinstance(old, str):
            return explained_diff(_plan_of(old), self, fit=fit, study=study)
        if not isinstance(new, str):
            raise InputError.of(
                "diff", got=repr(new), expected="two scenario names", do='diff("base", "high")'
            )
        return diff_frames(self._only(old), self._only(new))

    def changed_inputs(self, old: PlanSet | Baseline) -> pd.DataFrame:
        """Return which inputs differ from an older plan: field, both values, whether it swaps."""
        return changes_frame(changed_inputs(_plan_of(old), self))

    def change_comment(
        self,
        old: PlanSet | Baseline | None = None,
        *,
        changes: pd.DataFrame | None = None,
        gates: GateResult | None = None,
    ) -> str:
        """Return what changed from an older plan as a comment of at most 60 lines of Markdown.

        Parameters
        ----------
        old
            The older plan; None: the gates alone are told.
        changes
            Rows of :meth:`diff`, where they are known; None: they are made.
        gates
            What gate rules said; None: none were applied.
        """
        from capmodel import report  # noqa: PLC0415

        lead = [gates.headline()] if gates else []
        if old is not None:
            changes = self.diff(old) if changes is None else changes
            lead += [doubt] if (doubt := mismatch(_plan_of(old), self)) else []
        return report.change_comment(
            changes if old is not None else None,
            title=f"{self.meta['title']}: {'what changed' if old is not None else 'gates'}",
            inputs=self.changed_inputs(old) if old is not None else None,
            gates=None if gates is None else gates.frame,
            lead=lead,
        )

    def _only(self, scenario: str) -> dict[str, pd.DataFrame]:
        require_known("diff", scenario, (*self.scenarios, MIXTURE))
        return {
            name: frame[frame["scenario"] == scenario].assign(scenario="")
            for name, frame in self.frames.items()
            if "scenario" in frame.columns
        }

    def to_json(self) -> str:
        """Return the plan as canonical JSON: the same plan gives the same bytes."""
        body = self._body()
        text = documents.canonical_json(
            {
                "schema": SCHEMA,
                "hash": documents.sha256_hex(documents.canonical_json(body)),
                "plan": body,
                "environment": self.environment,
            }
        )
        return text + "\n"

    def _body(self) -> dict[str, Any]:
        return {
            "meta": self.meta,
            "frames": {name: frame_to_json(frame) for name, frame in self.frames.items()},
            "curves": list(self.curves),
        }

    def save(self, path: str | Path) -> None:
        """Write the plan to a JSON file."""
        documents.write_text_atomic(path, self.to_json())

    def write(self, folder: str | Path) -> None:
        """Write plan.json, review.html, review.md and one CSV per frame; the folder is swapped."""
        from capmodel import report  # noqa: PLC0415

        def fill(place: Path) -> None:
            self.save(place / "plan.json")
            self.to_html(place / "review.html")
            self.to_markdown(place / "review.md")
            report.write_csvs(self.frames, place / "csv")

        documents.swap_folder(folder, fill, known=WRITTEN)

    def gate(
        self,
        rules: GateRules | str | Path,
        *,
        baseline: PlanSet | Baseline | None = None,
        as_of: str | date | None = None,
    ) -> GateResult:
        """Return what gate rules (or the file that holds them) say about this plan.

        Parameters
        ----------
        rules
            The rules, see :class:`capmodel.plan.rules.GateRules`.
        baseline
            The plan that changes are counted from.
        as_of
            The day on which inputs must be fresh and waivers valid; None: the plan's own.

        Raises
        ------
        InputError
            For unknown metrics and scopes, and for rules on a change without a baseline.
        """
        known = rules if isinstance(rules, GateRules) else GateRules.read(rules)
        return apply_gates(
            self,
            known,
            baseline=None if baseline is None else _plan_of(baseline),
            as_of=None if as_of is None else as_date(as_of, "gate.as_of"),
        )

    def freeze(self, *, on: str | date, note: str = "") -> Baseline:
        """Return the plan frozen on a day: `Baseline.save` writes what is refused once edited."""
        return freeze(self, on=as_date(on, "freeze.on"), note=note)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a saved plan.

        Raises
        ------
        InputError
            For a file that is no plan, or whose hash does not match its content.
        """
        return cls.of_document(read_document(path), where=str(path))

    @classmethod
    def of_document(cls, data: Mapping[str, Any], *, where: str) -> Self:
        """Return the plan that a parsed plan.json holds, see :meth:`load`."""
        if data.get("schema") != SCHEMA:
            raise InputError.of(
                where,
                got=f"schema {data.get('schema')!r}",
                expected=SCHEMA,
                do="Name a plan.json of this version.",
            )
        body = data["plan"]
        if documents.sha256_hex(documents.canonical_json(body)) != data["hash"]:
            raise InputError(
                Problem(
                    where=where,
                    got="content that does not match its hash",
                    expected="an unedited plan",
                    do="Make the plan again from its study.",
                )
            )
        return cls(
            frames={n: frame_from_json(body["frames"][n]) for n in FRAMES if n in body["frames"]},
            meta=body["meta"],
            curves=tuple(body["curves"]),
            environment=data["environment"],
        )


def _plan_of(old: PlanSet | Baseline) -> PlanSet:
    return old.plan if isinstance(old, Baseline) else old


def load_plan(path: str | Path) -> PlanSet:
    """Read a saved plan, see :meth:`PlanSet.load`."""
    return PlanSet.load(path)

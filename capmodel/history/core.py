"""The validated history: one dense array per quantity on a regular UTC grid.

This module answers: what was measured, where, when? ``History`` orchestrates; reading lives in
``reading`` and ``grid``, business time in ``localtime``, findings in ``check``, the model-free
first look in ``first_look``.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from capmodel import documents
from capmodel.errors import CapmodelError, InputError, nearest
from capmodel.history import check, first_look, grid, reading, writing
from capmodel.history.arrays import total_over_classes
from capmodel.history.localtime import Axis, at_second, check_tz
from capmodel.schema import DEMAND_QUANTITIES, QUANTITIES, Findings

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd

    from capmodel.events import Events

__all__ = ["History"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Key = tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class History:
    """What was measured: quantities of services on one regular UTC grid.

    Parameters
    ----------
    services
        Names of drivers, services, databases and externals, sorted, S of them.
    start
        Start of the first interval, UTC, in seconds. With a step of 1440 min: the label of the
        first local day (see ``capmodel.history.localtime``).
    step_min
        Step [min].
    values
        ``(quantity, class)`` → array of shape (S, T), NaN where nothing was measured. Class '' is
        the whole. Units are those of ``schema.QUANTITIES``.
    tags
        Tag → mask of shape (S, T).
    business_tz
        IANA zone of the business.
    notes
        What reading the input found; ``check()`` repeats it.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame(
    ...     {
    ...         "service": "api",
    ...         "time": pd.date_range("2026-01-01", periods=48, freq="h", tz="UTC"),
    ...         "rps": np.arange(48.0),
    ...     }
    ... )
    >>> history = History.from_frame(frame, business_tz="America/New_York")
    >>> history
    <History: 1 service, 48 steps of 60 min, 2025-12-31 19:00 to 2026-01-02 19:00 America/New_York>
    >>> history.series("api", "rps")[:3]
    array([0., 1., 2.])
    """

    services: tuple[str, ...]
    start: np.datetime64
    step_min: int
    values: Mapping[Key, Floats]
    tags: Mapping[str, Bools]
    business_tz: str
    notes: Findings = field(default_factory=Findings)

    def __post_init__(self) -> None:
        """Check shapes and make the arrays read-only."""
        shapes = {a.shape for a in self.values.values()} | {a.shape for a in self.tags.values()}
        good = len(shapes) == 1 and len(next(iter(shapes))) == 2  # noqa: PLR2004  (S, T)
        if not good or next(iter(shapes))[0] != len(self.services):
            raise InputError.of(
                "History",
                got=f"arrays of shapes {sorted(shapes)} for {len(self.services)} services",
                expected="one shape (services, steps) for every quantity and tag",
                do="Build it with History.from_frame.",
            )
        values = {key: _frozen(array, np.float64) for key, array in sorted(self.values.items())}
        tags = {tag: _frozen(mask, np.bool_) for tag, mask in sorted(self.tags.items())}
        object.__setattr__(self, "values", MappingProxyType(values))
        object.__setattr__(self, "tags", MappingProxyType(tags))
        object.__setattr__(self, "start", at_second(self.start))

    def __reduce__(self) -> tuple[Callable[..., History], tuple[Any, ...]]:
        """Pickle through plain dictionaries, since mapping proxies cannot be pickled."""
        fields = (self.services, self.start, self.step_min, dict(self.values), dict(self.tags))
        return type(self), (*fields, self.business_tz, self.notes)

    @classmethod
    def from_frame(cls, df: pd.DataFrame, *, business_tz: str, step_min: int | None = None) -> Self:
        """Validate a long frame and lay it on a regular UTC grid.

        Parameters
        ----------
        df
            One row per (``service``, ``time``[, ``class``]) in any order; optional ``tag`` (several
            joined by commas); one column per quantity of ``schema.QUANTITIES``. ``time`` is the
            start of the interval: moments with a time zone, or dates (local days). Naive datetimes
            that are all midnights are dates.
        business_tz
            IANA zone of the business.
        step_min
            Step [min]; None infers it.

        Returns
        -------
        History
            What was irregular is in ``notes`` and in ``check()``: identical duplicates count once,
            conflicting ones are averaged, off-grid rows move to the nearest step.

        Raises
        ------
        InputError
            Missing or unknown columns (with the nearest quantity), naive timestamps, text in a
            quantity; every problem at once.
        """
        return cls._from_frame(df, business_tz=business_tz, step_min=step_min)

    @classmethod
    def _from_frame(
        cls,
        df: pd.DataFrame,
        *,
        business_tz: str,
        step_min: int | None = None,
        locate: reading.Locate = reading.row_of,
    ) -> Self:
        tz = check_tz(business_tz)
        rows = reading.read_rows(df, locate=locate)
        laid = grid.lay_out(rows, tz=tz, step_min=step_min)
        notes = Findings(laid.notes)
        start, step = laid.axis.start, laid.axis.step_min
        return cls(rows.services, start, step, laid.values, laid.tags, tz, notes)

    @property
    def n_steps(self) -> int:
        """Number of steps T."""
        return int(next(iter(self.values.values())).shape[1])

    @property
    def axis(self) -> Axis:
        """The grid: start, number of steps, step, business zone."""
        return Axis(self.start, self.n_steps, self.step_min, self.business_tz)

    @property
    def times(self) -> pd.DatetimeIndex:
        """Starts of the intervals, tz-aware UTC, shape (T,)."""
        return self.axis.times()

    @property
    def end(self) -> np.datetime64:
        """End of the last interval (exclusive), UTC."""
        return self.axis.end

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the quantities, in the order of ``schema.QUANTITIES``."""
        return tuple(name for name in QUANTITIES if any(name == q for q, _ in self.values))

    def array(self, quantity: str, service_class: str = "") -> Floats:
        """Return a quantity of all services.

        Parameters
        ----------
        quantity
            Name in ``schema.QUANTITIES``.
        service_class
            Class; '' is the whole: as measured, or else the sum over classes
            (``total_over_classes``).

        Returns
        -------
        ndarray
            Shape (S, T), read-only, in the quantity's unit.

        Raises
        ------
        InputError
            Names the nearest quantity or class.
        """
        found = self.values.get((quantity, service_class))
        if found is not None:
            return found
        classes = [c for q, c in self.values if q == quantity]
        if classes and service_class == "":
            return _frozen(
                total_over_classes(self.values[quantity, c] for c in classes), np.float64
            )
        if not classes:
            raise _unknown("quantity", quantity, self.quantities)
        raise _unknown(f"class of {quantity}", service_class, classes)

    def series(self, service: str, quantity: str) -> Floats:
        """Return one series, shape (T,), in the quantity's unit.

        Raises
        ------
        InputError
            When the service does not have the quantity; names the nearest that there is.
        """
        row = self._row(service)
        if quantity in self.quantities and quantity not in self.measured(service):
            raise _unknown(f"quantity of {service}", quantity, self.measured(service))
        if (quantity, "") in self.values or quantity not in self.quantities:
            whole: Floats = self.array(quantity)[row]
            return whole
        parts = [
            array[row : row + 1] for (name, _), array in self.values.items() if name == quantity
        ]
        return _frozen(total_over_classes(parts)[0], np.float64)

    def measured(self, service: str) -> tuple[str, ...]:
        """Return the quantities of which the service has any value."""
        row = self._row(service)
        seen = {q for (q, _), a in self.values.items() if not np.isnan(a[row]).all()}
        return tuple(name for name in QUANTITIES if name in seen)

    def demand_quantity(self, service: str) -> str:
        """Return the quantity that stands for the service's demand.

        Raises
        ------
        InputError
            When the service has none of ``schema.DEMAND_QUANTITIES``.
        """
        measured = self.measured(service)
        for name in DEMAND_QUANTITIES:
            if name in measured:
                return name
        raise InputError.of(
            f"history of {service}",
            got=f"quantities {', '.join(measured) or 'none'}",
            expected=f"one of {', '.join(DEMAND_QUANTITIES)}",
            do="Add its demand to the history, or derive it from its callers in the topology.",
        )

    def check(self, *, fine: bool = False) -> Findings:
        """Return everything noteworthy about the data, errors first.

        Parameters
        ----------
        fine
            True for a short history of minutes beside the main one: its length, its holes and the
            day on which a service first appears are not judged.

        Returns
        -------
        Findings
            The codes and rules are listed in ``capmodel.history.check``. Errors disqualify
            the history unless their code is accepted by name.
        """
        return check.findings(
            self.axis, self.services, self.values, self.tags, self.notes, fine=fine
        )

    def masked(self, *, keep_tags: Iterable[str] = ()) -> History:
        """Return the history with misleading cells set to NaN.

        Masked are outages (all quantities of the service), the cells tagged ``load_test`` or
        ``outage``, negative values and counter jumps. Saturated cells stay: they are lower bounds.

        Parameters
        ----------
        keep_tags
            Tags whose cells stay, for example ``("load_test",)`` for usage models.
        """
        values = check.masked(
            self.axis, self.services, self.values, self.tags, keep_tags=tuple(keep_tags)
        )
        return replace(self, values=values)

    def select(self, services: Iterable[str]) -> History:
        """Return the history of these services only.

        Raises
        ------
        InputError
            For a service that is not there; names the nearest.
        """
        names = tuple(sorted(set(services)))
        rows = [self._row(name) for name in names]
        values = {key: array[rows] for key, array in self.values.items()}
        tags = {tag: mask[rows] for tag, mask in self.tags.items()}
        notes = Findings(tuple(f for f in self.notes if f.service in {"", *names}))
        return replace(self, services=names, values=values, tags=tags, notes=notes)

    def between(
        self, start: str | dt.date | pd.Timestamp, end: str | dt.date | pd.Timestamp
    ) -> History:
        """Return the steps that start in [start, end), as far as the history reaches.

        Parameters
        ----------
        start, end
            Dates (local midnights) or moments with a time zone; the end is exclusive.

        Raises
        ------
        InputError
            When no step lies between, or a moment has no time zone.
        """
        axis = self.axis
        low, high = (
            int(np.ceil((axis.instant(bound, where=name) - axis.start) / axis.step))
            for name, bound in (("start", start), ("end", end))
        )
        low, high = max(low, 0), min(high, axis.n_steps)
        if low >= high:
            raise InputError.of(
                "between",
                got=f"{start} to {end}",
                expected=f"dates within {axis.local_text(0)} to {axis.local_text(axis.n_steps)}",
                do="The start comes before the end (exclusive), both inside the history.",
            )
        values = {key: array[:, low:high] for key, array in self.values.items()}
        tags = {tag: mask[:, low:high] for tag, mask in self.tags.items()}
        return replace(self, start=axis.start + low * axis.step, values=values, tags=tags)

    def to_frame(self) -> pd.DataFrame:
        """Return the long frame: one row per service, class and step; gaps are rows of NaN.

        ``History.from_frame(history.to_frame(), …)`` gives the same history (without its notes).
        A daily history has dates at midnight without a zone in ``time``, as it was read.
        """
        return writing.long_frame(self.axis, self.services, self.values, self.tags)

    def digest(self) -> str:
        """Return the SHA-256 of the content: services, grid, values, tags.

        Row order, notes and quantities without a value change nothing.
        """
        arrays: dict[str, Floats] = {}
        for (quantity, service_class), array in self.values.items():
            if not np.isnan(array).all():
                # One bit pattern for NaN and one for zero.
                arrays[f"{quantity}:{service_class}"] = np.where(
                    np.isnan(array), np.nan, array + 0.0
                )
        arrays |= {f"tag:{tag}": mask.astype(np.float64) for tag, mask in self.tags.items()}
        head = {
            "services": list(self.services),
            "start": str(self.start),
            "step_min": self.step_min,
            "business_tz": self.business_tz,
            "arrays": documents.array_digest(arrays),
        }
        return documents.sha256_hex(documents.canonical_json(head))

    def overlay(self, event: str, events: Events | None = None) -> pd.DataFrame:
        """Lay the days around an event over each other, year by year.

        Parameters
        ----------
        event
            Name of an event day, for example ``"cyber_monday"``.
        events
            The calendar; None means US retail over the history's years.

        Returns
        -------
        DataFrame
            ``event, year, days_from`` (-14 … 14), ``date, service, value`` (local-day mean of the
            demand quantity), ``multiple_of_normal`` (see ``capmodel.history.first_look``).

        Raises
        ------
        InputError
            For an unknown event (names the nearest), or one that no day of the history has.
        """
        return first_look.overlay(self._day_means(), event, self._calendar(events))

    def lifts(self, events: Events | None = None) -> pd.DataFrame:
        """Return the model-free lift of every event day in the history.

        ``lift_x = actual / normal``: the local-day mean of demand over that of the same weekday in
        the weeks around it (the rule stands in ``capmodel.history.first_look``).

        Parameters
        ----------
        events
            The calendar; None means US retail over the history's years.

        Returns
        -------
        DataFrame
            ``service, event, year, date, actual, normal, lift_x, n_days_normal, sides``.
        """
        return first_look.lift_table(self._day_means(), self._calendar(events))

    def _day_means(self) -> first_look.DayMeans:
        """Return the local-day means of demand, misleading cells masked."""
        clean = self.masked()
        names = [s for s in self.services if set(self.measured(s)) & set(DEMAND_QUANTITIES)]
        if not names:
            raise InputError.of(
                "history",
                got=f"quantities {', '.join(self.quantities)}",
                expected=f"one of {', '.join(DEMAND_QUANTITIES)} for some service",
                do="Add demand to the history.",
            )
        rows = [clean.array(self.demand_quantity(name))[self._row(name)] for name in names]
        return first_look.day_means(np.stack(rows), self.axis, tuple(names))

    def _calendar(self, events: Events | None) -> Events:
        if events is not None:
            return events
        from capmodel.events import Events as Calendar  # noqa: PLC0415  the calendar is optional

        dates = self.axis.days().dates.astype("datetime64[Y]").astype(int) + 1970
        return Calendar.us_retail(int(dates[0]), int(dates[-1]))

    def _row(self, service: str) -> int:
        try:
            return self.services.index(service)
        except ValueError:
            raise _unknown("service", service, self.services) from None

    def __repr__(self) -> str:
        """Return one line: how much, from when to when."""
        count = len(self.services)
        axis = self.axis
        return (
            f"<History: {count} service{'' if count == 1 else 's'}, {self.n_steps} steps of "
            f"{self.step_min} min, {axis.local_text(0)} to {axis.local_text(self.n_steps)} "
            f"{self.business_tz}>"
        )

    def _repr_html_(self) -> str:
        """Return a small table: per service what was measured, from when to when."""
        rows = check.coverage_frame(self.axis, self.services, self.values)
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{rows.to_html(index=False)}"


def _frozen(array: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """Return a read-only view (a copy only where the type differs)."""
    view = np.ascontiguousarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


def _unknown(what: str, name: str, known: Iterable[str]) -> CapmodelError:
    known = sorted(known)
    near = nearest(name, known)
    listed = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")  # noqa: PLR2004
    return InputError.of(
        what,
        got=repr(name),
        expected=f"one of {listed or 'none'}",
        do=f'Did you mean "{near}"?' if near else "Check the name.",
    )

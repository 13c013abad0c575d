"""The sections of a study file: spans, files, catalog, calendar, as they are written."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from capmodel.events import Events

__all__ = [
    "Calendar",
    "CatalogChoice",
    "Country",
    "EventToAdd",
    "GivenDemandFile",
    "HistoryFiles",
    "RecommendationsFile",
    "Span",
    "Spec",
]


class Spec(BaseModel):
    """A section: frozen, and strict about its fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )


class Span(Spec):
    """Local dates; start inclusive, end exclusive."""

    start: date
    end: date

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end <= self.start:
            msg = f"end {self.end} is not after start {self.start}"
            raise ValueError(msg)
        return self


class HistoryFiles(Spec):
    """The files of the past."""

    base: Path
    fine: Path | None = None
    observations: Path | None = None
    """Load-test rows without time: usage of services at loads that production has not seen."""
    units: Path | None = None
    """Series per pod, zone or reader: how far the hottest exceeds the mean."""
    accept: tuple[str, ...] = ()
    """Disqualifying findings that are overruled, by code."""
    naive_tz: str | None = None
    """What naive times of a CSV mean; None: naive times are refused."""


class GivenDemandFile(Spec):
    """A forecast from elsewhere: p10, p50 and p90 by service and time."""

    given: Path


class CatalogChoice(Spec):
    """Which prices and shapes apply."""

    region: str = "us-east-1"
    instance_types: Path | None = None
    """Shapes of node types: the output of ``aws ec2 describe-instance-types``."""
    offers: tuple[Path, ...] = ()
    """Price lists, bulk or of ``aws pricing get-products``; a later one replaces an earlier one."""
    billing: tuple[Path, ...] = ()
    """Files of one bill (CUR 2.0 or FOCUS): what an hour really cost goes before price lists."""
    overlay: Path | None = None
    """Prices and shapes that replace all other rows."""
    limits: Path | None = None
    """Limits of the cloud that replace built-in rows: what the account was really granted."""


class RecommendationsFile(Spec):
    """What a right-sizing tool recommends: one file of KRR or of the vertical autoscaler."""

    krr_csv: Path | None = None
    """``krr ... -f csv-raw``."""
    krr_json: Path | None = None
    """``krr ... -f json``."""
    vpa: Path | None = None
    """``kubectl get vpa -A -o yaml``, or json."""
    lookback_days: Annotated[float, Field(gt=0)] | None = None
    """How far KRR looked back [days]; None: what the file says, or the tool's default."""
    names: dict[str, str] = Field(default_factory=dict)
    """``namespace/workload`` to our service, where names differ or occur more than once."""

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        given = [name for name in ("krr_csv", "krr_json", "vpa") if getattr(self, name) is not None]
        if len(given) != 1:
            msg = f"{' and '.join(given) or 'no file'}: name one file, krr_csv, krr_json or vpa"
            raise ValueError(msg)
        if self.vpa is not None and self.lookback_days is not None:
            msg = "lookback_days beside vpa: its memory window is fixed, leave it out"
            raise ValueError(msg)
        return self


class EventToAdd(Spec):
    """A custom event of one or more local days, or of some hours of the wall clock."""

    name: str
    start: date | datetime
    """First local day, or the local time on the hour at which a window starts."""
    end: datetime | None = None
    """Local time on the hour at which a window ends; None: the event lasts whole days."""
    days: Annotated[int, Field(ge=1)] | None = None
    """Length of an event of whole days, 1 where neither this nor `end` is given."""
    tag: str = "custom"

    @field_validator("start")
    @classmethod
    def _midnight_is_a_day(cls, start: date | datetime) -> date | datetime:
        if isinstance(start, datetime) and start.tzinfo is None and start.time() == time():
            return start.date()
        return start

    @field_validator("end", mode="before")
    @classmethod
    def _has_an_hour(cls, end: Any) -> Any:
        text = end.isoformat() if isinstance(end, date) else str(end)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            msg = f"a time: {text}T00:00 is where the day begins"
            raise ValueError(msg)
        return end

    def added_to(self, events: Events) -> Events:
        """Return the calendar with this event."""
        return events.add(self.name, self.start, days=self.days, end=self.end, tag=self.tag)


class Country(Spec):
    """Public holidays of a country."""

    country: str
    subdiv: str | None = None


class Calendar(Spec):
    """The calendar and what is added to it."""

    calendar: Literal["us_retail", "none"] | Country = "us_retail"
    years: tuple[int, int] | None = None
    """First and last year; None: from the first row of history to the end of the horizon."""
    add: tuple[EventToAdd, ...] = ()

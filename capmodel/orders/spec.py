"""What every spec of the orders shares: frozen, strict, documented by attribute docstrings."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["WEEKDAYS", "Action", "Days", "Spec", "Weekday"]

Action = Literal["reservation", "pre_scale", "db_class", "config"]
"""What a change freeze stops, unless the freeze exempts it."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
"""A local day of the week."""

WEEKDAYS: Final[tuple[Weekday, ...]] = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
)  # fmt: skip
"""In the order of :meth:`datetime.date.weekday`."""

Days = Annotated[int, Field(ge=0)]


class Spec(BaseModel):
    """A frozen spec that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

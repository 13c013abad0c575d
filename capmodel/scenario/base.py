"""What the specs of a scenario share: frozen fields, a source, one level in one of two units."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Level", "Source", "Spec"]

Source = Annotated[str, Field(min_length=1)]
"""Where a number comes from: a person's estimate, a contract, a load test."""


class Spec(BaseModel):
    """A frozen spec that knows no other fields than its own."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )


class Level(Spec):
    """A level at full size: the mean of the busiest hour of an ordinary day.

    Of a root that is declared as a busiest minute, the level in that minute.
    """

    per_min: Annotated[float, Field(gt=0)] | None = None
    """Events per minute at full size [1/min]; this or `rps`."""
    rps: Annotated[float, Field(gt=0)] | None = None
    """Events per second at full size [1/s]; this or `per_min`."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.per_min is None) == (self.rps is None):
            msg = "state the level once: per_min or rps"
            raise ValueError(msg)
        return self

    def level(self, quantity: str) -> float:
        """Return the level in a root's own quantity, ``per_min`` or ``rps``."""
        per_min = self.per_min if self.per_min is not None else 60.0 * (self.rps or 0.0)
        return per_min if quantity == "per_min" else per_min / 60.0

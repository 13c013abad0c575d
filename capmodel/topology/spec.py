"""What every part of a topology is made of: frozen, strict, with ratios and counts checked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Calls", "Coefficients", "NonNegative", "Positive", "Ratio", "Spec"]

Calls = dict[str, Annotated[float, Field(ge=0)] | Literal["fit"]]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Ratio = Annotated[float, Field(gt=0, le=1)]
Coefficients = dict[str, NonNegative] | Literal["fit"]


class Spec(BaseModel):
    """Unknown fields are errors, values do not change."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

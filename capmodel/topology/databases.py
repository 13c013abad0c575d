"""Databases as declared: engine, class, readers, limits, and who uses them how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from capmodel.topology.spec import Coefficients, NonNegative, Spec

__all__ = ["CallerOfDatabase", "Database"]


class CallerOfDatabase(Spec):
    """What one request of a service asks of a database, and how the service pools."""

    reads: NonNegative = 0.0
    """Read queries per request of the service [ratio]."""
    writes: NonNegative = 0.0
    """Write queries per request of the service [ratio]."""
    pool_max: Annotated[int, Field(ge=0)] = 0
    """Largest pool of one process [connections]."""
    processes: Annotated[int, Field(ge=1)] = 1
    """Processes per pod, each with its own pool."""


class Database(Spec):
    """A shared MySQL server: engine, class, limits and callers."""

    engine: Literal["aurora-mysql", "mysql"] = "aurora-mysql"
    db_class: Annotated[str, Field(alias="class")]
    readers: Annotated[int, Field(ge=0, le=15)] = 0
    reads_on_readers: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of reads that goes to readers [ratio]; the writer serves the rest."""
    max_connections: Annotated[int, Field(gt=0)] | None = None
    """Declared; None: the default of the class, from the catalog."""
    proxy: bool = False
    cache_hit_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of reads that a cache in front answers [ratio]; used where an overlay cools it."""
    tier: Annotated[int, Field(ge=0, le=3)] | None = None
    """None: the strictest tier among the callers."""
    usage: dict[str, Coefficients] = Field(default_factory=dict)
    """Per resource: {idle, per_read, per_write} declared, or `fit`; left out: from history."""
    used_by: dict[str, CallerOfDatabase] = Field(default_factory=dict)

"""Databases as declared: engine, class, readers, limits, and who uses them how."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from capmodel.topology.spec import Coefficients, NonNegative, Positive, Spec

__all__ = ["CallerOfDatabase", "Database", "DbVolume", "OtherConnections"]

MOST_GIB: Final = 65_536.0
"""Largest volume of RDS for MySQL [GiB]."""


class DbVolume(Spec):
    """Storage of an RDS instance as provisioned, what it holds, and how that grows."""

    storage_type: Literal["gp2", "gp3", "io1", "io2"] = "gp3"
    gib: Annotated[float, Field(gt=0, le=MOST_GIB)]
    """Allocated [GiB]."""
    iops: Positive | None = None
    """Provisioned [1/s]; None: the baseline of gp2 and gp3."""
    throughput_mib: Positive | None = None
    """Provisioned, of gp3 alone [MiB/s]; None: its baseline."""
    max_gib: Positive | None = None
    """Up to where storage autoscaling may go [GiB]; None: no autoscaling."""
    used_gib: Positive | None = None
    """In use when the plan is made [GiB]; None: not known, and no storage is planned."""
    gib_per_day: NonNegative = 0.0
    """Growth that does not follow the load [GiB per day]."""
    kib_per_write: NonNegative = 0.0
    """Growth per write query, indexes and logs included [KiB]."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.used_gib is not None and self.used_gib > self.gib:
            msg = f"used_gib {self.used_gib:g} is above the {self.gib:g} GiB allocated"
            raise ValueError(msg)
        return self


class OtherConnections(Spec):
    """Connections that no service's pool holds."""

    batch: NonNegative = 0.0
    """Of jobs and scheduled work that may coincide with the peak [connections]."""
    admin: NonNegative = 0.0
    """Of people and monitoring [connections]."""
    reserved: NonNegative = 0.0
    """Of the engine, its replicas and migrations [connections]."""
    draining: NonNegative = 0.0
    """Of old pods that still finish [connections]."""

    @property
    def total(self) -> float:
        """All of them [connections]."""
        return self.batch + self.admin + self.reserved + self.draining


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
    readers_max: Annotated[int, Field(ge=0, le=15)] | None = None
    """Most readers that a plan may order; None: as many as there are."""
    reader_skew_x: Annotated[float, Field(ge=1)] = 1.0
    """Hottest reader / mean reader [ratio]."""
    apply_x: Annotated[float, Field(ge=0, le=1)] | None = None
    """Write CPU that every reader repeats, of the writer's [ratio]; None: the engine's prior, 0.5
    on RDS and 0 on Aurora (`assumed`)."""
    appliers: Annotated[int, Field(ge=1)] = 1
    """Threads with which each RDS reader applies the writer's log."""
    standby: bool = False
    """Multi-AZ of RDS: a standby that serves no reads."""
    zones: Annotated[int, Field(ge=1)] = 3
    """Zones that the instances span."""
    cold_x: Annotated[float, Field(ge=1)] = 1.0
    """Misses of a promoted instance's cold buffer pool / usual misses [ratio]."""
    storage: DbVolume | None = None
    """Volume of each RDS instance; Aurora's grows by itself."""
    working_set_gib: Positive | None = None
    """Data that is read again and again; should fit the buffer pool [GiB]."""
    version: str | None = None
    """Major version, for Extended Support: ``"8.0"``."""
    max_connections: Annotated[int, Field(gt=0)] | None = None
    """Declared; None: the default of the class, from the catalog."""
    other_connections: OtherConnections = Field(default_factory=OtherConnections)
    """Beside the pools of `used_by`."""
    proxy: bool = False
    """A proxy in front lends a session for one transaction: busy sessions count, not pools."""
    hold_s: Positive = 0.010
    """Time that one query keeps a session busy behind the proxy [s]."""
    max_connections_percent: Annotated[float, Field(gt=0, le=100)] = 100.0
    """Share of `max_connections` that the proxy may take [%]."""
    cache_hit_ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of reads that a cache in front answers [ratio]; used where an overlay cools it."""
    connect_core_s: Positive | None = None
    """One new connection's thread, TLS handshake and authentication [cores s]; None: not known."""
    reconnect_window_s: Positive = 1.0
    """Time over which the pools reconnect after a failover: their back-off with jitter [s]."""
    tier: Annotated[int, Field(ge=0, le=3)] | None = None
    """None: the strictest tier among the callers."""
    owner: Annotated[str, Field(min_length=1)] | None = None
    """The team that answers for it, for the risk register."""
    usage: dict[str, Coefficients] = Field(default_factory=dict)
    """Per resource (cpu_cores, iops, network_mbps): {idle, per_read, per_write} declared, or `fit`;
    left out: from history."""
    used_by: dict[str, CallerOfDatabase] = Field(default_factory=dict)

    @property
    def reads_on_writer(self) -> float:
        """Share of reads that the writer serves: all of them without a reader [ratio]."""
        return 1.0 - (self.reads_on_readers if self.readers else 0.0)

    @property
    def connections_share(self) -> float:
        """Share of `max_connections` that callers may take: what the proxy may [ratio]."""
        return self.max_connections_percent / 100.0 if self.proxy else 1.0

    @model_validator(mode="after")
    def _of_its_engine(self) -> Self:
        if self.engine == "aurora-mysql" and (self.storage is not None or self.standby):
            field = "storage" if self.storage is not None else "standby"
            msg = f"{field} is RDS's: Aurora has a volume of its own and fails over to readers"
            raise ValueError(msg)
        if self.readers_max is not None and self.readers_max < self.readers:
            msg = f"readers_max {self.readers_max} is below readers {self.readers}"
            raise ValueError(msg)
        return self

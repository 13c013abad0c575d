"""Money: hours of a season by the local calendar, cost lines, and steps that sum to the cent.

This module answers: what do these nodes and databases cost over these local days, and which part of
a node's price is one core's and one GiB's? Every line is rounded to the cent once, half to even,
and totals are sums of rounded lines, so a total is what its lines show in every format. On-demand
prices, and Spot's by a stated discount: commitments are not known here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from capmodel.errors import InputError, nearest

if TYPE_CHECKING:
    from capmodel.catalog import Catalog, DbClass, NodeType
    from capmodel.topology import Topology

__all__ = [
    "CORE_WEIGHT",
    "GIB_WEIGHT",
    "CostLine",
    "UnitPrice",
    "WaterfallStep",
    "cents",
    "database_line",
    "database_lines",
    "node_line",
    "season_hours",
    "season_usd",
    "spot_line",
    "total_usd",
    "unit_price",
    "usd_per_thousand",
    "waterfall",
]

_CENT: Final = Decimal("0.01")
_PER_UNIT: Final = Decimal("0.0001")
PLAN_STEP: Final = "plan"
"""The last step of a waterfall: the total that the steps before it sum to."""
CORE_WEIGHT: Final = Decimal("0.031611")
"""OpenCost's default price of a core on AWS [USD/h]; the ratio to a GiB's is what counts."""
GIB_WEIGHT: Final = Decimal("0.004237")
"""OpenCost's default price of a GiB of memory on AWS [USD/h]."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """What one kind of capacity costs over a season.

    ``count`` nodes or database instances, ``hours`` of the season [h], ``usd`` rounded to the cent;
    ``as_of`` and ``source`` of the price.
    """

    item: str
    kind: Literal["nodes", "spot", "database"]
    type: str
    count: int
    hours: float
    price_usd_per_hour: Decimal
    usd: Decimal
    as_of: dt.date
    source: str


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """A node's price, shared out to its cores and GiB, unrounded."""

    usd_per_core_hour: Decimal
    usd_per_gib_hour: Decimal


@dataclass(frozen=True, slots=True)
class WaterfallStep:
    """One step from today to the plan: nodes and USD added (negative: saved)."""

    step: str
    nodes: int
    usd: Decimal


def season_hours(start: dt.date, end: dt.date, *, tz: str) -> float:
    """Return the hours between two local midnights, days of 23 and 25 hours counted as such.

    Parameters
    ----------
    start, end
        Local dates; the end is exclusive.
    tz
        IANA name of the business time zone.

    Returns
    -------
    float
        Hours [h]; whole except where a zone moves its clocks by half an hour.

    Raises
    ------
    InputError
        When the end is not after the start, or the zone is unknown.

    Examples
    --------
    >>> season_hours(dt.date(2026, 11, 2), dt.date(2026, 12, 17), tz="America/New_York")
    1080.0
    """
    if end <= start:
        raise InputError.of(
            "season",
            got=f"start {start}, end {end}",
            expected="an end after the start; the end day itself is not counted",
            do="Move the end.",
        )
    try:
        zone = ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError) as error:
        close = nearest(tz, available_timezones())
        raise InputError.of(
            "business_tz",
            got=f'"{tz}"',
            expected="an IANA time zone such as America/New_York",
            do=f'Did you mean "{close}"?' if close else "Correct the name.",
        ) from error
    # Subtracting two times of one zone ignores its changes of offset; UTC does not.
    first, last = (
        dt.datetime.combine(day, dt.time(), tzinfo=zone).astimezone(dt.UTC) for day in (start, end)
    )
    return (last - first).total_seconds() / 3600


def cents(usd: Decimal) -> Decimal:
    """Return an amount rounded to the cent, half to even.

    Examples
    --------
    >>> cents(Decimal("0.125")), cents(Decimal("0.135"))
    (Decimal('0.12'), Decimal('0.14'))
    """
    return usd.quantize(_CENT, rounding=ROUND_HALF_EVEN)


def node_line(pool: str, *, node: NodeType, count: int, hours: float) -> CostLine:
    """Return the cost of a pool's nodes over a season: ``count * hours * price``.

    Parameters
    ----------
    pool
        The pool's name.
    node
        The catalog row of its instance type.
    count
        Nodes that run all through the season [nodes].
    hours
        Hours of the season [h].

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> line = node_line(
    ...     "general", node=Catalog.builtin().node_type("m7g.4xlarge"), count=90, hours=1080
    ... )
    >>> line.usd
    Decimal('63452.16')
    """
    return CostLine(
        item=pool,
        kind="nodes",
        type=node.name,
        count=count,
        hours=hours,
        price_usd_per_hour=node.price_usd_per_hour,
        usd=_usd(count, hours, node.price_usd_per_hour),
        as_of=node.as_of,
        source=node.source,
    )


def database_lines(topology: Topology, *, catalog: Catalog, hours: float) -> list[CostLine]:
    """Return what every database that a topology declares costs over a season, as it stands.

    Parameters
    ----------
    topology
        Classes, readers and standbys.
    catalog
        Prices.
    hours
        Of the season [h].
    """
    return [
        database_line(
            name,
            db_class=catalog.db_class(database.engine, database.db_class),
            instances=1 + database.readers + database.standby,
            hours=hours,
        )
        for name, database in topology.databases.items()
    ]


def spot_line(
    pool: str, *, node: NodeType, count: int, hours: float, discount: float, source: str
) -> CostLine:
    """Return the cost of a pool's Spot nodes: ``count * hours * price * (1 - discount)``.

    Parameters
    ----------
    pool, node, hours
        As of :func:`node_line`.
    count
        Spot nodes, those in reserve for interruptions included [nodes].
    discount
        Off the on-demand price, assumed: Spot has no price list [ratio].
    source
        Who says so.
    """
    price = node.price_usd_per_hour * (1 - Decimal(repr(discount)))
    return CostLine(
        item=pool,
        kind="spot",
        type=node.name,
        count=count,
        hours=hours,
        price_usd_per_hour=price,
        usd=_usd(count, hours, price),
        as_of=node.as_of,
        source=f"{node.source}; {discount:.1%} off assumed of Spot ({source})",
    )


def unit_price(node: NodeType) -> UnitPrice:
    """Return what one core and one GiB of a node cost per hour, as OpenCost splits its price.

    Formula: ``P · w_core / (vcpu · w_core + GiB · w_gib)`` per core and the same with ``w_gib`` per
    GiB, with OpenCost's default weights for AWS (7.46 : 1). Cores and GiB of the type as listed, so
    the parts of all of them sum to the price; what the system reserves is paid for by the rest.

    Parameters
    ----------
    node
        The catalog row of the instance type.

    References
    ----------
    OpenCost specification, *Asset costs*; opencost/opencost ``configs/aws.json`` (commit 0f2dede3):
    ``CPU`` and ``RAM``, "to compute allocation between RAM and CPU".

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> price = unit_price(Catalog.builtin().node_type("m6i.2xlarge"))
    >>> round(price.usd_per_core_hour, 5), round(price.usd_per_gib_hour, 5)
    (Decimal('0.03125'), Decimal('0.00419'))
    """
    shares = node.vcpu * CORE_WEIGHT + Decimal(node.memory_gib) * GIB_WEIGHT
    price = node.price_usd_per_hour
    return UnitPrice(price * CORE_WEIGHT / shares, price * GIB_WEIGHT / shares)


def database_line(database: str, *, db_class: DbClass, instances: int, hours: float) -> CostLine:
    """Return the cost of a database's instances over a season, storage and I/O not included.

    Parameters
    ----------
    database
        The database's name.
    db_class
        The catalog row of its class.
    instances
        The writer and its readers, each in one zone.
    hours
        Hours of the season [h].
    """
    return CostLine(
        item=database,
        kind="database",
        type=db_class.name,
        count=instances,
        hours=hours,
        price_usd_per_hour=db_class.price_usd_per_hour,
        usd=_usd(instances, hours, db_class.price_usd_per_hour),
        as_of=db_class.as_of,
        source=db_class.source,
    )


def season_usd(classes: Iterable[DbClass], *, instances: int, hours: float) -> dict[str, Decimal]:
    """Return the season's bill of a database on each class, by the class's name [USD].

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> family = Catalog.builtin().db_ladder("mysql", "db.r7g.large")
    >>> season_usd(family, instances=1, hours=1080)["db.r7g.large"]
    Decimal('258.12')
    """
    return {row.name: _usd(instances, hours, row.price_usd_per_hour) for row in classes}


def usd_per_thousand(usd: Decimal, units: float) -> Decimal:
    """Return what a thousand units of work cost, to four decimals: ``usd / (units / 1000)``.

    Parameters
    ----------
    usd
        What the work cost [USD].
    units
        Events of the driver in the same time, more than none.

    Raises
    ------
    InputError
        For units that are not more than 0.

    Examples
    --------
    >>> usd_per_thousand(Decimal("73418.40"), 4_200_000)
    Decimal('17.4806')
    """
    if not units > 0:
        raise InputError.of(
            "units",
            got=f"{units:g}",
            expected="more than 0 events in the time that the cost is of",
            do="Give the events of the same days as the cost.",
        )
    thousands = Decimal(repr(float(units))) / 1000
    return (usd / thousands).quantize(_PER_UNIT, rounding=ROUND_HALF_EVEN)


def total_usd(lines: Iterable[CostLine]) -> Decimal:
    """Return the sum of rounded lines [USD]."""
    return sum((line.usd for line in lines), start=Decimal("0.00"))


def waterfall(
    cumulative_nodes: Mapping[str, int], *, price_usd_per_hour: Decimal, hours: float
) -> tuple[WaterfallStep, ...]:
    """Return the steps from today's nodes to the plan's, in nodes and in USD of the season.

    Formula: each step is the difference of two rounded cumulative totals, so the steps sum to the
    plan to the cent, which separately rounded steps would not.

    Parameters
    ----------
    cumulative_nodes
        Step to the nodes that stand after it, in order, the first from nothing [nodes].
    price_usd_per_hour
        Price of one node [USD/h].
    hours
        Hours of the season [h].

    Returns
    -------
    tuple of WaterfallStep
        One per step, then the step ``"plan"`` with the total.

    Examples
    --------
    >>> steps = waterfall(
    ...     {"today": 24, "event": 90, "efficiency": 72},
    ...     price_usd_per_hour=Decimal("0.6528"),
    ...     hours=1080,
    ... )
    >>> [(s.step, s.nodes, str(s.usd)) for s in steps[1:]]
    [('event', 66, '46531.58'), ('efficiency', -18, '-12690.43'), ('plan', 72, '50761.73')]
    """
    if not cumulative_nodes or PLAN_STEP in cumulative_nodes:
        raise InputError.of(
            "waterfall",
            got=f"the steps {', '.join(cumulative_nodes) or 'none'}",
            expected=f'at least one step, and none named "{PLAN_STEP}", which is their total',
            do="Correct the steps.",
        )
    steps = []
    nodes, usd = 0, Decimal("0.00")
    for step, standing in cumulative_nodes.items():
        total = _usd(standing, hours, price_usd_per_hour)
        steps.append(WaterfallStep(step=step, nodes=standing - nodes, usd=total - usd))
        nodes, usd = standing, total
    return (*steps, WaterfallStep(step=PLAN_STEP, nodes=nodes, usd=usd))


def _usd(count: int, hours: float, price_usd_per_hour: Decimal) -> Decimal:
    if count < 0 or hours < 0:
        raise InputError.of(
            "cost",
            got=f"{count} instances for {hours:g} hours",
            expected="counts and hours of at least 0",
            do="Correct the count or the hours.",
        )
    # Hours are multiples of a quarter, which a float holds exactly.
    return cents(count * Decimal(hours) * price_usd_per_hour)

"""The order book of the mixture: nodes, database classes, settings and quotas, with dates."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from capmodel.capacity.estate import RAISED_BY_OTHERS
from capmodel.cost import node_line, season_usd
from capmodel.errors import InputError, Problem, nearest
from capmodel.orders import (
    ORDER_COLUMNS,
    ConfigRequest,
    DbRequest,
    NodeRequest,
    Order,
    QuotaRequest,
    config_order,
    db_order,
    declared_order,
    in_place_by,
    linked_orders,
    node_order,
    order_book,
    orders_table,
    placed_at,
    placed_orders,
    quota_order,
    stated,
    with_fallbacks,
)
from capmodel.plan.after import quota_ask, quota_needed
from capmodel.plan.frames_databases import storage_needed
from capmodel.plan.frames_lead_times import lead_times_frame
from capmodel.plan.frames_limits import MIXTURE
from capmodel.plan.frames_load_tests import load_tests_frame
from capmodel.plan.frames_release import release_frame, with_release
from capmodel.plan.order_links import (
    VCPU_QUOTA,
    account_vcpu,
    could_be_ordered,
    prerequisites,
    quota_note,
)
from capmodel.plan.supply_databases import hours_of

if TYPE_CHECKING:
    import pandas as pd

    from capmodel.orders import OrdersPolicy
    from capmodel.plan.make import Solved
    from capmodel.plan.order_links import AccountVcpu
    from capmodel.plan.supply import Supply

__all__ = ["order_frames", "orders_note"]


_ASKED_IN: Final[Mapping[str, str]] = {"quota": "rps", "addresses": "addresses per zone"}
"""Unit in which more of a limit is asked for, where it is not the limit's own."""


def order_frames(solved: Solved, supply: Supply) -> dict[str, pd.DataFrame]:
    """Return what to order in the order in which it falls due, when to give it back, and the rules.

    Raises
    ------
    InputError
        Where the study's `orders` contradict the rules, the calendar or the book.
    """
    request = solved.request
    policy, as_of = request.orders, request.as_of
    in_place, event = _dates(solved)
    placed = {pool: need.placed.nodes for (s, pool), need in supply.pools.items() if s == MIXTURE}
    account = account_vcpu(solved, placed)
    derived = [
        *_node_orders(solved, supply, in_place, account=account),
        *_database_orders(solved, supply, in_place),
        *_setting_orders(solved, supply, in_place),
        *_quota_orders(solved, in_place),
        *_account_quota_orders(solved, in_place, account),
    ]
    declared = [
        declared_order(one, policy=policy, in_place=in_place, event=event, as_of=as_of)
        for one in policy.declared
    ]
    _check_own_ids(derived, policy)
    could_be = could_be_ordered(solved)
    _check_waivers(policy, {*could_be, *(order.id for order in (*derived, *declared))})
    linked = linked_orders(
        [*derived, *declared],
        prerequisites(solved, [*derived, *declared], could_be),
        policy=policy,
        as_of=as_of,
    )
    ready = placed_orders(
        with_fallbacks(linked, policy=policy, could_be=could_be, as_of=as_of),
        policy=policy,
        could_be=could_be,
        vcpu=_vcpu_of_nodes(solved),
        as_of=as_of,
    )
    release = release_frame(solved, supply, ready)
    book = order_book(with_release(ready, release))
    # A reservation that was given back too early is late only once its release is known.
    book = tuple(stated(o, placed_at(policy, o.id, as_of), as_of=as_of) for o in book)
    return {
        "orders": orders_table([order.row() for order in book], ORDER_COLUMNS),
        "release": release,
        "lead_times": lead_times_frame(book, policy, in_place=in_place, event=event, as_of=as_of),
        "load_tests": load_tests_frame(solved, event=event),
    }


def orders_note(solved: Solved) -> dict[str, str]:
    """Return what the freezes let through, under the report's section; none without a freeze."""
    policy = solved.request.orders
    if not policy.freeze:
        return {}
    words = [
        f"Exempt from the freeze of {freeze.start}: "
        f"{', '.join(action.replace('_', ' ') for action in freeze.exempt) or 'nothing'}."
        for freeze in policy.freeze
    ]
    words += [f"Waived: {waiver.words}." for waiver in policy.waivers]
    return {"orders": " ".join(words)}


def _check_own_ids(derived: Sequence[Order], policy: OrdersPolicy) -> None:
    taken = sorted({order.id for order in derived} & {one.id for one in policy.declared})
    if taken:
        raise InputError.of(
            "orders.declared",
            got=f"{', '.join(taken)}, which the plan orders itself",
            expected="ids of their own",
            do="Leave it out: the plan derives it; or give it another id.",
        )


def _check_waivers(policy: OrdersPolicy, known: Collection[str]) -> None:
    """Refuse waivers for orders that cannot be."""
    problems = []
    for waiver in policy.waivers:
        for name in waiver.orders:
            if name not in known:
                close = nearest(name, known)
                problems.append(
                    Problem(
                        where=f"orders.waivers.{waiver.id}",
                        got=f'unknown order "{name}"',
                        expected=f"one of: {', '.join(sorted(known))}",
                        do=f'Did you mean "{close}"?' if close else "Correct the id.",
                    )
                )
    if problems:
        raise InputError(problems)


def _dates(solved: Solved) -> tuple[dt.date, dt.date]:
    """Return the day on which capacity must stand, and the event's own."""
    request = solved.request
    wanted = request.orders.in_place
    date = None
    if wanted is not None:
        dates = solved.fit.events.dates_of(wanted.event)
        inside = [d for d in dates if request.season_start <= d < request.season_end]
        date = inside[0] if inside else None
    in_place = in_place_by(request.orders, event_date=date, season_start=request.season_start)
    return in_place, date or in_place


def _vcpu_of_nodes(solved: Solved) -> dict[str, int]:
    """Return the vCPU of one node by the id of its pool's order."""
    catalog = solved.request.catalog
    return {
        f"nodes:{pool}": catalog.node_type(usable.instance_type).vcpu
        for pool, usable in solved.estate.nodes.items()
    }


def _spot_note(solved: Solved, pool: str, required: int) -> str:
    """Return which of a pool's nodes run on Spot, '' for none."""
    spot = solved.request.purchase.spot.get(pool)
    on_spot = 0 if spot is None else int(spot.nodes(required))
    return f"; {on_spot} of the {required} run on Spot, which no reservation holds" * (on_spot > 0)


def _node_orders(
    solved: Solved, supply: Supply, in_place: dt.date, *, account: AccountVcpu | None
) -> list[Order]:
    orders = []
    for (scenario, pool), need in supply.pools.items():
        today = solved.estate.topology.pools[pool].today
        if scenario != MIXTURE or today is None:
            continue
        node = solved.request.catalog.node_type(solved.estate.nodes[pool].instance_type)
        extra = max(need.placed.nodes - today, 0)
        spare = solved.estate.topology.pools[pool].spare_nodes_per_zone
        order = node_order(
            NodeRequest(
                pool=pool,
                instance_type=node.name,
                vcpu=node.vcpu,
                today=today,
                required=need.placed.nodes,
                because=f"{need.needed.hold.words}; {need.placed.packing.binding} binds"
                + (f"; {spare} to spare in each zone" if spare else "")
                + _spot_note(solved, pool, need.placed.nodes)
                + quota_note(solved, pool, account),
                usd=node_line(pool, node=node, count=extra, hours=hours_of(solved)).usd,
            ),
            policy=solved.request.orders,
            in_place=in_place,
            as_of=solved.request.as_of,
        )
        if order is not None:
            orders.append(order)
    return orders


def _database_orders(solved: Solved, supply: Supply, in_place: dt.date) -> list[Order]:
    """Return other classes; RED where even the largest of the family falls short."""
    orders = []
    for (scenario, name), need in supply.databases.needs.items():
        database = solved.estate.topology.databases[name]
        chosen = need.ordered
        if scenario != MIXTURE or chosen.name == database.db_class:
            continue
        short = f"; {need.sizing.reason}" if need.sizing.outgrown else ""
        instances = 1 + database.readers + database.standby
        ladder = solved.request.catalog.db_ladder(database.engine, database.db_class)
        bill = season_usd(ladder, instances=instances, hours=hours_of(solved))
        order = db_order(
            DbRequest(
                database=name,
                from_class=database.db_class,
                to_class=chosen.name,
                instances=instances,
                because=f"{need.sizing.binding} bind on the present class{short}",
                fallback="the ranked remedies of the limit",
                usd=bill[chosen.name] - bill[database.db_class],
            ),
            policy=solved.request.orders,
            in_place=in_place,
            as_of=solved.request.as_of,
        )
        orders.append(replace(order, least_status="RED") if need.sizing.outgrown else order)
    return orders


def _instance_requests(solved: Solved, supply: Supply) -> list[ConfigRequest]:
    """Return more readers and larger volumes: changes without a change of class."""
    requests = []
    for name, database in solved.estate.topology.databases.items():
        need = supply.databases.needs[MIXTURE, name]
        if need.readers > database.readers:
            requests.append(
                ConfigRequest(
                    service=name,
                    setting="readers",
                    from_value=str(database.readers),
                    to_value=str(need.readers),
                    because=f"{need.sizing.binding} bind",
                    fallback="a larger class",
                )
            )
        gib = storage_needed(solved, name)
        volume = database.storage
        if gib is not None and volume is not None and gib > (volume.max_gib or volume.gib):
            field = "gib" if volume.max_gib is None else "max_gib"
            requests.append(
                ConfigRequest(
                    service=name,
                    setting=f"storage {field}",
                    from_value=f"{volume.max_gib or volume.gib:g}",
                    to_value=f"{gib:g}",
                    because="it fills up before the season ends, within policy and risk",
                    fallback="purge, or archive",
                    kind="storage" if volume.max_gib is None else "config",
                )
            )
    return requests


def _setting_orders(solved: Solved, supply: Supply, in_place: dt.date) -> list[Order]:
    """Return raised bounds of autoscalers, and pool sizes that relieve a database for nothing."""
    requests = _instance_requests(solved, supply)
    for (scenario, name), need in supply.services.items():
        maximum = solved.estate.services[name].maximum
        if scenario != MIXTURE or maximum is None or not maximum < need.replicas < math.inf:
            continue
        requests.append(
            ConfigRequest(
                service=name,
                setting="replicas.max",
                from_value=str(maximum),
                to_value=f"{need.replicas:.0f}",
                because=f"{need.needed.hold.words} asks for more than the autoscaler may run",
                fallback="shed load",
            )
        )
    for name, relief in supply.databases.relieved.items():
        requests += [
            ConfigRequest(
                service=service,
                setting="pool_max",
                from_value=str(before),
                to_value=str(after),
                lead_days=relief.lead_days,
                because=f"connections of {name}",
                fallback="a larger class, or a proxy",
                database=name,
            )
            for service, before, after in relief.changes
        ]
    return [
        config_order(
            request, policy=solved.request.orders, in_place=in_place, as_of=solved.request.as_of
        )
        for request in requests
    ]


def _quota_orders(solved: Solved, in_place: dt.date) -> list[Order]:
    """Return what to ask of partners and of the cloud: limits that only they can raise."""
    orders = []
    for path in solved.paths:
        limit = path.limit
        if limit.kind not in RAISED_BY_OTHERS or not math.isfinite(limit.hard):
            continue
        if quota_needed(solved, path) <= limit.hard:
            continue
        orders.append(
            quota_order(
                QuotaRequest(
                    external=limit.node,
                    from_limit=limit.hard,
                    to_limit=quota_ask(solved, path),
                    lead_days=limit.lead_days,
                    unit=_ASKED_IN.get(limit.kind, limit.unit),
                    because="P50 within policy and the tier's risk within the bound",
                    fallback="prefix mode, fewer warm addresses, or another subnet"
                    if limit.kind == "addresses"
                    else "shed or queue the calls above the quota",
                    of="quota" if limit.kind == "quota" else "limit",
                ),
                policy=solved.request.orders,
                in_place=in_place,
                as_of=solved.request.as_of,
            )
        )
    return orders


def _account_quota_orders(
    solved: Solved, in_place: dt.date, vcpu: AccountVcpu | None
) -> list[Order]:
    """Return the vCPU quota of the account where what it was granted is too small for the nodes."""
    if vcpu is None or vcpu.granted is None or vcpu.needed <= vcpu.granted:
        return []
    request = QuotaRequest(
        external=VCPU_QUOTA,
        from_limit=vcpu.granted,
        to_limit=vcpu.needed,
        lead_days=vcpu.lead_days,
        unit="vCPU",
        because=f"the ordered nodes take {vcpu.needed:g} vCPU with those of today",
        fallback="fewer nodes, of families that another quota counts",
        of="limit",
    )
    policy, as_of = solved.request.orders, solved.request.as_of
    return [quota_order(request, policy=policy, in_place=in_place, as_of=as_of)]

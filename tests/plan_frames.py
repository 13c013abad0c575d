"""A small plan as frames, shaped like the reference estate: for the tests of plots and reports.

The numbers are typed in or follow simple rules; nothing of the library computes them.
"""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal

import pandas as pd

SCENARIOS = {"low": 0.25, "base": 0.55, "high": 0.20}
GROWTH = {"low": 1.10, "base": 1.25, "high": 1.50, "mixture": 1.26}
EVENTS = {
    "2026-10-12": ("columbus_day", 1.15),
    "2026-11-11": ("veterans_day", 1.2),
    "2026-11-20": ("launch", 1.5),
    "2026-11-21": ("launch_day_2", 1.35),
    "2026-11-22": ("launch_day_3", 1.3),
    "2026-11-25": ("thanksgiving_eve", 1.3),
    "2026-11-26": ("thanksgiving", 1.6),
    "2026-11-27": ("black_friday", 2.6),
    "2026-11-28": ("black_friday_saturday", 2.0),
    "2026-11-29": ("black_friday_sunday", 1.9),
    "2026-11-30": ("cyber_monday", 3.0),
    "2026-12-01": ("cyber_tuesday", 1.7),
    "2026-12-24": ("christmas_eve", 1.1),
    "2026-12-25": ("christmas", 0.7),
    "2026-12-31": ("new_years_eve", 0.9),
    "2027-01-01": ("new_year", 0.8),
}
FREEZE = (("2026-11-02", "2027-01-04"),)
SEASON_X = {"low": 2.64, "base": 3.0, "high": 3.6}
HEADLINE = (
    (
        "core-db connections break first: the policy binds at 2.39 times today's traffic, and base "
        "reaches 3.00 times on Cyber Monday, 2026-11-30."
    ),
    "Ask the credit bureau by 2026-10-09 to raise its quota from 80 to 126 requests per second.",
    "Order 66 m6i.4xlarge for pool general by 2026-09-25, in place on 2026-11-20.",
    "The season costs 77,853.31 USD in base; with all orders placed tier 0 carries 1.9 % risk.",
)
PROVENANCE = {
    "as_of": "2026-09-21",
    "horizon": "2026-10-01 to 2027-01-05",
    "plan_hash": "9f2c1b7ad0d94c4f0fb1c7c7d4f6a2f3b1f8d3d3b0a94c6e9a8f3c2d1e0f9a8b",
    "history_sha256": "1c7c7d4f6a2f3b1f8d3d3b0a94c6e9a8f3c2d1e0f9a8b9f2c1b7ad0d94c4f0fb",
    "seed": "7",
    "draws": "1000",
    "risk": "tier 0: 0.02, other: 0.05",
    "capmodel": "0.1.0",
    "numpy": "2.4.6",
    "pandas": "3.1.1",
}


def demand() -> pd.DataFrame:
    rows = []
    start = dt.date(2026, 10, 1)
    for scenario, growth in GROWTH.items():
        for service, today, wide in (("checkouts", 2000.0, 1.0), ("impressions", 120000.0, 1.3)):
            best = 0.0
            for i in range(96):
                date = start + dt.timedelta(days=i)
                event, lift = EVENTS.get(date.isoformat(), ("", 1.0))
                week = (1.0, 0.98, 0.97, 1.0, 1.06, 0.92, 0.9)[date.weekday()]
                p50 = today * growth / 1.25 * week * lift * (1 + 0.0009 * i)
                sd = 0.05 * wide + (0.06 if event else 0.0)
                rows.append(
                    _peak(scenario, service, "root", "per_min", "day", date, event, p50, sd)
                )
                best = max(best, p50)
            rows.append(
                _peak(scenario, service, "root", "per_min", "season", "", "", best, 0.1 * wide)
            )
        for service, rps in (("checkout-api", 400.0), ("underwriting", 120.0), ("ledger", 250.0)):
            row = _peak(
                scenario, service, "service", "rps", "season", "", "", rps * growth / 1.25, 0.1
            )
            rows.append(row | {"own_p50": row["peak_p50"] * 0.97, "gap_x": 0.97})
        bureau = _peak(
            scenario, "credit-bureau", "external", "rps", "season", "", "", 67.2 * growth, 0.1
        )
        rows.append(bureau)
    return pd.DataFrame(rows)


def _peak(scenario, service, kind, quantity, window, date, event, p50, sd):
    return {
        "scenario": scenario, "service": service, "kind": kind, "quantity": quantity,
        "window": window, "date": str(date), "event": event,
        "peak_p10": p50 * math.exp(-1.2816 * sd), "peak_p50": p50,
        "peak_p90": p50 * math.exp(1.2816 * sd), "peak_p95": p50 * math.exp(1.6449 * sd),
        "own_p50": math.nan, "gap_x": math.nan,
        "basis": "fitted" if service != "credit-bureau" else "assumed",
    }  # fmt: skip


def yoy() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"scenario": s, "driver": d, "last_season_yoy_x": y, "run_rate_yoy_x": r,
             "scenario_yoy_x": GROWTH[s], "change_from_today_x": GROWTH[s] / r * 1.07,
             "basis": "assumed"}
            for s in SCENARIOS
            for d, y, r in (("checkouts", 1.302, 1.188), ("impressions", 1.34, 1.21))
        ]
    )  # fmt: skip


LIMITS = (
    # node, limit, unit, tier, hard, policy, today, base p50, binds, breaks, remedy
    (
        "core-db",
        "connections",
        "connections",
        0,
        4000,
        0.85,
        1425,
        4275,
        2.386,
        2.807,
        "checkout-api pool 20 to 10",
    ),
    ("credit-bureau", "limit_rps", "1/s", 0, 80, 0.85, 28, 84.0, 2.429, 2.857, "raise the quota"),
    ("general", "node_vcpu_quota", "vCPU", 0, 1152, 0.85, 384, 960, 2.55, 3.0, "raise the quota"),
    ("underwriting", "replicas", "pods", 0, 18, 1.0, 6, 18, 3.0, 3.0, "max replicas 18 to 30"),
    ("core-db", "cpu_cores", "cores", 0, 16, 0.70, 3.52, 9.76, 3.462, 5.0, "db.r6g.8xlarge"),
    ("checkout-api", "cpu_cores", "cores", 0, 240, 0.60, 34.7, 104.0, 4.15, 6.92, ""),
    ("ledger", "replicas", "pods", 0, 60, 1.0, 8, 24, 7.5, 7.5, ""),
    ("core-db", "iops", "1/s", 0, 40000, 0.80, 3160, 9480, 10.13, 12.66, ""),
    ("notifications", "replicas", "pods", 1, 40, 1.0, 3, 8, 13.3, 13.3, ""),
    ("account-db", "cpu_cores", "cores", 1, 8, 0.70, 0.4, 1.1, 14.0, 20.0, ""),
    ("account-db", "storage_gib", "GiB", 1, 65536, 0.90, 900, 960, math.inf, math.inf, ""),
)


def limits() -> pd.DataFrame:
    rows = []
    for scenario, growth in GROWTH.items():
        for node, limit, unit, tier, hard, policy, today, base, binds, breaks, remedy in LIMITS:
            p50 = base * growth / 1.25
            p95 = p50 * 1.18
            over, warn = p50 / hard > 1, p50 / hard > policy
            p = 0.0 if p95 / hard < 0.8 else min(0.97, max(0.003, (p95 / hard - 0.8) * 1.2))
            status = "RED" if over else "AMBER" if warn else "GREEN"
            if scenario == "mixture" and p > 0.02 and status != "RED":
                status = "RED"
            rows.append(
                {"scenario": scenario, "node": node, "limit": limit, "unit": unit, "tier": tier,
                 "hard": hard, "policy_x": policy, "today": today, "today_x": today / hard,
                 "peak_p50": p50, "peak_p95": p95, "utilization_p50": p50 / hard,
                 "utilization_p95": p95 / hard, "p_saturate": p, "p_first": p * 0.6, "p_any": 0.31,
                 "mc_se": math.sqrt(p * (1 - p) / 1000),
                 "first_policy_breach": "2026-11-27" if warn else "",
                 "first_hard_breach": "2026-11-30" if over else "",
                 "binds_at_x": binds, "breaks_at_x": breaks, "status": status,
                 "basis": "assumed" if node == "credit-bureau" else "fitted",
                 "extrapolating": base > 100, "remedy": remedy}
            )  # fmt: skip
    return pd.DataFrame(rows)


def services() -> pd.DataFrame:
    base = (
        ("edge-gateway", 0, 1400.0, 12, 30), ("checkout-api", 0, 400.0, 40, 87),
        ("underwriting", 0, 120.0, 6, 18), ("ledger", 0, 250.0, 8, 24),
        ("notifications", 1, 100.0, 3, 8), ("promo-messaging", 1, 6000.0, 9, 27),
        ("account-service", 1, 75.0, 15, 15), ("search", 1, 310.0, 6, 14),
    )  # fmt: skip
    return pd.DataFrame(
        [
            {"scenario": s, "service": name, "tier": tier, "pool": "general",
             "peak_rps_p50": rps * g / 1.25, "peak_rps_hold": rps * g / 1.25 * 1.2,
             "replicas_today": now, "replicas_needed": math.ceil(need * g / 1.25 - 1e-9),
             "hold": "none at P98 up to hard" if name != "underwriting" else "lose 1 zone at P50",
             "replicas_max": 200, "status": "AMBER" if name == "underwriting" else "GREEN",
             "basis": "fitted" if name != "search" else "borrowed"}
            for s, g in GROWTH.items()
            for name, tier, rps, now, need in base
        ]
    )  # fmt: skip


def nodes() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"scenario": s, "pool": pool, "instance_type": kind, "zones": 3, "today": today,
             "required": 3 * math.ceil(need * g / 1.25 / 3), "per_zone": math.ceil(need * g / 3.75),
             "lower_bound": math.ceil(need * g / 1.25 * 0.93), "binding": binding,
             "hold": "lose 1 zone at P50", "pods": 223, "cpu_cores_requested": 1090.0,
             "memory_gib_requested": 2180.5, "cpu_cores_usable": 15.59,
             "memory_gib_usable": 56.4, "max_pods": 234}
            for s, g in GROWTH.items()
            for pool, kind, today, need, binding in (
                ("general", "m6i.4xlarge", 24, 90, "cpu_cores"),
                ("batch", "c6i.2xlarge", 6, 9, "memory_gib"),
            )
        ]
    )  # fmt: skip


def databases() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"scenario": s, "database": name, "engine": "aurora-mysql", "class_today": now,
             "class_needed": need, "cpu_cores_p50": cores * g / 1.25,
             "cpu_utilization_p50": cores * g / 1.25 / cap, "connections_p50": conn * g / 1.25,
             "max_connections": most, "binding": binding, "rejected": rejected}
            for s, g in GROWTH.items()
            for name, now, need, cores, cap, conn, most, binding, rejected in (
                ("core-db", "db.r6g.4xlarge", "db.r6g.8xlarge", 9.76, 16, 4275, 4000,
                 "connections", "db.r6g.4xlarge: connections 106.9 % of 4,000"),
                ("account-db", "db.r6g.2xlarge", "db.r6g.2xlarge", 1.1, 8, 310, 3000, "", ""),
            )
        ]
    )  # fmt: skip


def cost() -> pd.DataFrame:
    rows = []
    for scenario, growth in GROWTH.items():
        count = 3 * math.ceil(90 * growth / 1.25 / 3)
        for item, kind, name, n, price in (
            ("general", "nodes", "m6i.4xlarge", count, "0.7680"),
            ("batch", "nodes", "c6i.2xlarge", 9, "0.3400"),
            ("core-db", "database", "db.r6g.8xlarge", 2, "4.3120"),
            ("account-db", "database", "db.r6g.2xlarge", 2, "1.0780"),
        ):
            usd = (Decimal(n) * 1080 * Decimal(price)).quantize(Decimal("0.01"))
            rows.append(
                {"scenario": scenario, "item": item, "kind": kind, "type": name, "count": n,
                 "hours": 1080, "price_usd_per_hour": Decimal(price), "usd": usd,
                 "as_of": "2026-06-30", "source": "https://aws.amazon.com/ec2/pricing/on-demand/"}
            )  # fmt: skip
    return pd.DataFrame(rows)


def waterfall() -> pd.DataFrame:
    steps = (
        ("today", 24, "16920.58"), ("organic", 4, "2820.10"), ("event", 20, "14100.48"),
        ("headroom", 12, "8460.29"), ("failure cover", 30, "21150.72"),
        ("efficiency", -18, "-12690.43"), ("plan", 72, "50761.74"),
    )  # fmt: skip
    return pd.DataFrame(
        [
            {"scenario": s, "pool": "general", "step": step, "nodes": n, "usd": Decimal(usd)}
            for s in GROWTH
            for step, n, usd in steps
        ]
    )


def orders() -> pd.DataFrame:
    columns = (
        "id", "item", "kind", "action", "from", "to", "count", "in_place_by", "request_opens",
        "recommended_by", "latest_by", "status", "usd", "reason", "fallback",
    )  # fmt: skip
    return pd.DataFrame(
        [
            ("O1", "general", "nodes", "reserve 66 more m6i.4xlarge", "24", "90", 66, "2026-11-20",
             "2026-07-23", "2026-09-25", "2026-11-15", "GREEN", Decimal("46531.58"),
             "peak of Cyber Monday with one zone lost", "c6i.4xlarge and m6a.4xlarge on demand"),
            ("O2", "credit-bureau", "quota", "raise the partner's quota", "80", "126", math.nan,
             "2026-11-20", "", "2026-09-11", "2026-10-09", "AMBER", None,
             "base reaches 105 % of 80 requests per second", "shed 5 % of scores"),
            ("O3", "core-db", "db_class", "change the writer's class", "db.r6g.4xlarge",
             "db.r6g.8xlarge", 2, "2026-11-01", "", "2026-10-02", "2026-10-16", "GREEN",
             Decimal("4656.96"), "connections", "pool_max of checkout-api 20 to 10"),
            ("O4", "batch", "nodes", "reserve 3 more c6i.2xlarge", "6", "9", 3, "2026-11-20",
             "2026-07-23", "2026-09-18", "2026-11-15", "AMBER", Decimal("1101.60"),
             "settlement backlog", "run settlement after midnight"),
        ],
        columns=columns,
    )  # fmt: skip


def tripwires() -> pd.DataFrame:
    """O1 in two orders of 90 nodes at most, O2 sized one-shot."""
    columns = (
        "order", "item", "kind", "step", "driver", "window_start", "look_on", "latest_by",
        "threshold_per_day", "p_fires", "action", "count", "units_after", "usd", "usd_of_waiting",
        "one_shot_units", "expected_units", "usd_one_shot", "usd_expected", "reason",
    )  # fmt: skip
    wait = ("checkouts", "2026-10-11", "2026-11-09", "2026-11-15")
    rows = [
        ("O1", "general", "nodes", 0, *wait, math.nan, math.nan, "reserve 51 more m6i.4xlarge now",
         51, 75, Decimal("35956.22"), None, 90, 81.6, Decimal("46531.58"), Decimal("40609.38"),
         "the paths show 1,700,000 to 2,500,000 a day"),
        ("O1", "general", "nodes", 1, *wait, 1_923_000.0, 0.54, "reserve 6 more m6i.4xlarge", 6, 81,
         Decimal("4230.14"), Decimal("0.00"), math.nan, math.nan, None, None, ""),
        ("O1", "general", "nodes", 2, *wait, 2_104_000.0, 0.28, "reserve 12 more m6i.4xlarge", 12,
         93, Decimal("8460.29"), Decimal("0.00"), math.nan, math.nan, None, None, ""),
        ("O2", "credit-bureau", "quota", 0, "", "", "", "2026-10-09", math.nan, math.nan,
         "raise the partner's quota", math.nan, math.nan, None, None, math.nan, math.nan, None,
         None, "closes 2026-10-09, before the next look 2026-10-19: sized one-shot at full risk"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def tripwire_curve() -> pd.DataFrame:
    rows = []
    for k in range(17):
        rate = 1_700_000.0 + 50_000.0 * k
        need = 40 * rate / 1_000_000
        units = 75.0 + 6 * (rate > 1_923_000) + 12 * (rate > 2_104_000)
        below = 1 / (1 + math.exp(-(rate - 1_960_000) / 90_000))
        rows.append(("O1", rate, below, 0.8 * need, 0.9 * need, need, 0.95 * need, units))
    columns = (
        "order", "run_rate_per_day", "p_below", "need_p10", "need_p50", "need_p90", "need_sized",
        "units",
    )  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def remedies() -> pd.DataFrame:
    columns = (
        "node", "limit", "rank", "remedy", "from", "to", "utilization_after", "status_after",
        "usd_season", "lead_days", "basis",
    )  # fmt: skip
    return pd.DataFrame(
        [
            ("core-db", "connections", 1, "checkout-api pool_max", "20", "10", 0.76875, "GREEN",
             Decimal("0.00"), 5, "fitted"),
            ("core-db", "connections", 2, "larger class", "db.r6g.4xlarge", "db.r6g.8xlarge",
             0.534, "GREEN", Decimal("4656.96"), 10, "fitted"),
            ("core-db", "connections", 3, "proxy", "no", "yes", 0.41, "GREEN",
             Decimal("1166.40"), 21, "assumed"),
            ("credit-bureau", "limit_rps", 1, "raise the quota", "80", "126", 0.667, "GREEN",
             None, 42, "assumed"),
        ],
        columns=columns,
    )  # fmt: skip


def lifts() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"service": s, "event": e, "n_events": 3 if e != "launch" else 0, "lift_x": x,
             "lift_p10": x * 0.88, "lift_p90": x * 1.14, "peak_hour_lift_x": x * 1.09,
             "left_out_error": 0.06 if e != "launch" else float("nan"),
             "basis": "fitted" if e != "launch" else "assumed", "donors": ""}
            for s in ("checkouts", "impressions")
            for e, x in (("thanksgiving", 1.6), ("black_friday", 2.6), ("cyber_monday", 3.0),
                         ("cyber_tuesday", 1.7), ("christmas", 0.7), ("launch", 1.5))
        ]
    )  # fmt: skip


def fits() -> pd.DataFrame:
    columns = (
        "service", "resource", "term", "value", "low", "high", "unit", "identifiable", "load_max",
        "load_per_pod_max", "n_used", "r2", "regime_from", "regime_change_x", "basis",
    )  # fmt: skip
    rows = [
        ("underwriting", "cpu_cores", "per_pod", 0.0498, 0.031, 0.068, "cores", True, 6.0, 10.0,
         2010, 0.981, "2026-08-14", 1.2, "fitted"),
        ("underwriting", "cpu_cores", "per_request", 0.1021, 0.0998, 0.1043, "core-seconds", True,
         60.0, 10.0, 2010, 0.981, "2026-08-14", 1.2, "fitted"),
        ("core-db", "cpu_cores", "per_read", 0.00156, 0.00149, 0.00163, "core-seconds", True,
         3940.0, math.nan, 31000, 0.973, "", math.nan, "fitted"),
        ("ledger", "cpu_cores", "per_pod", math.nan, math.nan, math.nan, "cores", False, 8.0, 31.0,
         31000, 0.88, "", math.nan, "assumed"),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def risk() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"tier": tier, "scenario": s, "risk": r, "alpha": r / 2, "p_any": p,
             "p_any_after_orders": after, "mc_se": math.sqrt(p * (1 - p) / 1000),
             "contributors": "core-db connections, credit-bureau limit_rps" if tier == 0 else "",
             "status": "RED" if p > r else "GREEN"}
            for tier, r, share in ((0, 0.02, 1.0), (1, 0.05, 0.025))
            for s, p0, after in (("low", 0.11, 0.002), ("base", 0.62, 0.012), ("high", 0.98, 0.055),
                                ("mixture", 0.564, 0.019))
            for p in (p0 * share,)
        ]
    )  # fmt: skip


def assumptions() -> pd.DataFrame:
    rows = [
        (
            "topology.services.underwriting.calls.checkouts",
            1.2,
            "ratio",
            "assumed",
            "topology.yaml",
        ),
        ("peaks.checkouts.burst_x", 1.35, "ratio", "measured", "minutes of 14 days"),
        ("demand.trend.checkouts", 1.302, "ratio", "fitted", "hourly history, 3.7 years"),
        (
            "catalog.m6i.4xlarge.price_usd_per_hour",
            Decimal("0.7680"),
            "USD/h",
            "assumed",
            "https://aws.amazon.com/ec2/pricing/on-demand/",
        ),
        ("scenarios.base.growth_yoy_x.checkouts", 1.25, "ratio", "assumed", "study.yaml"),
        ("usage.search.cpu_cores", 0.021, "core-seconds", "borrowed", "siblings of tier 1"),
    ]
    return pd.DataFrame(rows, columns=["name", "value", "unit", "basis", "source"])


def findings() -> pd.DataFrame:
    rows = [
        ("gap", "warning", "ledger", "31 hours are missing from 2025-03-02T04:00Z; masked."),
        ("outage", "warning", "checkout-api", "1 hour of zeros on 2025-07-14; masked."),
        ("load_test", "warning", "underwriting", "6 hours tagged load_test; left out of demand."),
        (
            "regime",
            "info",
            "underwriting",
            "per_request rose by 20 % on 2026-08-14; the new one is used.",
        ),
        ("identical_duplicates", "info", "", "48 rows are repeated with equal values; kept once."),
    ]
    return pd.DataFrame(rows, columns=["code", "severity", "service", "message"])


def factors() -> pd.DataFrame:
    rows = [
        (1, "today's peak minute", 2000.0, "1/min", "measured", "last 28 days"),
        (2, "season multiple", 3.0, "ratio", "assumed", "scenarios.base"),
        (3, "pods after scaling", 3.0, "ratio", "fitted", "services"),
        (4, "connections of all pools", 4275.0, "connections", "fitted", "pods x pool_max"),
    ]
    return pd.DataFrame(
        [("base", "core-db", "connections", *row) for row in rows],
        columns=["scenario", "node", "limit", "step", "factor", "value", "unit", "basis", "source"],
    )


def summary() -> pd.DataFrame:
    rows = [
        {"scenario": f"growth {g:g}, lift {x:g}", "weight": 0.25, "weights": "equal", "growth": g,
         "lift": x, "root": "checkouts", "quantity": "per_min", "peak_p50": 6000.0 * g * x,
         "peak_p95": 7000.0 * g * x, "nodes": 60.0 * g * x, "pods": 700.0 * g * x,
         "usd_season": Decimal(f"{50000 * g * x:.2f}"), "p_any_tier_0": 0.4 * g * x,
         "p_any_after_tier_0": 0.01, "regret_usd": None, "least_regret": False,
         "first_limit": "core-db connections", "first_hard_breach": "2026-11-27", "status": "RED"}
        for g in (1.1, 1.5)
        for x in (1.0, 1.2)
    ]  # fmt: skip
    mixture = rows[-1] | {
        "scenario": "mixture",
        "weight": 1.0,
        "growth": math.nan,
        "lift": math.nan,
    }
    return pd.DataFrame([*rows, mixture])


def tornado() -> pd.DataFrame:
    rows = [
        ("growth of checkouts", "growth", "checkouts", 1.1, 1.25, 1.5, "x", 75.0, 96.0, "-11949.12",
         "9953.28", "996.62"),
        ("planned utilization", "utilization", "", 0.55, 0.6, 0.65, "ratio of cores", 87.0, 78.0,
         "2488.32", "-3732.48", None),
        ("calls of checkout-api per checkouts, of every channel together", "calls", "checkout-api",
         3.9, 4.0, 4.1, "calls", 84.0, 84.0, "0.00", "0.00", "0.00"),
    ]  # fmt: skip
    plan = Decimal("73418.40")
    return pd.DataFrame(
        [
            {"rank": rank, "input": name, "kind": kind, "node": node, "low": low,
             "central": central, "high": high, "unit": unit, "range": "10 % either way",
             "basis": "assumed", "nodes_low": below, "nodes_plan": 84.0, "nodes_high": above,
             "swing_nodes": abs(above - below), "usd_low": plan + Decimal(less), "usd_plan": plan,
             "usd_high": plan + Decimal(more), "swing_usd": abs(Decimal(more) - Decimal(less)),
             "p_any_low": 0.9, "p_any_plan": 0.95, "p_any_high": 0.99,
             "usd_if_known": None if saves is None else plan - Decimal(saves),
             "saves_usd": None if saves is None else Decimal(saves), "measure": "a load test"}
            for rank, (name, kind, node, low, central, high, unit, below, above, less, more, saves)
            in enumerate(rows, 1)
        ]
    )  # fmt: skip


def register() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"id": "core-db:connections", "rank": 1, "node": "core-db", "limit": "connections",
             "unit": "connections", "tier": 0, "owner_team": "storage", "event": "cyber_monday",
             "day": "2026-11-30", "p_saturate": 0.55, "mc_se": 0.016, "p_first": 0.4,
             "status": "RED", "hard": 4000.0, "expected_shortfall": 120.0, "shortfall_if": 218.2,
             "callers": "checkout-api, ledger", "traffic": "checkouts 100%", "traffic_share": 1.0,
             "mitigation": "1. checkout-api pool_max 20 to 15", "order_id": "config:core-db",
             "order_by": "2026-10-27", "order_status": "GREEN", "residual_p": 0.004, "usd": None},
            {"id": "ledger:cpu_cores", "rank": 2, "node": "ledger", "limit": "cpu_cores",
             "unit": "cores", "tier": 0, "owner_team": "", "event": "", "day": "",
             "p_saturate": 0.0, "mc_se": 0.001, "p_first": 0.0, "status": "GREEN", "hard": 90.0,
             "expected_shortfall": 0.0, "shortfall_if": 0.0, "callers": "checkouts",
             "traffic": "checkouts 100%", "traffic_share": 1.0, "mitigation": "", "order_id": "",
             "order_by": "", "order_status": "", "residual_p": 0.0, "usd": None},
        ]
    )  # fmt: skip


def make_frames() -> dict[str, pd.DataFrame]:
    makers = (
        demand, yoy, lifts, fits, limits, services, nodes, databases, cost, waterfall, orders,
        tripwires, tripwire_curve, remedies, risk, register, summary, tornado, assumptions,
        findings, factors,
    )  # fmt: skip
    return {maker.__name__: maker() for maker in makers}

"""The reference estate and the small estates of the acceptance stories, written as files.

Every writer returns the path of a ``study.yaml``; numbers are the stories' own.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pandas as pd

TZ = "America/New_York"
PEAK_HOUR_PER_MIN = 6000 / 1.35  # 4,444.44 a minute: the mean of the hour around the peak minute
PEAK_MINUTE_X = 1.35

GRAPH = """\
services:
  edge-gateway: {calls: {checkouts: 14}, tier: 0}
  checkout-api: {calls: {checkouts: 4}, tier: 0}
  underwriting: {calls: {checkouts: 1.2}, tier: 0}
  ledger: {calls: {checkouts: 2.5}, tier: 0}
  notifications: {calls: {checkouts: 1.0}}
  promo-messaging: {calls: {impressions: 1}}
databases:
  core-db:
    class: db.r6g.4xlarge
    max_connections: 4000
    usage: {cpu_cores: {idle: 0.4, per_read: 0.0015, per_write: 0.002}}
    used_by:
      checkout-api: {reads: 5, writes: 2}
      underwriting: {reads: 12, writes: 3}
      ledger: {reads: 2, writes: 4}
externals:
  credit-bureau: {calls: {underwriting: 0.7}, limit_rps: 80, lead_days: 42}
"""
DECLARED = "drivers:\n  checkouts: {today_per_min: 4800, peak_minute_x: 1.35}\n"
HISTORIC = "drivers:\n  checkouts: {}\n"
IMPRESSIONS = "  impressions: {calls: {checkouts: 60}}\n"

STUDY = """\
business_tz: America/New_York
also: []
as_of: 2026-09-21
horizon: {start: 2026-11-01, end: 2026-12-17}
season: {start: 2026-11-02, end: 2026-12-17}
draws: 1001   # odd: the P50 path is the median itself
seed: 7
topology: topology.yaml
"""


def load_script(path: Path) -> ModuleType:
    """Import a script that is no part of a package."""
    spec = importlib.util.spec_from_file_location(path.parent.name + "_" + path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder: Path, *, topology: str, study: str) -> Path:
    """Write the two files and return the study's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "topology.yaml").write_text(topology, encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(study, encoding="utf-8")
    return path


def reference_declared(folder: Path) -> Path:
    """Write the reference call graph over a declared driver: 4,800 a minute, growth 1.25."""
    study = STUDY + "scenarios: {base: {growth_yoy_x: {checkouts: 1.25}}}\n"
    return write(folder, topology=DECLARED + IMPRESSIONS + GRAPH, study=study)


def reference_given(folder: Path, *, suffix: str = "csv", minutes: bool = True) -> Path:
    """Write the reference call graph over somebody's hourly forecast, with or without minutes."""
    study = STUDY + f"demand: {{given: forecast.{suffix}}}\n"
    if minutes:
        study += "history: {base: history.parquet, fine: minutes.parquet}\n"
    study += "scenarios: {base: {}}\n"
    path = write(folder, topology=HISTORIC + IMPRESSIONS + GRAPH, study=study)
    frame = given_forecast()
    if suffix == "csv":
        frame.to_csv(folder / "forecast.csv", index=False)
    else:
        frame.to_parquet(folder / "forecast.parquet", index=False)
    if minutes:
        recent_hours().to_parquet(folder / "history.parquet", index=False)
        recent_minutes().to_parquet(folder / "minutes.parquet", index=False)
    return path


def given_forecast() -> pd.DataFrame:
    """Return hourly quantiles: 1,000 a minute, and 4,444.44 in one hour of Cyber Monday."""
    hours = pd.date_range("2026-11-01", "2026-12-17", freq="h", tz=TZ, inclusive="left")
    frame = pd.DataFrame({"service": "checkouts", "time": hours.tz_convert("UTC")})
    frame["p50"] = 1000.0
    frame.loc[hours == pd.Timestamp("2026-11-30 20:00", tz=TZ), "p50"] = PEAK_HOUR_PER_MIN
    frame["p10"] = frame["p50"]
    frame["p90"] = frame["p50"]
    return frame


def recent_hours() -> pd.DataFrame:
    """Return four flat weeks: hourly checkouts of 800 a minute."""
    hours = pd.date_range("2026-08-24", "2026-09-21", freq="h", tz=TZ, inclusive="left")
    columns = {"service": "checkouts", "time": hours.tz_convert("UTC"), "per_min": 800.0}
    return pd.DataFrame(columns)


def recent_minutes() -> pd.DataFrame:
    """Return four days of minutes whose busiest is 1.35 times the mean of every hour."""
    times = pd.date_range("2026-09-17", "2026-09-21", freq="min", tz=TZ, inclusive="left")
    frame = pd.DataFrame({"service": "checkouts", "time": times.tz_convert("UTC")})
    busiest = 800.0 * PEAK_MINUTE_X
    frame["per_min"] = (800.0 * 60 - busiest) / 59
    frame.loc[times.minute == 17, "per_min"] = busiest
    return frame


CONNECTIONS = """\
drivers:
  checkouts: {today_per_min: 2400}   # 40 a second
services:
  checkout-api: {calls: {checkouts: 4}, tier: 0, replicas: {min: 1, today: 40}}
  account-service: {calls: {checkouts: 1}, tier: 0, replicas: {min: 1, today: 15}}
  ledger: {calls: {checkouts: 2.5}, tier: 0, replicas: {min: 1, today: 20}}
databases:
  core-db:   # queries per checkout: 4 x 7 + 1 x 7 + 2.5 x 6 = 50, at 40 checkouts a second 2,000
    engine: aurora-mysql
    class: db.r6g.4xlarge
    max_connections: 4000
    usage: {cpu_cores: {idle: 0.4, per_read: 0.00156, per_write: 0.00156}}
    used_by:
      checkout-api: {reads: 5, writes: 2, pool_max: 20, processes: 1}
      account-service: {reads: 5, writes: 2, pool_max: 15, processes: 1}
      ledger: {reads: 2, writes: 4, pool_max: 20, processes: 1}
policy:
  surge: 0
  utilization: {database_cpu_cores: 0.70, connections: 0.85}
"""
LIFTS = """\
events: {calendar: us_retail}
scenarios:
  base:
    lift:
      thanksgiving: {checkouts: 1.6}
      black_friday: {checkouts: 2.6}
      cyber_monday: {checkouts: 3.0}
"""


def connections_before_cpu(folder: Path, *, checkout_pool: int = 20) -> Path:
    """Write a 16-vCPU writer with three callers whose pools scale with traffic."""
    topology = CONNECTIONS.replace(
        "checkout-api: {reads: 5, writes: 2, pool_max: 20",
        f"checkout-api: {{reads: 5, writes: 2, pool_max: {checkout_pool}",
    )
    return write(folder, topology=topology, study=STUDY + LIFTS)


# 400 requests a second at base need 400 x 1.26 / (0.60 x 2) = 420 pods of 2 cores; 7 of them fill a
# node of 16 vCPU (15.89 allocatable): 60 nodes at the target, 90 with one of three zones to lose.
PROPORTIONAL = """\
drivers:
  checkouts: {today_per_min: 4800, sigma_log: 0.10}
services:
  checkout-api:
    calls: {checkouts: 4}
    tier: 0
    pool: general
    pod: {cpu_cores: 2, memory_gib: 4}
    replicas: {min: 1, max: 2000}
    usage: {cpu_cores: {per_request: 1.26}}
  underwriting: {calls: {checkouts: 1.2}, tier: 0}
externals:
  credit-bureau: {calls: {underwriting: 0.7}, limit_rps: 80, lead_days: 42}
pools:
  general: {types: [m6i.4xlarge], zones: 3, today: 24}
policy:
  utilization_degraded: 0.60
"""
PRICES = (
    "region,kind,engine,name,price_usd_per_hour,as_of,source\n"
    "us-east-1,node,,m6i.4xlarge,0.6528,2026-09-01,the story's own price\n"
)
MIXTURE = """\
catalog: {overlay: prices.csv}
scenarios:
  low: {probability: 0.25, growth_yoy_x: {checkouts: 1.10}}
  base: {probability: 0.55, growth_yoy_x: {checkouts: 1.25}}
  high: {probability: 0.20, growth_yoy_x: {checkouts: 1.50}}
"""


def proportional_pool(folder: Path) -> Path:
    """Write a pool whose nodes follow demand: 60 at the target under the base scenario."""
    path = write(folder, topology=PROPORTIONAL, study=STUDY + MIXTURE)
    (folder / "prices.csv").write_text(PRICES, encoding="utf-8")
    return path


OWNERS = """\
drivers:
  checkouts: {{today_per_min: 2000}}   # 40 requests a second at underwriting
services:
  edge-gateway: {{calls: {{checkouts: 14}}, tier: 0}}
  checkout-api: {{calls: {{checkouts: 4}}, tier: 0}}
  underwriting:
    calls: {{checkouts: 1.2}}
    tier: 0
    pool: general
    pod: {{cpu_cores: 2, memory_gib: 4}}
    imbalance_x: 1.0
    replicas: {{min: 1, max: 200, today: 6}}
    usage: {{cpu_cores: {{per_pod: 0.05, per_request: {per_request}}}}}
databases:
  core-db:
    class: db.r6g.4xlarge
    max_connections: 4000
    usage: {{cpu_cores: {{idle: 0.4, per_read: 0.0015, per_write: 0.002}}}}
    used_by:
      checkout-api: {{reads: 5, writes: 2}}
      underwriting: {{reads: 12, writes: 3, pool_max: 15}}
externals:
  credit-bureau: {{calls: {{underwriting: 0.7}}, limit_rps: 80, lead_days: 42}}
pools:
  general: {{types: [m6i.4xlarge], zones: 3, today: 24}}
policy:
  surge: 0
  utilization: {{cpu_cores: 0.60}}
  utilization_degraded: 0.60
  hold:
    - {{failure: none, quantile: 0.5, up_to: utilization}}
    - {{failure: {{lose_zones: 1}}, quantile: 0.5, up_to: utilization_degraded}}
"""


def owners_estate(folder: Path, *, per_request: float = 0.085) -> Path:
    """Write the estate of underwriting's owner: 40 requests a second today, 120 at Cyber Monday.

    Today's bureau sees 28 of 80 requests a second: over the policy of 85 % from Black Friday (2.6
    times), over the limit on Cyber Monday (3.0 times).
    """
    study = STUDY + "orders: {in_place: {event: black_friday, days_before: 7}}\n"
    study += LIFTS + "catalog: {overlay: prices.csv}\n"
    path = write(folder, topology=OWNERS.format(per_request=per_request), study=study)
    (folder / "prices.csv").write_text(PRICES, encoding="utf-8")
    return path

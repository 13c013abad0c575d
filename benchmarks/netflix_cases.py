"""The peer's own cases: what is asked, what it answered when recorded, and its arithmetic.

This module answers: which demand do both sides plan, and which steps lead from it to the peer's
cores? The recorded answers are those of service-capacity-modeling 0.3.212 (us-east-1, Python
3.11.7, numpy 2.4.6): plans of tiers, prices of 3 years all upfront, per year, disks and
input/output included. :func:`ask` puts the same questions to the package itself.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PINS = HERE / "netflix_peers.txt"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
Json = dict[str, Any]

REFERENCE_GHZ = 2.3
STAFFING = {0: 2.375, 1: 1.761, 2: 1.16, 3: 1.0}
"""Spare cores of a tier, in roots of the busy cores: the peer's Q."""
ZONES = 3
GROWTH = (1, 2, 5, 10, 100)


@dataclass(frozen=True, slots=True)
class Server:
    """A database case: where our ladder begins, and the demand at one times."""

    title: str
    engine: str
    first_class: str
    model: str
    read_ms: float
    write_ms: float
    tier: int
    growth: tuple[int, ...]
    """Multiples of the demand that are asked."""

    @property
    def busy(self) -> float:
        """Busy cores at one times on the reference core."""
        return (READS * self.read_ms + WRITES * self.write_ms) / 1000


READS, WRITES = 500.0, 100.0
SERVER_SPEED = 3.1
"""GHz x IPC of m5, r5 and db.r5."""
R1 = {"R1a": 1e3, "R1b": 1e4, "R1c": 1e5, "R1d": 5e5, "R1e": 1e6}
"""Requests per second of one reference CPU millisecond each, tier 1."""
R4 = Server(
    *("R4", "aurora-mysql", "db.r5.large", "aurora", 2.0, 3.0, 1),
    growth=(1, 2, 3, 5, 8, 10, 20, 30, 40, 50, 80, 100),
)
R6 = Server(*("R6", "mysql", "db.m5.large", "rds", 5.0, 5.0, 2), growth=(1, 2, 5, 10, 20, 50))
INTERVALS = (
    (1_000, 10_000, 100_000, 0.90),
    (10, 100, 1_000, 0.98),
    (50_000, 100_000, 200_000, 0.90),
    (100_000, 150_000, 300_000, 0.95),
    (90, 100, 110, 0.90),
)
GRID = [i / 1000 for i in range(1, 1000)]


def fleet(kind: str, count: int, usd: float, cores: float = math.nan) -> Json:
    """Return an answer as recorded."""
    return {"fleet": {"type": kind, "count": count, "usd": usd, "cores": cores}, "cpu_s": math.nan}


SERVICE_NOTES = """\
- Staffing: theirs keeps P(wait) at 4.8 % if every request may use every core of the fleet; ours
  plans a utilization per pod (0.60; 0.85 after the loss of a zone) and counts no queue by itself.
- Failover: theirs divides by 0.4 for another region's traffic, always; ours buys the loss of one
  zone of three, x 1.5. Another region is a scenario with its demand.
- Speed: theirs converts by clock x a table of IPC; ours takes the cost measured on the type. The
  last column of fleets leaves the conversion out: the same 1 ms measured on the chosen type.
- Rounding: both buy equal zones; theirs in nodes of 1 process, ours in pods on what EKS leaves.
- Memory: theirs 4.6 % low (m6a.large 7.63 GiB for 8); it binds in none of these cases."""

SERVER_NOTES = """\
- Cores: theirs ceil(a + Q sqrt(a)) x 1.1 x 2.3 / 3.1, rounded up; ours busy / 0.70. P(wait) is
  Erlang's C on our class: at 0.70 requests wait often on 2 vCPUs and rarely on 64. M/M/c are the
  fewest cores with P(wait) at most their tier's 4.8 % (tier 1) or 16.7 % (tier 2).
- Memory: theirs asks 10 % of the 200 GiB, which alone rules db.r5.large (16 GiB) out; ours takes
  no working set, so x1 stands on db.r5.large.
- R6: theirs converts the clock twice, so 4 vCPUs pass at a need of 5 and 48 at 57. It prices EC2
  m5 and r5; the od columns price db.m5 and db.r5.
- Instances: theirs 2 for tier 1; for tier 2 it says 1 and prices 2; tier 0 is refused. Ours one
  writer and the readers that are declared (1 here), whatever the tier."""

NOTHING: Json = {"fleet": None, "cpu_s": math.nan}


def shape(vcpu: int, speed: float, memory_gib: float, usd: float) -> Json:
    """Return an instance type as recorded."""
    return {"vcpu": vcpu, "speed": speed, "memory_gib": memory_gib, "usd": usd}


HARDWARE = {
    "m6a.large": shape(2, 3.6 * 1.15, 7.63, 298.67),
    "c8a.xlarge": shape(4, 4.0 * 1.98, 7.63, 723.49),
    "c7a.8xlarge": shape(32, 3.7 * 1.95, 61.04, 5512.67),
    "c8a.16xlarge": shape(64, 4.0 * 1.98, 122.07, 11576.25),
    "m6i.4xlarge": shape(16, 3.5 * 1.15, 61.04, 2656.0),
    "m5.2xlarge": shape(8, 3.1, 30.52, 1264.67),
    "m5.4xlarge": shape(16, 3.1, 61.04, 2529.67),
    "m5.8xlarge": shape(32, 3.1, 122.07, 5059.67),
    "m5.12xlarge": shape(48, 3.1, 183.11, 7589.33),
    "r5.xlarge": shape(4, 3.1, 30.52, 830.0),
    "db.r5.large": shape(2, 3.1, 15.71, 885.67),
    "db.r5.xlarge": shape(4, 3.1, 31.65, 1771.33),
    "db.r5.2xlarge": shape(8, 3.1, 63.62, 3543.0),
    "db.r5.4xlarge": shape(16, 3.1, 128.0, 7086.0),
    "db.r5.8xlarge": shape(32, 3.1, 256.0, 14172.0),
    "db.r5.12xlarge": shape(48, 3.1, 384.0, 21258.0),
    "db.r5.16xlarge": shape(64, 3.1, 512.0, 28344.0),
    "db.r5.24xlarge": shape(96, 3.1, 768.0, 42516.0),
}
RECORDED: dict[str, Json] = {
    "R1a": fleet("m6a.large", 3, 932.01, 5),
    "R1b": fleet("c8a.xlarge", 3, 2206.47, 12),
    "R1c": fleet("c7a.8xlarge", 3, 16574.01, 95),
    "R1d": fleet("c8a.xlarge", 99, 72813.51, 393),
    "R1e": fleet("c8a.16xlarge", 12, 139059.00, 767),
    "R4 x1": fleet("db.r5.xlarge", 2, 4540.22, 4),
    "R4 x2": fleet("db.r5.2xlarge", 2, 8793),
    "R4 x3": fleet("db.r5.2xlarge", 2, 9503),
    "R4 x5": fleet("db.r5.4xlarge", 2, 18008),
    "R4 x8": fleet("db.r5.4xlarge", 2, 20136),
    "R4 x10": fleet("db.r5.8xlarge", 2, 35728),
    "R4 x20": fleet("db.r5.8xlarge", 2, 42823),
    "R4 x30": fleet("db.r5.12xlarge", 2, 64091),
    "R4 x40": fleet("db.r5.16xlarge", 2, 85358),
    "R4 x50": fleet("db.r5.24xlarge", 2, 120798),
    "R4 x80": NOTHING,
    "R4 x100": NOTHING,
    "R4 tier 0": NOTHING,
    "R4 tier 2": fleet("db.r5.xlarge", 1, 4540.22, 3),
    "R6 tier 1": fleet("m5.2xlarge", 1, 3105.34, 6),
    "R6 x1": fleet("r5.xlarge", 1, 2236.00, 5),
    "R6 x2": fleet("m5.2xlarge", 1, 3105.34, 8),
    "R6 x5": fleet("m5.4xlarge", 1, 5769.74, 17),
    "R6 x10": fleet("m5.8xlarge", 1, 11541.86, 31),
    "R6 x20": fleet("m5.12xlarge", 1, 18023.74, 57),
    "R6 x50": NOTHING,
    "R11": fleet("c7a.8xlarge", 3, 16574.01, 95),
    "R13 x1": fleet("m6i.large", 21, math.nan),
    "R13 x10": fleet("m6i.xlarge", 75, math.nan, 295),
    **{f"R12 evcache x{k}": fleet("m6id.2xlarge", 10, 46899.90, 80) for k in (1, 10, 100)},
    **{f"R12 kafka x{k}": fleet("m6id.16xlarge", 2, 75034.02, 107) for k in (1, 10, 100)},
    "R12 cassandra x1": fleet("m6id.4xlarge", 9, 86016, 143),
    "R12 cassandra x10": fleet("m6id.8xlarge", 4, 86617, 128),
    "R12 cassandra x100": fleet("m6id.4xlarge", 8, 186462, 128),
    "hardware": HARDWARE,
}


def questions() -> dict[str, Json]:
    """Return every question to the peer, by the name under which its answer is used."""
    app = {"model": "stateless-java", "tier": 1, "writes": 0, "read_ms": 1, "read_bytes": 1024}
    out: dict[str, Json] = {
        name: {"how": "certain", **app, "reads": rps} for name, rps in R1.items()
    }
    out["R11"] = {"how": "plan", **app, "reads": list(INTERVALS[2])}
    for server, extra in ((R4, {}), (R6, {"working_set": 0.1})):
        asked = {
            "how": "certain",
            "model": server.model,
            "read_ms": server.read_ms,
            "write_ms": server.write_ms,
            "read_bytes": 1024,
            "write_bytes": 512,
            "state_gib": 200,
            "arguments": {f"{server.model}.engine": "mysql"},
            **extra,
        }
        for name, k, of_tier in [
            *((f"{server.title} x{k}", k, server.tier) for k in server.growth),
            *((f"{server.title} tier {t}", 1, t) for t in (0, 1, 2)),
        ]:
            out[name] = {**asked, "reads": READS * k, "writes": WRITES * k, "tier": of_tier}
    out["aurora plan"] = {
        **out["R4 x1"],
        "how": "plan",
        "reads": [250, 500, 1000, 0.9],
        "writes": [50, 100, 200, 0.9],
    }
    now = {"type": "m6id.4xlarge", "count": 8, "cpu_percent": 30, "zonal": True}
    now |= {"memory_gib": 20, "network_mbps": 500, "disk_gib": 200}
    busy = {"type": "m6i.4xlarge", "count": 12, "cpu_percent": 80, "zonal": False}
    for k in GROWTH:
        for model in ("evcache", "kafka", "cassandra"):
            out[f"R12 {model} x{k}"] = {
                "how": "certain",
                "model": model,
                "tier": 1,
                "reads": 1e4 * k,
                "writes": 1e4 * k,
                "state_gib": 1000,
                "current": now,
                "families": ["m6id"],
            }
        out[f"R13 x{k}"] = {
            "how": "certain",
            **app,
            "reads": 1e4 * k,
            "current": busy,
            "families": ["m6i"],
        }
    for i, asked_for in enumerate(INTERVALS):
        out[f"interval {i}"] = {"how": "quantiles", "interval": list(asked_for), "at": GRID}
    out["hardware"] = {"how": "hardware", "types": list(HARDWARE)}
    return out


def staffed(busy: float, tier: int = 1) -> int:
    """Return the peer's cores for a stream: ``ceil(a + Q sqrt(a))``, all cores one pool."""
    return math.ceil(busy + STAFFING[tier] * math.sqrt(busy))


def failover_cores(busy: float, tier: int = 1, *, failover: bool = True) -> int:
    """Return the peer's reference cores of a stateless service: staffed, then 40 % busy."""
    return math.ceil(staffed(busy, tier) * (1 / 0.4)) if failover else staffed(busy, tier)


def converted(cores: float, speed: float) -> int:
    """Return reference cores as cores of a type of this speed [GHz x IPC]."""
    return max(1, math.ceil(cores / (speed / REFERENCE_GHZ)))


def service_cores(busy: float, speed: float, *, tier: int = 1, failover: bool = True) -> int:
    """Return the peer's requirement of a stateless service [cores of the type]."""
    return converted(failover_cores(busy, tier, failover=failover), speed)


def server_cores(busy: float, speed: float, *, tier: int) -> int:
    """Return the peer's requirement of a MySQL writer: 10 % above the staffed cores."""
    return converted(staffed(busy, tier) * 1.1, speed)


def carried_rps(cores: int, speed: float, *, service_s: float) -> float:
    """Return the largest demand for which the peer's own rule asks at most these cores [1/s]."""
    low, high = 0.0, cores * speed / REFERENCE_GHZ / service_s
    while high - low > 1e-6 * high:
        middle = (low + high) / 2
        if service_cores(middle * service_s, speed) <= cores:
            low = middle
        else:
            high = middle
    return low


def environment(folder: Path) -> Path:
    """Return the interpreter of the environment of ``netflix_peers.txt``, made if missing.

    Raises
    ------
    subprocess.CalledProcessError
        When the pinned versions cannot be installed.
    """
    python, stamp = folder / "bin" / "python", folder / PINS.name
    pins = PINS.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != pins:
        print(f"making the peer's environment in {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        quiet = ("-qq", "--disable-pip-version-check")
        subprocess.run([python, "-m", "pip", "install", *quiet, "-r", PINS], check=True)
        stamp.write_text(pins, encoding="utf-8")
    return python


def ask(folder: Path) -> dict[str, Json]:
    """Return the peer's answers from a live run.

    Raises
    ------
    subprocess.CalledProcessError
        When the peer cannot be installed, or fails.
    """
    python = environment(folder)
    asked = questions()
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "source.json", Path(place) / "target.json"
        source.write_text(json.dumps(list(asked.values())), encoding="utf-8")
        subprocess.run(
            [python, HERE / "netflix_worker.py", source, target],
            check=True,
            env={**os.environ, **ONE_THREAD},
        )
        answers = json.loads(target.read_text(encoding="utf-8"))
    return dict(zip(asked, answers, strict=True))

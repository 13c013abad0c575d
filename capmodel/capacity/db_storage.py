"""Volumes of a database: what they and their instance sustain, and gp3's 400 GiB step.

This module answers: how many operations and MiB/s does storage sustain on a class, which gp3 volume
sustains a need, and does a change cross the step at which RDS copies all data? An Aurora volume
grows by itself and has no limit of operations; its instances have.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from capmodel.errors import InputError, Problem
from capmodel.laws.arguments import number, raise_any
from capmodel.schema import Finding, Findings
from capmodel.topology import DbVolume

if TYPE_CHECKING:
    from capmodel.catalog import DbClass

__all__ = [
    "GP3_STEP_GIB",
    "MIB_PER_MB",
    "DbVolume",
    "StorageLimits",
    "VolumeLimits",
    "crosses_gp3_step",
    "gp3_step_findings",
    "gp3_volume",
    "storage_limits",
    "volume_limits",
]

MIB_PER_MB: Final = 1e6 / 2.0**20
"""An instance's EBS throughput is stated in MB/s, a volume's in MiB/s."""

# RDS for MySQL: Amazon RDS User Guide, *Amazon RDS DB instance storage* (June 2023), its newest
# public text; the size and io2 by botocore's service models (November 2026); gp2 has at most 16,000
# IOPS per volume (AWS re:Post, *RDS low burst balance*), and RDS stripes over four.
GP3_STEP_GIB: Final = 400.0
"""From here on RDS stripes gp3 over four volumes [GiB]."""
_GP3_SMALL: Final = (3_000.0, 125.0)
_GP3_STRIPED: Final = (12_000.0, 500.0)
_GP3_MOST: Final = (64_000.0, 4_000.0)
_GP3_IOPS_PER_GIB: Final = 500.0
_GP3_MIB_PER_IOPS: Final = 0.25
_GP2_IOPS_PER_GIB: Final = 3.0
_GP2_RANGE: Final = (100.0, 64_000.0)
_IO1_IOPS_PER_GIB: Final = (0.5, 50.0)
_IO_MOST: Final = 256_000.0
_SIZE_MOST_GIB: Final = 65_536.0


@dataclass(frozen=True, slots=True)
class VolumeLimits:
    """What a volume sustains without burst.

    ``iops`` [1/s], ``throughput_mib`` [MiB/s], None where no figure is known; ``striped`` over four
    volumes.
    """

    iops: float
    throughput_mib: float | None
    striped: bool


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """What storage sustains: the smaller of volume and instance, on the instance's baseline.

    ``iops`` [1/s] and ``throughput_mib`` [MiB/s] are None where neither figure is known and inf
    where there is no limit; ``burst_iops`` is what half an hour a day may reach, for comparison.
    The bindings say which of the two is smaller; ``unknown`` names figures that were missing.
    """

    iops: float | None
    throughput_mib: float | None
    burst_iops: float | None
    iops_binding: Literal["volume", "instance", ""]
    throughput_binding: Literal["volume", "instance", ""]
    unknown: tuple[str, ...]


def volume_limits(volume: DbVolume) -> VolumeLimits:
    """Return what a volume of RDS for MySQL sustains.

    gp3 below 400 GiB has 3,000 IOPS and 125 MiB/s, fixed; from 400 GiB on 12,000 and 500, to be
    raised to 64,000 and 4,000 within 500 IOPS per GiB and 0.25 MiB/s per IOPS. gp2 earns 3 IOPS per
    GiB, at least 100; its burst is not counted. io1 and io2 have what is provisioned.

    Parameters
    ----------
    volume
        As provisioned.

    Raises
    ------
    InputError
        For figures that RDS would refuse, all of them.

    References
    ----------
    Amazon RDS User Guide, *Amazon RDS DB instance storage*.

    Examples
    --------
    >>> volume_limits(DbVolume(gib=399)), volume_limits(DbVolume(gib=400)).iops
    (VolumeLimits(iops=3000.0, throughput_mib=125.0, striped=False), 12000.0)
    """
    striped = volume.gib >= GP3_STEP_GIB
    raise_any(_volume_problems(volume))
    if volume.storage_type == "gp3":
        iops, throughput = _GP3_STRIPED if striped else _GP3_SMALL
        return VolumeLimits(volume.iops or iops, volume.throughput_mib or throughput, striped)
    if volume.storage_type == "gp2":
        least, most = _GP2_RANGE
        return VolumeLimits(min(max(_GP2_IOPS_PER_GIB * volume.gib, least), most), None, striped)
    return VolumeLimits(volume.iops or 0.0, None, striped)


def storage_limits(candidate: DbClass, volume: DbVolume | None) -> StorageLimits:
    """Return what storage sustains on a class: ``min(volume, instance)``, never the burst.

    Small classes burst to the maximum for half an hour a day and fall back to their baseline: a
    holiday is planned on the baseline. Throughput of the instance is converted from MB/s to MiB/s.

    Parameters
    ----------
    candidate
        The class.
    volume
        Its volume; None: unknown, or Aurora's.

    Examples
    --------
    >>> from capmodel.catalog import Catalog
    >>> large = Catalog.builtin().db_class("mysql", "db.r6g.large")
    >>> held = storage_limits(large, DbVolume(gib=400))
    >>> held.iops, held.burst_iops, held.iops_binding, round(held.throughput_mib, 1)
    (3600.0, 12000.0, 'instance', 75.1)
    """
    if candidate.engine == "aurora-mysql":
        if volume is not None:
            raise InputError.of(
                "volume",
                got=f"a volume of {candidate.engine}",
                expected="none: an Aurora volume is shared and grows by itself",
                do="Remove it; the network of the instance is the limit.",
            )
        return StorageLimits(math.inf, math.inf, math.inf, "", "", ())
    held = volume_limits(volume) if volume is not None else None
    baseline = candidate.ebs_baseline_mb_per_s
    own_mib = None if baseline is None else baseline * MIB_PER_MB
    iops = {
        "volume": held.iops if held else None,
        "instance": candidate.ebs_baseline_iops,
    }
    throughput = {"volume": held.throughput_mib if held else None, "instance": own_mib}
    burst = _smaller({**iops, "instance": candidate.ebs_max_iops})[0]
    unknown = tuple(
        f"{side} {name}"
        for name, sides in (("iops", iops), ("throughput_mib", throughput))
        for side, value in sides.items()
        if value is None
    )
    least, by = _smaller(iops)
    least_mib, by_mib = _smaller(throughput)
    return StorageLimits(least, least_mib, burst, by, by_mib, unknown)


def gp3_volume(*, gib: float, iops: float, throughput_mib: float) -> DbVolume:
    """Return the smallest gp3 volume that sustains a need, with no more provisioned than needed.

    Parameters
    ----------
    gib
        Storage needed [GiB].
    iops
        Operations needed, policy included [1/s].
    throughput_mib
        Throughput needed, policy included [MiB/s].

    Raises
    ------
    InputError
        When no gp3 volume of RDS sustains it.

    Examples
    --------
    >>> gp3_volume(gib=200, iops=2500, throughput_mib=100).gib
    200.0
    >>> raised = gp3_volume(gib=200, iops=20_000, throughput_mib=300)
    >>> raised.gib, raised.iops, raised.throughput_mib
    (400.0, 20000.0, None)
    """
    do = "Give what is needed."
    raise_any(
        [
            *number("gib", gib, do, above=0, most=_SIZE_MOST_GIB),
            *number("iops", iops, "Spread the load: no gp3 volume has more.", least=0,
                    most=_GP3_MOST[0]),
            *number("throughput_mib", throughput_mib, "Spread the load: no gp3 volume has more.",
                    least=0, most=_GP3_MOST[1]),
        ]
    )  # fmt: skip
    if iops <= _GP3_SMALL[0] and throughput_mib <= _GP3_SMALL[1]:
        return DbVolume(gib=float(gib))
    wanted = max(iops, throughput_mib / _GP3_MIB_PER_IOPS)
    size = max(gib, GP3_STEP_GIB, wanted / _GP3_IOPS_PER_GIB)
    return DbVolume(
        gib=float(size),
        iops=float(wanted) if wanted > _GP3_STRIPED[0] else None,
        throughput_mib=float(throughput_mib) if throughput_mib > _GP3_STRIPED[1] else None,
    )


def crosses_gp3_step(volume: DbVolume, *, to_gib: float) -> bool:
    """Return whether growing a gp3 volume to a size crosses the 400 GiB step.

    Examples
    --------
    >>> crosses_gp3_step(DbVolume(gib=380), to_gib=420)
    True
    >>> crosses_gp3_step(DbVolume(gib=400), to_gib=420)
    False
    """
    return volume.storage_type == "gp3" and volume.gib < GP3_STEP_GIB <= to_gib


def gp3_step_findings(
    database: str, volume: DbVolume, *, to_gib: float, freeze_from: dt.date, crosses_on: dt.date
) -> Findings:
    """Return the warning that a volume should cross the 400 GiB step before the freeze.

    Crossing copies all data to new volumes: hours of high latency. Storage autoscaling crosses it
    without asking.

    Parameters
    ----------
    database
        Its name.
    volume
        Today's.
    to_gib
        Size that it reaches by growth, autoscaling or order [GiB].
    freeze_from
        First day without changes.
    crosses_on
        Day on which it would be crossed.

    Examples
    --------
    >>> import datetime as dt
    >>> found = gp3_step_findings(
    ...     "core-db",
    ...     DbVolume(gib=380),
    ...     to_gib=420,
    ...     freeze_from=dt.date(2026, 11, 2),
    ...     crosses_on=dt.date(2026, 11, 27),
    ... )
    >>> next(iter(found)).code
    'gp3_step_in_freeze'
    """
    if not crosses_gp3_step(volume, to_gib=to_gib):
        return Findings()
    inside = crosses_on >= freeze_from
    when = f"on {crosses_on}, inside the freeze" if inside else f"on {crosses_on}"
    return Findings(
        (
            Finding(
                code="gp3_step_in_freeze" if inside else "gp3_step",
                severity="warning",
                service=database,
                message=(
                    f"{database} grows from {volume.gib:g} to {to_gib:g} GiB and crosses gp3's "
                    f"{GP3_STEP_GIB:g} GiB {when}: RDS copies all data to new volumes, hours of "
                    f"high latency. Cross it before the freeze of {freeze_from}."
                ),
                data={
                    "from_gib": volume.gib,
                    "to_gib": to_gib,
                    "crosses_on": crosses_on.isoformat(),
                    "freeze_from": freeze_from.isoformat(),
                },
            ),
        )
    )


def _smaller(
    sides: dict[str, float | None] | dict[str, float | int | None],
) -> tuple[float | None, Literal["volume", "instance", ""]]:
    """Return the smaller known side of volume and instance, and which it is."""
    volume, instance = sides["volume"], sides["instance"]
    if volume is None and instance is None:
        return None, ""
    if instance is None or (volume is not None and volume <= instance):
        return (None if volume is None else float(volume)), "volume"
    return float(instance), "instance"


def _volume_problems(volume: DbVolume) -> list[Problem]:
    if volume.storage_type == "gp3":
        return _gp3_problems(volume)
    problems = []
    if volume.throughput_mib is not None:
        problems.append(
            _refused("throughput_mib", volume.throughput_mib, "none: it is gp3's alone")
        )
    if volume.storage_type == "gp2":
        if volume.iops is not None:
            problems.append(_refused("iops", volume.iops, "none: gp2 earns 3 per GiB"))
    elif volume.iops is None:
        problems.append(_refused("iops", "none", "what is provisioned"))
    elif volume.storage_type == "io1":
        low, high = (x * volume.gib for x in _IO1_IOPS_PER_GIB)
        if not low <= volume.iops <= min(high, _IO_MOST):
            text = f"{low:g} to {min(high, _IO_MOST):g} on {volume.gib:g} GiB"
            problems.append(_refused("iops", volume.iops, text))
    elif volume.iops > _IO_MOST:
        problems.append(_refused("iops", volume.iops, f"at most {_IO_MOST:g}"))
    return problems


def _gp3_problems(volume: DbVolume) -> list[Problem]:
    striped = volume.gib >= GP3_STEP_GIB
    base_iops, base_mib = _GP3_STRIPED if striped else _GP3_SMALL
    iops = volume.iops or base_iops
    mib = volume.throughput_mib or base_mib
    if not striped:
        problems = []
        if iops != base_iops:
            problems.append(_refused("iops", iops, f"{base_iops:g}, fixed below 400 GiB"))
        if mib != base_mib:
            problems.append(_refused("throughput_mib", mib, f"{base_mib:g}, fixed below 400 GiB"))
        return problems
    problems = []
    most = min(_GP3_MOST[0], _GP3_IOPS_PER_GIB * volume.gib)
    if not base_iops <= iops <= most:
        problems.append(_refused("iops", iops, f"{base_iops:g} to {most:g}"))
    most_mib = min(_GP3_MOST[1], _GP3_MIB_PER_IOPS * iops)
    if not base_mib <= mib <= most_mib:
        problems.append(
            _refused("throughput_mib", mib, f"{base_mib:g} to {most_mib:g} at {iops:g} IOPS")
        )
    return problems


def _refused(where: str, got: object, expected: str) -> Problem:
    return Problem(f"volume.{where}", str(got), expected, "Correct the volume.")

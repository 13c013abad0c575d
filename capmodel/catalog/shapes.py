"""Shapes of instance types: the output of ``aws ec2 describe-instance-types``.

This module answers: how many cores, how much memory and how many addresses has a type? It knows no
price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from capmodel.catalog.aws_files import open_aws_file
from capmodel.errors import InputError, Problem

__all__ = ["Shape", "read_instance_types"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a type is: cores, memory [GiB], interfaces, addresses, network [Gbit/s] without end.

    ``enis`` and ``ips_per_eni`` are of the default network card, the one whose addresses pods get;
    ``network_gbps`` is the baseline, None where it is not stated.
    """

    name: str
    arch: Literal["x86_64", "arm64"]
    vcpu: int
    memory_gib: float
    enis: int
    ips_per_eni: int
    network_gbps: float | None


def read_instance_types(path: str | Path) -> dict[str, Shape]:
    """Return the shape of each type, by name; types of macOS, which run no Linux, are passed over.

    References
    ----------
    AWS, EC2 API Reference, *DescribeInstanceTypes*; aws/karpenter-provider-aws
    ``pkg/providers/instancetype/types.go``: addresses of pods come from the default network card.

    Raises
    ------
    InputError
        For a file of another kind, and for every type that lacks a figure.
    """
    file = open_aws_file(
        path,
        kinds=("instance_types",),
        instead="Read prices with with_offer, what was paid with with_billing.",
    )
    shapes: dict[str, Shape] = {}
    problems: list[Problem] = []
    for number, item in enumerate((file.document or {})["InstanceTypes"]):
        try:
            shape = _shape(item)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            name = item.get("InstanceType", "?") if isinstance(item, dict) else "?"
            problems.append(
                Problem(
                    where=f"{file.name} InstanceTypes[{number}]",
                    got=f"{name} without a usable {error}",
                    expected="VCpuInfo, MemoryInfo, NetworkInfo and ProcessorInfo",
                    do="Fetch the list again without --query.",
                )
            )
            continue
        if shape is not None:
            shapes[shape.name] = shape
    if problems:
        raise InputError(problems)
    return shapes


def _shape(item: Mapping[str, Any]) -> Shape | None:
    known = item["ProcessorInfo"]["SupportedArchitectures"]
    arch: Literal["x86_64", "arm64"] | None = (
        "x86_64" if "x86_64" in known else "arm64" if "arm64" in known else None
    )
    if arch is None:
        return None
    network = item["NetworkInfo"]
    cards = network.get("NetworkCards") or []
    card = cards[int(network.get("DefaultNetworkCardIndex", 0))] if cards else {}
    baseline = [c.get("BaselineBandwidthInGbps") for c in cards]
    stated = [float(gbps) for gbps in baseline if gbps is not None]
    return Shape(
        name=str(item["InstanceType"]),
        arch=arch,
        vcpu=int(item["VCpuInfo"]["DefaultVCpus"]),
        memory_gib=int(item["MemoryInfo"]["SizeInMiB"]) / 1024,
        enis=int(card.get("MaximumNetworkInterfaces") or network["MaximumNetworkInterfaces"]),
        ips_per_eni=int(network["Ipv4AddressesPerInterface"]),
        network_gbps=sum(stated) if stated and len(stated) == len(cards) else None,
    )

"""What a plan does not know: the names of objects in the cluster and in the account.

This module answers: which workload is a service, in which namespace, and which zones and instances
are meant? A name that nobody states is the plan's own.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from capmodel import documents
from capmodel.errors import InputError, Problem, nearest

__all__ = ["ExportNames", "Workload", "check_known", "is_dns_name"]

_DNS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_API_OF: Final = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "Rollout": "argoproj.io/v1alpha1",
}
Zone = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d+(-[a-z]+-\d+)?[a-z]$")]
Text = Annotated[str, Field(min_length=1)]


class _Spec(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True
    )


class Workload(_Spec):
    """The object that runs a service's pods."""

    name: Text | None = None
    """Name of the object, and of its autoscaler; None: the service's name."""
    namespace: Text | None = None
    """None: the namespace of all exports."""
    kind: Literal["Deployment", "StatefulSet", "Rollout"] = "Deployment"

    @property
    def api_version(self) -> str:
        """Return the API that serves the kind."""
        return _API_OF[self.kind]

    @property
    def reference(self) -> dict[str, str]:
        """Return the reference of an autoscaler to this workload."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": str(self.name)}


class ExportNames(_Spec):
    """Names of the cluster's and the account's objects.

    Examples
    --------
    >>> names = ExportNames(namespace="shop", services={"api": Workload(kind="StatefulSet")})
    >>> names.workload("api").reference
    {'apiVersion': 'apps/v1', 'kind': 'StatefulSet', 'name': 'api'}
    >>> names.workload("web").namespace, names.workload("web").name
    ('shop', 'web')
    """

    namespace: Text = "default"
    """Namespace of every workload that names none."""
    services: dict[str, Workload] = Field(default_factory=dict)
    """Service to workload; a service that is not named here is a Deployment of its own name."""
    zones: tuple[Zone, ...] = ()
    """Availability zones to reserve in, such as ``us-east-1a``; a pool of fewer zones takes the
    first ones."""
    node_class: Text = "default"
    """Name of the EC2NodeClass that static node pools refer to; it stays the team's own."""
    instances: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    """Database to the identifiers of its instances, in the order of change: readers, then the
    writer; left out: the database's own name, with ``-1``, ``-2`` … where it has several."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        twice = sorted({zone for zone in self.zones if self.zones.count(zone) > 1})
        if twice:
            msg = f"zones name {', '.join(twice)} twice"
            raise ValueError(msg)
        return self

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, validated again."""
        return documents.validate(type(self), {**self.model_dump(), **changes}, where="names")

    def workload(self, service: str) -> Workload:
        """Return the workload of a service, with its name and namespace filled in."""
        known = self.services.get(service, Workload())
        return Workload(
            name=known.name or service,
            namespace=known.namespace or self.namespace,
            kind=known.kind,
        )


def is_dns_name(name: str) -> bool:
    """Return whether Kubernetes takes a name (RFC 1123 label: 63 of a-z, 0-9 and hyphens).

    Examples
    --------
    >>> is_dns_name("checkout-api"), is_dns_name("checkout_api")
    (True, False)
    """
    return _DNS_NAME.fullmatch(name) is not None


def check_known(names: ExportNames, *, services: list[str], databases: list[str]) -> None:
    """Refuse names of what the plan does not have, and workloads named twice.

    Raises
    ------
    InputError
        With every such name and the nearest known one.
    """
    problems = [
        _unknown(f"names.{field}", name, known)
        for field, given, known in (
            ("services", names.services, services),
            ("instances", names.instances, databases),
        )
        for name in given
        if name not in known
    ]
    users: dict[tuple[str, ...], list[str]] = {}
    for service in services:
        work = names.workload(service)
        users.setdefault((str(work.namespace), work.kind, str(work.name)), []).append(service)
    problems += [
        Problem(
            where="names.services",
            got=f"{' and '.join(both)} as {kind} {name} in {namespace}",
            expected="a workload of its own for each service",
            do="Two autoscalers of one workload fight: give each service its own name.",
        )
        for (namespace, kind, name), both in users.items()
        if len(both) > 1
    ]
    if problems:
        raise InputError(problems)


def _unknown(where: str, name: str, known: list[str]) -> Problem:
    close = nearest(name, known)
    return Problem(
        where=where,
        got=repr(name),
        expected=f"one of: {', '.join(known) or 'none'}",
        do=f'Did you mean "{close}"?' if close else "Choose one of these.",
    )

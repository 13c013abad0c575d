"""What exists, as declared: drivers, services, databases, externals, pools, limits and policy.

This module answers: who calls whom, where do limits sit, and what does the team's policy ask?
It holds no history and no money. Numbers in it are *declared* (``basis=assumed``); the word
``fit``, or leaving a field out, means "from history".
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from capmodel import callgraph, documents
from capmodel.errors import InputError
from capmodel.topology.databases import Database
from capmodel.topology.limits import DeclaredLimit
from capmodel.topology.policy import Policy
from capmodel.topology.pools import Pool
from capmodel.topology.problems import call_graph, problems_of
from capmodel.topology.services import Driver, External, Service
from capmodel.topology.spec import Calls, Spec

__all__ = ["Topology"]


class Topology(Spec):
    """The estate as declared.

    Examples
    --------
    >>> estate = Topology.model_validate(
    ...     {
    ...         "drivers": {"checkouts": {"today_per_min": 4800}},
    ...         "services": {"api": {"calls": {"checkouts": 4}}},
    ...     }
    ... )
    >>> estate.order
    ('checkouts', 'api')
    """

    drivers: dict[str, Driver] = Field(default_factory=dict)
    services: dict[str, Service] = Field(default_factory=dict)
    databases: dict[str, Database] = Field(default_factory=dict)
    externals: dict[str, External] = Field(default_factory=dict)
    pools: dict[str, Pool] = Field(default_factory=dict)
    limits: dict[str, DeclaredLimit] = Field(default_factory=dict)
    """Any other bound on requests, pods or nodes."""
    policy: Policy = Field(default_factory=Policy)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = problems_of(self)
        if problems:
            raise InputError(problems)
        return self

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a topology from a strict YAML file.

        Raises
        ------
        InputError
            For an unreadable file, an unknown field (with line and nearest known field), a name
            used twice, an unknown caller, a cycle (named), or a value that nothing would use.
        """
        return documents.read_model(cls, path)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with these fields changed, validated again."""
        return type(self).model_validate({**self.model_dump(by_alias=True), **changes})

    def calls_of(self, node: str) -> Calls:
        """Return what calls a node: caller to calls per caller unit."""
        for kind in (self.drivers, self.services, self.externals):
            if node in kind:
                return dict(kind[node].calls)
        return {}

    @cached_property
    def graph(self) -> dict[str, tuple[str, ...]]:
        """Each node's callers."""
        return call_graph(self)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Drivers, services and externals such that callers stand before the called."""
        return callgraph.ordered(self.graph)[0]

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """The nodes that nothing declared calls: what the forecast is made for."""
        return tuple(n for n in (*self.drivers, *self.services) if not self.calls_of(n))

    @cached_property
    def followers(self) -> dict[str, tuple[str, ...]]:
        """The nodes that something calls, each with the roots that it follows."""
        counts = callgraph.path_counts(self.graph)
        return {n: tuple(sorted(roots)) for n, roots in counts.items() if n not in roots}

    def tier_of(self, node: str) -> int:
        """Return a node's tier; databases, externals and pools take their strictest user's."""
        if node in self.services:
            return self.services[node].tier
        declared = self.databases.get(node) or self.externals.get(node) or self.limits.get(node)
        if declared is not None and declared.tier is not None:
            return declared.tier
        if node in self.databases:
            users: tuple[str, ...] = tuple(self.databases[node].used_by)
        elif node in self.externals:
            users = tuple(self.externals[node].calls)
        elif node in self.limits:
            users = self.users_of_limit(node)
        else:
            users = tuple(n for n, s in self.services.items() if s.pool == node)
        return min((self.tier_of(u) for u in users if u in self.services), default=1)

    def users_of_limit(self, name: str) -> tuple[str, ...]:
        """Return the drivers, services and externals whose load or pods fill a declared limit."""
        limit = self.limits[name]
        on_pools = (n for n, s in self.services.items() if s.pool in limit.per_node)
        return tuple(dict.fromkeys((*limit.per_request, *limit.per_pod, *on_pools)))

    def roots_of(self, node: str) -> tuple[str, ...]:
        """Return the roots from which calls lead to a node, sorted; a root's is itself."""
        part = callgraph.upstream(self.graph, node)
        return tuple(sorted(name for name, callers in part.items() if not callers))

    def edges_to(self, node: str) -> tuple[tuple[str, str], ...]:
        """Return every call (caller, called) on the way from the roots to a node, sorted."""
        part = callgraph.upstream(self.graph, node)
        return tuple(sorted((c, name) for name, callers in part.items() for c in callers))

    def paths_to(self, node: str) -> tuple[tuple[str, ...], ...]:
        """Return every path of calls from a root to a node, each root first.

        Paths multiply with every layer of calls; :meth:`paths_text` lists the first ones only.
        """
        return tuple(callgraph.paths_to(self.graph, node))

    def paths_text(self, node: str, *, root: str | None = None) -> str:
        """Return the paths to a node in words, at most 12 of them and how many more there are."""
        return callgraph.paths_text(self.graph, node, root=root)

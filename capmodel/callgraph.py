"""The call graph as names only: its order, its cycles, and the paths that lead through it.

This module answers: in which order can loads be carried down the calls, and which paths lead to a
node? Paths multiply with every layer of calls, so they are counted without being listed.

A graph maps each node to its callers; a node without callers is a root.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

__all__ = ["Graph", "ordered", "path_counts", "paths_text", "paths_to", "upstream"]

Graph = Mapping[str, tuple[str, ...]]

SHOWN_PATHS: Final = 12
"""Paths that a text lists; it counts the others."""


def ordered(graph: Graph) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (order, cycle): callers first, and the nodes of one cycle, () where there is none.

    Examples
    --------
    >>> ordered({"api": ("checkouts",), "checkouts": ()})
    (('checkouts', 'api'), ())
    >>> ordered({"a": ("b",), "b": ("a",)})
    ((), ('a', 'b', 'a'))
    """
    done: dict[str, None] = {}
    path: list[str] = []

    def visit(node: str) -> tuple[str, ...]:
        if node in done:
            return ()
        if node in path:
            return (*path[path.index(node) :], node)
        path.append(node)
        for caller in graph[node]:
            cycle = visit(caller)
            if cycle:
                return cycle
        path.pop()
        done[node] = None
        return ()

    for node in graph:
        cycle = visit(node)
        if cycle:
            return (), cycle
    return tuple(done), ()


def path_counts(graph: Graph) -> dict[str, dict[str, int]]:
    """Return how many paths lead to each node from each root.

    Examples
    --------
    >>> diamond = {"d": (), "a": ("d",), "b": ("d",), "c": ("a", "b")}
    >>> path_counts(diamond)["c"]
    {'d': 2}
    """
    counts: dict[str, dict[str, int]] = {}
    for node in ordered(graph)[0]:
        total: dict[str, int] = {} if graph[node] else {node: 1}
        for caller in graph[node]:
            for root, paths in counts[caller].items():
                total[root] = total.get(root, 0) + paths
        counts[node] = total
    return counts


def upstream(graph: Graph, node: str) -> dict[str, tuple[str, ...]]:
    """Return the part of the graph from which calls lead to a node, the node included."""
    part: dict[str, tuple[str, ...]] = {}
    open_nodes = [node]
    while open_nodes:
        name = open_nodes.pop()
        if name not in part:
            part[name] = graph[name]
            open_nodes += graph[name]
    return part


def paths_to(graph: Graph, node: str, *, root: str | None = None) -> Iterator[tuple[str, ...]]:
    """Yield the paths to a node, each root first; only those from `root` where one is named."""
    part = upstream(graph, node)
    counts = path_counts(part)

    def lead(name: str) -> Iterator[tuple[str, ...]]:
        if not part[name]:
            yield (name,)
        for caller in part[name]:
            if root is None or root in counts[caller]:
                yield from ((*path, name) for path in lead(caller))

    if root is None or root in counts[node]:
        yield from lead(node)


def paths_text(graph: Graph, node: str, *, root: str | None = None) -> str:
    """Return the paths to a node in words: at most 12, and how many more there are.

    Examples
    --------
    >>> paths_text({"d": (), "a": ("d",), "b": ("d",), "c": ("a", "b")}, "c")
    'd > a > c; d > b > c'
    """
    shown = [" > ".join(path) for path in islice(paths_to(graph, node, root=root), SHOWN_PATHS)]
    counts = path_counts(upstream(graph, node))[node]
    more = (sum(counts.values()) if root is None else counts.get(root, 0)) - len(shown)
    return "; ".join([*shown, *([f"and {more:,} more"] if more else [])])

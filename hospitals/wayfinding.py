"""The quickest way between two places of a hospital's map, before words.

Pure: no Django, no I/O. hospitals.map_graph makes the graph, hospitals.directions the words.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from itertools import pairwise
from typing import Any

import networkx

from hospitals.exceptions import NoRoute, UnknownPlace
from hospitals.map_features import Point
from hospitals.map_graph import Bar, Node, Place, Plan, said

UNCOVERED_PENALTY = 4.0


@dataclass(frozen=True, slots=True)
class Leg:
    """The part of the way on one floor."""

    building: str
    floor: int
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Crossing:
    """From one leg to the next. ``kind``: lift | stairs | escalator | enter | leave; ``name`` of the lift, of the door."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Path:
    """The way itself, before words: ``crossings[n]`` leads from ``legs[n]`` to ``legs[n + 1]``.

    ``closed``: what a quicker way would have used and is closed now; ``instead``: the lift, stairs or door taken for it.
    """

    start: Place
    goal: Place
    legs: tuple[Leg, ...]
    crossings: tuple[Crossing, ...]
    total_m: float
    seconds: float
    uncovered_m: float = 0.0
    closed: tuple[Bar, ...] = ()
    instead: str = ""


def find(plan: Plan, code: str) -> Place:
    """Raises ``UnknownPlace``."""
    place = plan.places.get(code)
    if place is None:
        raise UnknownPlace
    return place


def shortest(
    plan: Plan, start: str, goal: str, *, lift_only: bool = False, covered: bool = False, at: time | None = None
) -> Path:
    """The quickest way between two codes. ``covered`` prefers ways under a roof; ``at``: what is closed then is not used.

    Raises ``UnknownPlace``, ``NoRoute``; where only closed hours are in the way, its detail names what is closed.
    """
    begin, end = find(plan, start), find(plan, goal)
    edges = _edges(plan, begin, end, lift_only, covered, None)
    if edges is None:
        raise NoRoute
    bars = tuple(dict.fromkeys(bar for edge in edges for bar in edge["bars"] if bar.closes(at)))
    if not bars or at is None:
        return _path(begin, end, edges)
    open_now = _edges(plan, begin, end, lift_only, covered, at)
    if open_now is None:
        raise NoRoute(f"{said(bars, at)},现在没有别的路可走。请换一个入口试试,或问问导诊台。")
    usual = {edge["name"] for edge in edges if "name" in edge}
    others = [edge for edge in open_now if edge.get("name", "") not in (*usual, "")]
    others.sort(key=lambda edge: edge["kind"] != bars[0].kind)  # the other lift rather than the door on the way to it
    return _path(begin, end, open_now, closed=bars, instead=others[0]["name"] if others else "")


def _edges(
    plan: Plan, begin: Place, end: Place, lift_only: bool, covered: bool, at: time | None
) -> list[dict[str, Any]] | None:
    """The edges walked, each with its ends ``a`` and ``b``; None where there is no way."""

    def cost(edge: dict[str, Any]) -> float:
        if lift_only and edge["kind"] in ("stairs", "escalator"):
            return math.inf
        if edge["bars"] and at is not None and any(bar.closes(at) for bar in edge["bars"]):
            return math.inf
        return float(edge["s"]) * (UNCOVERED_PENALTY if covered and not edge["covered"] else 1.0)

    def weight(_a: Node, _b: Node, edges: dict[Any, dict[str, Any]]) -> float | None:
        best = min(map(cost, edges.values()))
        return None if best == math.inf else best

    try:
        nodes: list[Node] = networkx.shortest_path(plan.graph, begin.node, end.node, weight=weight)
    except networkx.NetworkXNoPath:
        return None
    walked = []
    for a, b in pairwise(nodes):
        parallel: list[dict[str, Any]] = list(plan.graph[a][b].values())
        walked.append(min(parallel, key=cost) | {"a": a, "b": b})
    return walked


def _path(
    begin: Place, end: Place, edges: list[dict[str, Any]], closed: tuple[Bar, ...] = (), instead: str = ""
) -> Path:
    return Path(
        start=begin,
        goal=end,
        legs=tuple(_legs([begin.node, *(edge["b"] for edge in edges)])),
        crossings=tuple(Crossing(e["kind"], e["name"]) for e in edges if e["a"][:2] != e["b"][:2]),
        total_m=round(sum((edge["m"] for edge in edges), 0.0), 1),
        seconds=sum(edge["s"] for edge in edges),
        uncovered_m=round(sum((edge["m"] for edge in edges if not edge["covered"]), 0.0), 1),
        closed=closed,
        instead=instead,
    )


def _legs(nodes: list[Node]) -> Iterator[Leg]:
    level = nodes[0][:2]
    points: list[Point] = []
    for node in nodes:
        if node[:2] != level:
            yield Leg(level[0], level[1], tuple(points))
            level, points = node[:2], []
        points.append(node[2:])
    yield Leg(level[0], level[1], tuple(points))

"""Indoor maps to draw in tests: the example of the pages, and features by hand."""

import json
import re
from pathlib import Path as File
from typing import Any

from hospitals.map_features import KINDS

DOCS = File(__file__).resolve().parents[2] / "docs"
PAGES = ("maps.md", "maps.zh.md")
Map = dict[str, Any]


def example(page: str = PAGES[0]) -> Map:
    """The map that the page shows, to the letter."""
    found = re.findall(r'```json\n(\{"type".*?)```', (DOCS / page).read_text(encoding="utf-8"), re.S)
    assert len(found) == 1
    read: Map = json.loads(found[0])
    return read


def index_of(drawn: Map, **wanted: Any) -> int:
    return next(n for n, f in enumerate(drawn["features"]) if wanted.items() <= f["properties"].items())


def changed(drawn: Map, which: dict[str, Any], **properties: Any) -> int:
    index = index_of(drawn, **which)
    drawn["features"][index]["properties"] |= properties
    return index


def feature(kind: str, coordinates: Any, **properties: Any) -> Map:
    geometry = {"type": KINDS[kind].geometry, "coordinates": coordinates}
    return {"type": "Feature", "properties": {"kind": kind, **properties}, "geometry": geometry}

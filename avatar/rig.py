"""A rig: one avatar's portrait, its mouth and eye states, and how its head may move; kept as a folder with a ``rig.json``.

Two kinds stand behind one type. An ``atlas`` (made from a 3D head) has a picture for every state. A ``mesh`` (made from a
photograph) has ``mesh.npz`` instead, from which its renderer draws the same grid of states.

The axes of a mouth state: ``jaw`` 0 shut .. 1 an open *a*; ``width`` -1 narrow .. 1 spread as in *i*; ``round`` 0 .. 1 pursed as
in *u*; ``press`` 0 .. 1 lips pressed as in *b p m*; ``tongue`` 0 .. 1 tip behind the upper teeth as in *l n d t*; ``roll`` 0 .. 1
lower lip under the upper teeth as in *f*. Ids are unique over mouth and eyes together.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from avatar.exceptions import RigError
from avatar.timeline import MOODS

Box = tuple[int, int, int, int]

KINDS = ("atlas", "mesh")
MESH_FILE = "mesh.npz"


@dataclass(frozen=True, slots=True)
class MouthState:
    """One mouth. ``file``: its patch, relative to the rig's folder; empty where the renderer draws it."""

    id: int
    jaw: float = 0.0
    width: float = 0.0
    round: float = 0.0
    press: float = 0.0
    tongue: float = 0.0
    roll: float = 0.0
    mood: str = "neutral"
    file: str = ""


@dataclass(frozen=True, slots=True)
class EyeState:
    """One pair of eyes with its brows. ``blink``: 0 open .. 1 shut."""

    id: int
    blink: float = 0.0
    mood: str = "neutral"
    file: str = ""


@dataclass(frozen=True, slots=True)
class Rig:
    """``version`` names exactly these pictures: it changes with any byte of the folder that a client may have kept."""

    name: str
    kind: str
    size_px: tuple[int, int]
    portrait: str
    mouth_box_px: Box
    mouth_states: tuple[MouthState, ...]
    eyes_box_px: Box
    eye_states: tuple[EyeState, ...]
    pivot_px: tuple[float, float]
    mask: str
    origin: str
    folder: Path
    version: str = ""

    @classmethod
    def load(cls, folder: Path) -> "Rig":
        """Read ``folder/rig.json``. Raises RigError (code ``rig_broken``) where it, or a file it names, cannot be used."""
        try:
            text = (folder / "rig.json").read_text(encoding="utf-8")
            value = json.loads(text)
            rig = cls(
                name=str(value["name"]),
                kind=str(value["kind"]),
                size_px=_pair(value["size_px"]),
                portrait=str(value["portrait"]),
                mouth_box_px=_box(value["mouth"]["box_px"]),
                mouth_states=tuple(MouthState(**_known(MouthState, state)) for state in value["mouth"]["states"]),
                eyes_box_px=_box(value["eyes"]["box_px"]),
                eye_states=tuple(EyeState(**_known(EyeState, state)) for state in value["eyes"]["states"]),
                pivot_px=(float(value["head"]["pivot_px"][0]), float(value["head"]["pivot_px"][1])),
                mask=str(value["head"]["mask"]),
                origin=str(value.get("origin", "")),
                folder=folder,
                version=_digest(folder, value),
            )
        except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
            raise RigError(f"{folder.name}/rig.json cannot be used: {error}", code="rig_broken") from error
        rig._check()
        return rig

    def save(self, folder: Path) -> "Rig":
        """Write ``folder/rig.json`` beside the pictures (the caller has put them there) and return the rig as loaded."""
        value = {
            "name": self.name,
            "kind": self.kind,
            "size_px": list(self.size_px),
            "portrait": self.portrait,
            "mouth": {"box_px": list(self.mouth_box_px), "states": [asdict(state) for state in self.mouth_states]},
            "eyes": {"box_px": list(self.eyes_box_px), "states": [asdict(state) for state in self.eye_states]},
            "head": {"pivot_px": list(self.pivot_px), "mask": self.mask},
            "origin": self.origin,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rig.json").write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        return Rig.load(folder)

    def files(self) -> tuple[str, ...]:
        """Every file that belongs to the rig, relative to its folder."""
        mouths = (state.file for state in self.mouth_states if state.file)
        eyes = (state.file for state in self.eye_states if state.file)
        return (self.portrait, self.mask, *mouths, *eyes, *([MESH_FILE] if self.kind == "mesh" else []))

    def _check(self) -> None:
        def broken(why: str) -> RigError:
            return RigError(f"{self.folder.name}/rig.json cannot be used: {why}", code="rig_broken")

        if self.kind not in KINDS:
            raise broken(f"kind is one of {', '.join(KINDS)}")
        ids = [state.id for state in self.mouth_states] + [state.id for state in self.eye_states]
        if len(set(ids)) != len(ids):
            raise broken("a state's id occurs twice")
        for states in (self.mouth_states, self.eye_states):
            if not any(state.mood == "neutral" for state in states):
                raise broken("mouth and eyes each need a neutral state")
            if any(state.mood not in MOODS for state in states):
                raise broken(f"moods are {', '.join(MOODS)}")
        width, height = self.size_px
        for x, y, w, h in (self.mouth_box_px, self.eyes_box_px):
            if min(x, y) < 0 or min(w, h) < 1 or x + w > width or y + h > height:
                raise broken("a box lies outside the portrait")
        for file in self.files():
            path = (self.folder / file).resolve()
            if not path.is_relative_to(self.folder.resolve()):
                raise broken("a file lies outside the folder")
            if not path.is_file():
                raise broken(f"{file} is missing")


def _known(kind: type, value: Mapping[str, Any]) -> dict[str, Any]:
    """Only the fields we know: an atlas may carry more than this version reads."""
    return {field.name: value[field.name] for field in fields(kind) if field.name in value}


def _pair(value: Any) -> tuple[int, int]:
    first, second = (int(part) for part in value)
    return first, second


def _box(value: Any) -> Box:
    x, y, w, h = (int(part) for part in value)
    return x, y, w, h


def _digest(folder: Path, value: dict[str, Any]) -> str:
    """Twelve hex digits over the description and every picture's bytes."""
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode())
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
        if not name.endswith("rig.json"):
            digest.update(name.encode())
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:12]

"""Measure the atlas with MediaPipe FaceMesh and lay its pictures out on a contact sheet.

    python -m avatar.art.measure avatar/assets/xiaolan /tmp/contact.png

Runs in the project's environment. Prints one JSON line: rest and extremes as the lips are judged elsewhere (gap between the
inner lips over the mouth's width; width over the resting width).
"""

import argparse
import json
import logging
from pathlib import Path

import cv2
import mediapipe
import numpy as np
import numpy.typing as npt

log = logging.getLogger("measure")

Picture = npt.NDArray[np.uint8]
UPPER_INNER, LOWER_INNER, LEFT_CORNER, RIGHT_CORNER = 13, 14, 61, 291


def composed(folder: Path, portrait: Picture, box: list[int], file: str) -> Picture:
    """The portrait with one patch laid on it."""
    x, y, width, height = box
    picture = portrait.copy()
    picture[y : y + height, x : x + width] = cv2.imread(str(folder / file))
    return picture


class Ruler:
    """Finds the lips in a picture."""

    def __init__(self) -> None:
        self._mesh = mediapipe.solutions.face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.3
        )

    def lips(self, picture: Picture) -> tuple[float, float] | None:
        """Gap between the inner lips and width of the mouth, in pixels; None where no face is found."""
        found = self._mesh.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).multi_face_landmarks
        if not found:
            return None
        height, width = picture.shape[:2]
        at = np.array([[p.x * width, p.y * height] for p in found[0].landmark])
        gap = float(np.linalg.norm(at[UPPER_INNER] - at[LOWER_INNER]))
        return gap, float(np.linalg.norm(at[LEFT_CORNER] - at[RIGHT_CORNER]))


def sheet(folder: Path, portrait: Picture, rig: dict, labels: dict[int, str]) -> Picture:
    """Every patch of the rig in rows of twelve, its numbers beneath it."""
    tiles = []
    for part in ("mouth", "eyes"):
        for state in rig[part]["states"]:
            tile = cv2.imread(str(folder / state["file"]))
            tile = cv2.resize(tile, (160, int(160 * tile.shape[0] / tile.shape[1])), interpolation=cv2.INTER_AREA)
            framed = np.full((190, 164, 3), 255, np.uint8)
            framed[2 : 2 + tile.shape[0], 2:162] = tile
            shape = " ".join(f"{k[0]}{v:g}" for k, v in state.items() if k not in ("id", "file", "mood") and v)
            cv2.putText(framed, f"{state['mood'][0]} {shape}", (3, 174), 0, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
            cv2.putText(framed, labels.get(state["id"], ""), (3, 187), 0, 0.36, (160, 0, 0), 1, cv2.LINE_AA)
            tiles.append(framed)
    while len(tiles) % 12:
        tiles.append(np.full_like(tiles[0], 255))
    rows = [np.hstack(tiles[k : k + 12]) for k in range(0, len(tiles), 12)]
    head = np.full((520, rows[0].shape[1], 3), 255, np.uint8)
    head[4:516, 4:516] = portrait
    return np.vstack([head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("sheet", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder: Path = arguments.folder
    rig = json.loads((folder / "rig.json").read_text())
    portrait = cv2.imread(str(folder / rig["portrait"]))
    ruler = Ruler()
    resting = ruler.lips(portrait)
    if resting is None:
        log.info("no face found in the portrait")
        return
    labels, rows = {}, []
    for state in rig["mouth"]["states"]:
        measured = ruler.lips(composed(folder, portrait, rig["mouth"]["box_px"], state["file"]))
        if measured is None:
            labels[state["id"]] = "NO FACE"
            continue
        gap, width = measured[0] / measured[1], measured[1] / resting[1]
        labels[state["id"]] = f"gap {gap:.3f} width {width:.2f}"
        rows.append((state, gap, width))
    cv2.imwrite(str(arguments.sheet), sheet(folder, portrait, rig, labels))

    def of(values: list[float]) -> dict[str, float] | None:
        return {"min": round(min(values), 3), "max": round(max(values), 3)} if values else None

    report = {
        "mouths": len(rig["mouth"]["states"]),
        "eyes": len(rig["eyes"]["states"]),
        "face_found": len(rows),
        "mouth_width_px": round(resting[1], 1),
        "rest_gap": round(resting[0] / resting[1], 4),
        "pressed_gap": of([gap for s, gap, _ in rows if s["press"] == 1]),
        "round_1_width": of([width for s, _, width in rows if s["round"] == 1 and s["mood"] == "neutral"]),
        "spread_1_width": of([w for s, _, w in rows if s["width"] == 1 and s["jaw"] <= 0.5 and s["mood"] == "neutral"]),
        "jaw_1_gap": of([gap for s, gap, _ in rows if s["jaw"] == 1 and not s["round"] and s["mood"] == "neutral"]),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    }
    log.info("%s", json.dumps(report))


if __name__ == "__main__":
    main()

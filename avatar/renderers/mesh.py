"""Renderer of a rig from a photograph: a state's field bends the photograph, the mouth's inside shows through the opening."""

import cv2
import numpy as np

from avatar.encoders import Image, jpeg
from avatar.interior import Floats, show
from avatar.photograph import Mesh
from avatar.renderers.indexed import IndexedRenderer
from avatar.rig import MESH_FILE, MouthState, Rig

# Below this the lips touch and nothing of the inside is to be seen, in px.
SHUT_PX = 0.8


def draw(mesh: Mesh, number: int, inside: Floats | None) -> Image:
    """State ``number`` of the mesh, with what is ``inside`` its mouth: BGR uint8, shape (h, w, 3) of the box."""
    image = cv2.remap(
        mesh.source, mesh.whole[number], mesh.parts[number], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    opening = mesh.openings[number]
    half = len(opening) // 2
    gap = float((opening[half:][::-1, 1] - opening[:half, 1]).max())
    if gap > SHUT_PX and inside is not None:
        show(image, inside, opening, float(mesh.measures[0]))
    elif not mesh.closed:
        # The photograph smiles with its teeth: closed lips need the line between them, which it does not have.
        line = (opening[:half] + opening[half:][::-1]) / 2
        shade = np.zeros(image.shape[:2], np.uint8)
        cv2.polylines(shade, [np.round(line * 16).astype(np.int32)], False, 255, 2, cv2.LINE_AA, 4)
        cover = cv2.GaussianBlur(shade, (0, 0), 0.7).astype(np.float32)[..., None] / 255.0
        image = (image * (1 - cover) + mesh.tones[1] * 0.45 * cover).astype(np.uint8)
    return np.asarray(image, np.uint8)


def _view(state: MouthState) -> tuple[float, ...]:
    return state.jaw, state.tongue, state.round


class MeshRenderer(IndexedRenderer):
    """Draws a patch when it is first asked for (less than half a millisecond) and leaves keeping it to its callers."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig)
        self._mesh = Mesh.load(rig.folder / MESH_FILE)
        interior = self._mesh.interior(self.mouth_box)
        views: dict[tuple[float, ...], Floats] = {}
        for state in rig.mouth_states:
            if _view(state) not in views:
                views[_view(state)] = interior.at(state)
        self._mouths = {state.id: (number, views[_view(state)]) for number, state in enumerate(rig.mouth_states)}

    def patch(self, state_id: int) -> bytes:
        number, inside = self._mouths[state_id]
        return jpeg(draw(self._mesh, number, inside))

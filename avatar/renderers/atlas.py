"""Renderer of a rig from a 3D head: every state is a picture already, read from the folder once."""

import numpy as np
import numpy.typing as npt

from avatar.renderers.base import Values
from avatar.renderers.lookup import Lookup
from avatar.rig import Rig


class AtlasRenderer:
    """Needs memory for the patches once (about 2 MB) and microseconds a frame."""

    indexed = True

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.version = rig.version
        self.mouth_box = rig.mouth_box_px
        self.eyes_box = rig.eyes_box_px
        self._lookup = Lookup.over(rig.mouth_states, rig.eye_states)
        self._mouths = {state.id: (rig.folder / state.file).read_bytes() for state in rig.mouth_states}
        self._eyes = {state.id: (rig.folder / state.file).read_bytes() for state in rig.eye_states}

    def state_of(self, values: Values, mood: str) -> int:
        return int(self._lookup.mouths(values[None, :], mood)[0])

    def states_of(self, values: Values, mood: str) -> npt.NDArray[np.int32]:
        return self._lookup.mouths(values, mood)

    def patch(self, state_id: int) -> bytes:
        return self._mouths[state_id]

    def eye_state(self, blink: float, mood: str) -> int:
        return self._lookup.eye(blink, mood)

    def eye_patch(self, state_id: int) -> bytes:
        return self._eyes[state_id]

    def render(self, values: Values, mood: str) -> bytes:
        return self._mouths[self.state_of(values, mood)]

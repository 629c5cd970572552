"""What renderers have in common whose patches are named: the nearest state is looked up, the eyes are pictures read once."""

import numpy as np
import numpy.typing as npt

from avatar.renderers.base import Values
from avatar.renderers.lookup import Lookup
from avatar.rig import Rig


class IndexedRenderer:
    """``avatar.renderers.base.Renderer`` but for ``patch``."""

    indexed = True

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.version = rig.version
        self.mouth_box = rig.mouth_box_px
        self.eyes_box = rig.eyes_box_px
        self._lookup = Lookup.over(rig.mouth_states, rig.eye_states)
        self._eyes = {state.id: (rig.folder / state.file).read_bytes() for state in rig.eye_states}

    def state_of(self, values: Values, mood: str) -> int:
        return int(self._lookup.mouths(values[None, :], mood)[0])

    def states_of(self, values: Values, mood: str) -> npt.NDArray[np.int32]:
        return self._lookup.mouths(values, mood)

    def patch(self, state_id: int) -> bytes:
        raise NotImplementedError

    def eye_state(self, blink: float, mood: str) -> int:
        return self._lookup.eye(blink, mood)

    def eye_patch(self, state_id: int) -> bytes:
        return self._eyes[state_id]

    def render(self, values: Values, mood: str) -> bytes:
        return self.patch(self.state_of(values, mood))

"""Renderer of a rig from a 3D head: every state is a picture already, read from the folder once."""

from avatar.renderers.indexed import IndexedRenderer
from avatar.rig import Rig


class AtlasRenderer(IndexedRenderer):
    """Needs memory for the patches once (about 2 MB) and microseconds a frame."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(rig)
        self._mouths = {state.id: (rig.folder / state.file).read_bytes() for state in rig.mouth_states}

    def patch(self, state_id: int) -> bytes:
        return self._mouths[state_id]

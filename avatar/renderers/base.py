"""What a renderer is: a rig that turns blendshapes into mouth patches, and blinks into eye patches."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from avatar.rig import Box, Rig

Values = npt.NDArray[np.float32]


class Renderer(Protocol):
    """``indexed``: patches recur and are named by a state id, so that a client keeps them. Else every frame is ``render``ed.

    Patches are JPEGs of a box's pixels whose edges fade into the portrait: pasting the rectangle shows no seam. They do not
    depend on the head's movement, which is applied to portrait and patches together.
    """

    rig: Rig
    version: str
    indexed: bool
    mouth_box: Box
    eyes_box: Box

    def state_of(self, values: Values, mood: str) -> int:
        """``values``: float32, shape (len(BLENDSHAPES),), each 0..1 -> the id of the mouth state nearest to the eye."""

    def states_of(self, values: Values, mood: str) -> npt.NDArray[np.int32]:
        """``values``: float32, shape (n, len(BLENDSHAPES)) -> int32, shape (n,)."""

    def patch(self, state_id: int) -> bytes:
        """The mouth's JPEG. Raises KeyError for an id that is no mouth state."""

    def eye_state(self, blink: float, mood: str) -> int:
        """``blink``: 0 open .. 1 shut -> the id of the nearest eye state."""

    def eye_patch(self, state_id: int) -> bytes:
        """The eyes' JPEG. Raises KeyError for an id that is no eye state."""

    def render(self, values: Values, mood: str) -> bytes:
        """One mouth as it is, not rounded to a state where the renderer can draw between them."""

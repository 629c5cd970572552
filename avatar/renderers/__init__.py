"""Renderers by avatar name: built-in avatars from avatar/assets first, then those built into the data folder."""

import functools
import re
from pathlib import Path

from django.conf import settings

from avatar.exceptions import AvatarNotFound
from avatar.renderers.atlas import AtlasRenderer
from avatar.renderers.base import Renderer
from avatar.rig import Rig

ASSETS = Path(__file__).resolve().parent.parent / "assets"
# A name is a folder's name and a part of an address: nothing in it may climb out of either.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def custom_folder() -> Path:
    """Where avatars that are built here are kept."""
    return Path(settings.DATA_DIR) / "avatars"


def rig_folder(name: str) -> Path:
    """The folder of the avatar ``name``. Raises AvatarNotFound."""
    if NAME.fullmatch(name):
        for home in (ASSETS, custom_folder()):
            if (home / name / "rig.json").is_file():
                return home / name
    raise AvatarNotFound


def installed(name: str) -> bool:
    """Whether there is an avatar of this name here."""
    try:
        return bool(rig_folder(name))
    except AvatarNotFound:
        return False


def get_renderer(name: str) -> Renderer:
    """The renderer of the avatar ``name``, one instance a process until its rig is built anew. Raises AvatarNotFound, RigError."""
    folder = rig_folder(name)
    return _renderer(folder, (folder / "rig.json").stat().st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _renderer(folder: Path, built_ns: int) -> Renderer:
    rig = Rig.load(folder)
    if rig.kind == "mesh":
        # Here, because it brings scipy: 0.8 s that a process without such an avatar keeps.
        from avatar.renderers.mesh import MeshRenderer

        return MeshRenderer(rig)
    return AtlasRenderer(rig)

"""The Blender scene of the portrait: the head, what grows on it, what she wears, the light and the camera."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Vector

from avatar.art import face, garment, materials, strands, teeth
from avatar.art.head import Head, Points

FIELD_DM = 2.55
CENTRE_Y = 5.575
DISTANCE_DM = 16.0
LOWEST_Y = 3.2
# Where the tip of the tongue meets the upper teeth (dm).
TONGUE_TIP_Y = 5.14


def to_blender(points: Points) -> Points:
    """Mesh axes (y up, z to the viewer) -> Blender's (z up, y away from the viewer)."""
    turned: Points = np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)
    return turned


class Stage:
    """A posed portrait. ``pose`` bends the face; ``render`` shoots it, whole or a box of it."""

    def __init__(self, folder: Path, samples: int, size: int = 512) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self._size = size
        self.head = Head(folder, face.SHAPE)
        self.head.rest = face.proportioned(self.head)
        self._meshes: dict[str, Any] = {}
        self._used: dict[str, Any] = {}
        self._body()
        self._eyes(folder)
        self._mouth_parts()
        body = self.head.surfaces["body"]
        skull = strands.Skull(self.head.rest, body)
        self._curves("hair", strands.hair(skull), 0.0019, materials.hair("hair", 1.0, 0.30))
        self._brows = strands.brows(self.head.rest, body)
        dark = materials.plain("brow", (0.035, 0.022, 0.017), 0.7)
        self._curves("brows", self._brows.at(self.head.rest), 0.00095, dark)
        self._curves(
            "lashes",
            strands.lashes(self.head, self.head.rest),
            0.0018,
            materials.plain("lash", (0.008, 0.006, 0.005), 0.5),
        )
        self._clothes()
        self._light()
        self._camera()
        self._quality(samples)

    def _object(self, name: str, points: Points, faces: list[Any], material: Any, levels: int) -> Any:
        mesh = bpy.data.meshes.new(name)
        mesh.from_pydata(to_blender(points).tolist(), [], [list(f) for f in faces])
        mesh.polygons.foreach_set("use_smooth", [True] * len(faces))
        mesh.materials.append(material)
        thing = bpy.data.objects.new(name, mesh)
        self.scene.collection.objects.link(thing)
        if levels:
            subdivision = thing.modifiers.new("subdivision", "SUBSURF")
            subdivision.levels = subdivision.render_levels = levels
        self._meshes[name] = mesh
        return thing

    def _part(self, name: str, faces: list[Any], material: Any, levels: int = 1) -> Any:
        """An object made of some of the head's own faces; remembers which vertices it shows."""
        used = np.unique(np.concatenate([np.asarray(f) for f in faces]))
        number = {int(vertex): index for index, vertex in enumerate(used)}
        self._used[name] = used
        local = [[number[v] for v in f] for f in faces]
        return self._object(name, self.head.rest[used], local, material, levels)

    def _body(self) -> None:
        head = self.head
        faces = [f for f in head.surfaces["body"].faces if head.rest[list(f), 1].min() > LOWEST_Y]
        thing = self._part("body", faces, materials.skin(face.lip_picture(head)), levels=2)
        self._cavity = face.cavity_squeeze(head)
        self._lower_lip = face.lower_lip(head)
        thing.data.materials.append(materials.plain("cavity", (0.20, 0.035, 0.032), 0.45))
        deep = face.mouth_inside(head, 1.2)
        index = np.array([int(all(deep[v] for v in f)) for f in faces], dtype=np.int32)
        thing.data.polygons.foreach_set("material_index", index)
        used = self._used["body"]
        colour = np.concatenate([face.tone(head)[used], np.ones((len(used), 1))], axis=1)
        thing.data.attributes.new("tone", "FLOAT_COLOR", "POINT").data.foreach_set("color", colour.ravel())
        rest = to_blender(head.rest[used])
        thing.data.attributes.new("rest", "FLOAT_VECTOR", "POINT").data.foreach_set("vector", rest.ravel())

    def _eyes(self, folder: Path) -> None:
        surface = self.head.eye_surface
        points = self.head.eyes()
        sizes = np.array([len(f) for f in surface.faces])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        uvs = np.array(surface.uvs)
        middle = np.add.reduceat(uvs, starts) / sizes[:, None]
        clear = (middle[:, 0] > 0.86) & (middle[:, 1] < 0.14)
        corners = np.repeat(clear, sizes)
        for name, chosen, material in (
            ("eyeball", ~clear, materials.eyeball(folder / "eyes" / "materials" / "brown_eye.png")),
            ("cornea", clear, materials.cornea()),
        ):
            faces = [f for f, c in zip(surface.faces, chosen, strict=True) if c]
            thing = self._object(name, points, faces, material, 2 if name == "cornea" else 1)
            layer = thing.data.uv_layers.new()
            layer.data.foreach_set("uv", uvs[corners if name == "cornea" else ~corners].ravel())

        shine = materials.glowing("glint", 3.2)
        for number, glint in enumerate(face.glints(points)):
            self._object(f"glint{number}", glint[0], glint[1], shine, 0)

    def _mouth_parts(self) -> None:
        head = self.head
        upper = head.rest[head.surfaces["helper-upper-teeth"].vertices]
        lower = head.rest[head.surfaces["helper-lower-teeth"].vertices]
        enamel = materials.plain("enamel", (0.80, 0.755, 0.665), 0.16, 0.35)
        gum = materials.plain("gum", (0.50, 0.17, 0.16), 0.3, 0.4)
        self._jaw: dict[str, Points] = {}
        for side, group, sizes, edge, up in (
            ("upper", "helper-upper-teeth", teeth.UPPER, upper[:, 1].min() - 0.035, False),
            ("lower", "helper-lower-teeth", teeth.LOWER, lower[:, 1].max() - 0.075, True),
        ):
            crowns, gums = teeth.row(head, group, sizes, float(edge), up)
            for name, part, material in ((f"{side}-teeth", crowns, enamel), (f"{side}-gum", gums, gum)):
                self._object(name, part[0], part[1], material, 1)
                if up:
                    self._jaw[name] = part[0]
        tongue = head.surfaces["helper-tongue"]
        self._part("tongue", list(tongue.faces), materials.plain("tongue", (0.55, 0.18, 0.17), 0.32, 0.5))

    def _curves(self, name: str, bundle: Points, radius: float, material: Any) -> None:
        number, count = bundle.shape[:2]
        data = bpy.data.hair_curves.new(name)
        data.add_curves([count] * number)
        data.attributes["position"].data.foreach_set("vector", to_blender(bundle).astype(np.float32).ravel())
        taper = radius * (1 - np.linspace(0, 1, count) ** 3 * 0.85)
        widths = np.tile(taper, number).astype(np.float32)
        data.attributes.new("radius", "FLOAT", "POINT").data.foreach_set("value", widths)
        data.materials.append(material)
        self.scene.collection.objects.link(bpy.data.objects.new(name, data))
        self._meshes[name] = data

    def _clothes(self) -> None:
        body = garment.Body(self.head)
        blouse = materials.cloth("blouse", (0.36, 0.56, 0.74))
        coat = materials.cloth("coat", (0.86, 0.87, 0.88))
        blouse_collar = garment.collar(
            body, base=(4.44, 4.74, 4.86), stand=0.12, fall=(0.24, 0.32), slack=(0.025, 0.05), gap=0.16
        )
        for name, piece, material, thickness in (
            ("blouse", garment.shell(self.head, body, 0.035, -0.2, 3.0), blouse, 0.02),
            ("collar", blouse_collar, blouse, 0.018),
            ("coat", garment.shell(self.head, body, 0.075, 0.42, 3.0), coat, 0.03),
            *((f"lapel{k}", piece, coat, 0.03) for k, piece in enumerate(garment.lapels(body, 0.09))),
        ):
            thing = self._object(name, piece[0], piece[1], material, 0)
            solid = thing.modifiers.new("thickness", "SOLIDIFY")
            solid.thickness, solid.offset = thickness, 1.0
            smooth = thing.modifiers.new("subdivision", "SUBSURF")
            smooth.levels = smooth.render_levels = 1

    def _light(self) -> None:
        lit = bpy.data.collections.new("lit")
        for thing in self.scene.collection.objects:
            if thing.name != "cornea":
                lit.objects.link(thing)
        for name, place, watts, size, colour in (
            ("key", (-4.2, -7.5, 8.6), 720, 3.6, (1.0, 0.955, 0.90)),
            ("fill", (5.5, -7.0, 5.8), 120, 6.0, (0.90, 0.96, 1.0)),
            ("rim", (4.0, 5.0, 8.5), 200, 2.5, (0.95, 0.98, 1.0)),
            ("rim2", (-4.5, 5.0, 7.5), 120, 2.5, (1.0, 0.97, 0.93)),
            ("chest", (0.0, -6.0, 1.5), 60, 4.0, (1.0, 0.97, 0.95)),
        ):
            lamp = bpy.data.lights.new(name, "AREA")
            lamp.energy, lamp.size, lamp.color = watts, size, colour
            thing = bpy.data.objects.new(name, lamp)
            thing.location = place
            aim = Vector((0, -1.0, 5.6)) - Vector(place)
            thing.rotation_euler = aim.to_track_quat("-Z", "Y").to_euler()
            self.scene.collection.objects.link(thing)
            # Over the eye a lamp would be a grey veil; the cornea has its painted glint instead.
            thing.light_linking.receiver_collection = lit
        world = bpy.data.worlds.new("room")
        world.use_nodes = True
        background = world.node_tree.nodes["Background"]
        background.inputs[0].default_value = (0.93, 0.97, 1.0, 1)
        background.inputs[1].default_value = 0.28
        self.scene.world = world

    def _camera(self) -> None:
        lens = bpy.data.cameras.new("camera")
        lens.sensor_width = 36.0
        lens.lens = 36.0 * (DISTANCE_DM - 1.3) / FIELD_DM
        thing = bpy.data.objects.new("camera", lens)
        thing.location = (0, -DISTANCE_DM, 5.75)
        thing.rotation_euler = (np.pi / 2, 0, 0)
        lens.shift_y = (CENTRE_Y - 5.75) / FIELD_DM
        self.scene.collection.objects.link(thing)
        self.scene.camera = thing

    def _quality(self, samples: int) -> None:
        scene = self.scene
        scene.render.engine = "CYCLES"
        scene.cycles.samples = samples
        scene.cycles.seed = 5
        scene.cycles.use_denoising = True
        scene.cycles.denoiser = "OPENIMAGEDENOISE"
        scene.cycles.denoising_prefilter = "FAST"
        scene.cycles.max_bounces = 3
        scene.cycles.transparent_max_bounces = 12
        scene.render.use_persistent_data = True
        scene.render.film_transparent = True
        scene.render.resolution_x = scene.render.resolution_y = self._size
        scene.render.image_settings.color_mode = "RGBA"
        scene.view_settings.view_transform = "AgX"
        scene.view_settings.look = "AgX - Medium High Contrast"
        scene.view_settings.exposure = 0.35

    def _move(self, name: str, points: Points, attribute: str = "co") -> None:
        data = self._meshes[name]
        flat = to_blender(points).astype(np.float32).ravel()
        if attribute == "co":
            data.vertices.foreach_set("co", flat)
            data.update()
        else:
            data.attributes["position"].data.foreach_set("vector", flat)
            data.update_tag()

    def pose(self, units: Mapping[str, float], tongue: float = 0.0, roll: float = 0.0) -> None:
        """Bend the face by facial units; ``tongue`` lifts its tip behind the upper teeth, ``roll`` the lower lip under them."""
        head = self.head
        points = head.posed(units)
        points += roll * self._lower_lip[:, None] * np.array([0.0, 0.05, -0.045])
        turn, shift = self._jaw_motion(points)
        vertices = head.surfaces["helper-tongue"].vertices
        points[vertices] = self._tongue(head.rest[vertices] @ turn.T + shift, tongue)
        points[:, 0] *= self._cavity
        for name, used in self._used.items():
            self._move(name, points[used])
        for name, rest in self._jaw.items():
            self._move(name, rest @ turn.T + shift)
        self._move("brows", self._brows.at(points), "position")
        self._move("lashes", strands.lashes(head, points), "position")

    def _jaw_motion(self, points: Points) -> tuple[Points, Points]:
        """The rigid motion (rotation, shift) of the jaw that the lower teeth of the mesh show (Kabsch)."""
        vertices = self.head.surfaces["helper-lower-teeth"].vertices
        before, after = self.head.rest[vertices], points[vertices]
        u, _, vt = np.linalg.svd((before - before.mean(0)).T @ (after - after.mean(0)))
        flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
        turn: Points = vt.T @ flip @ u.T
        return turn, after.mean(0) - turn @ before.mean(0)

    @staticmethod
    def _tongue(points: Points, lift: float) -> Points:
        ahead = np.clip((points[:, 2] - 0.72) / 0.42, 0, 1) ** 1.5
        raised = points.copy()
        tip = points[points[:, 2] > points[:, 2].max() - 0.06, 1].mean()
        raised[:, 1] += lift * ahead * max(TONGUE_TIP_Y - tip, 0.0)
        raised[:, 2] += -0.05 + 0.085 * lift * ahead
        return raised

    def render(self, path: Path, box: tuple[int, int, int, int] | None = None) -> None:
        """Write a PNG of the whole picture or of ``box`` (x, y, width, height in pixels from the upper left)."""
        render = self.scene.render
        render.use_border = render.use_crop_to_border = box is not None
        if box is not None:
            x, y, width, height = box
            size = render.resolution_x
            render.border_min_x, render.border_max_x = x / size, (x + width) / size
            render.border_min_y, render.border_max_y = 1 - (y + height) / size, 1 - y / size
        render.filepath = str(path)
        bpy.ops.render.render(write_still=True)

"""Blender materials of the portrait: skin that light enters, eyes, hair, teeth, cloth."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from avatar.art.face import LIP_BOX

SKIN_RADIUS_DM = (0.055, 0.020, 0.011)


def _new(name: str) -> tuple[Any, Any, Any]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    return material, tree, tree.nodes["Principled BSDF"]


def _node(tree: Any, kind: str, **inputs: Any) -> Any:
    node = tree.nodes.new(kind)
    for name, value in inputs.items():
        if isinstance(value, bpy.types.NodeSocket):
            tree.links.new(value, node.inputs[name.replace("_", " ")])
        else:
            node.inputs[name.replace("_", " ")].default_value = value
    return node


def _attribute(tree: Any, name: str) -> Any:
    node = tree.nodes.new("ShaderNodeAttribute")
    node.attribute_name = name
    return node


def _mix(tree: Any, factor: Any, first: Any, second: Any, blend: str = "MIX") -> Any:
    node = tree.nodes.new("ShaderNodeMix")
    node.data_type = "RGBA"
    node.blend_type = blend
    for socket, value in ((node.inputs[0], factor), (node.inputs[6], first), (node.inputs[7], second)):
        if isinstance(value, bpy.types.NodeSocket):
            tree.links.new(value, socket)
        else:
            socket.default_value = value
    return node.outputs[2]


def _ramp(tree: Any, value: Any, low: float, high: float, first: float = 0.0, last: float = 1.0) -> Any:
    node = tree.nodes.new("ShaderNodeMapRange")
    node.interpolation_type = "SMOOTHSTEP"
    tree.links.new(value, node.inputs[0])
    for index, number in enumerate((low, high, first, last), start=1):
        node.inputs[index].default_value = number
    return node.outputs[0]


def _lip(tree: Any, rest: Any, lips: npt.NDArray[np.float64]) -> Any:
    """The lips' mask looked up by where a point was at rest, seen from the front."""
    height, width = lips.shape
    image = bpy.data.images.new("lips", width, height, float_buffer=True)
    image.colorspace_settings.name = "Non-Color"
    image.pixels.foreach_set(np.repeat(lips[:, :, None], 4, axis=2).astype(np.float32).ravel())
    left, low, wide, high = LIP_BOX
    moved = tree.nodes.new("ShaderNodeVectorMath")
    moved.operation = "SUBTRACT"
    tree.links.new(rest, moved.inputs[0])
    moved.inputs[1].default_value = (left, 0.0, low)
    turn = _node(tree, "ShaderNodeSeparateXYZ", Vector=_stretched(tree, moved.outputs[0], (1 / wide, 0.0, 1 / high)))
    flat = _node(tree, "ShaderNodeCombineXYZ", X=turn.outputs[0], Y=turn.outputs[2])
    look = tree.nodes.new("ShaderNodeTexImage")
    look.image = image
    look.extension = "CLIP"
    tree.links.new(flat.outputs[0], look.inputs[0])
    return look.outputs[0]


def skin(lips: npt.NDArray[np.float64]) -> Any:
    """Skin and lips (mask of ``face.lip_picture``). Reads the vertex attributes ``tone`` and ``rest``."""
    material, tree, shader = _new("skin")
    rest = _attribute(tree, "rest").outputs["Vector"]
    tone = _attribute(tree, "tone").outputs["Color"]
    blotches = _node(tree, "ShaderNodeTexNoise", Vector=rest, Scale=9.0, Detail=4.0)
    mottled = _mix(tree, _ramp(tree, blotches.outputs[0], 0.3, 0.75), tone, (1.0, 0.88, 0.86, 1), "MULTIPLY")
    pores = _node(tree, "ShaderNodeTexNoise", Vector=rest, Scale=160.0, Detail=2.0)
    lip = _lip(tree, rest, lips)
    creases = _node(tree, "ShaderNodeTexNoise", Vector=_stretched(tree, rest, (60.0, 9.0, 9.0)), Scale=1.0, Detail=2.0)
    lip_colour = _mix(tree, creases.outputs[0], (0.52, 0.165, 0.145, 1), (0.61, 0.225, 0.19, 1))
    tree.links.new(_mix(tree, lip, mottled, lip_colour), shader.inputs["Base Color"])
    tree.links.new(_ramp(tree, lip, 0.0, 1.0, 0.47, 0.38), shader.inputs["Roughness"])
    shader.inputs["Subsurface Weight"].default_value = 1.0
    shader.inputs["Subsurface Radius"].default_value = SKIN_RADIUS_DM
    shader.inputs["Subsurface Scale"].default_value = 1.0
    shader.inputs["Specular IOR Level"].default_value = 0.42
    bump = _node(tree, "ShaderNodeBump", Strength=0.10, Distance=0.004, Height=pores.outputs[0])
    fold = _node(tree, "ShaderNodeBump", Distance=0.006, Height=creases.outputs[0], Normal=bump.outputs[0])
    tree.links.new(_ramp(tree, lip, 0.0, 1.0, 0.0, 0.22), fold.inputs["Strength"])
    tree.links.new(fold.outputs[0], shader.inputs["Normal"])
    return material


def _stretched(tree: Any, vector: Any, scale: tuple[float, float, float]) -> Any:
    node = tree.nodes.new("ShaderNodeVectorMath")
    node.operation = "MULTIPLY"
    tree.links.new(vector, node.inputs[0])
    node.inputs[1].default_value = scale
    return node.outputs[0]


def plain(name: str, colour: tuple[float, float, float], roughness: float, subsurface: float = 0.0) -> Any:
    """One colour: teeth, gums, tongue, cloth."""
    material, _, shader = _new(name)
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Subsurface Weight"].default_value = subsurface
    shader.inputs["Subsurface Radius"].default_value = (0.03, 0.015, 0.01)
    shader.inputs["Subsurface Scale"].default_value = 1.0
    return material


def cloth(name: str, colour: tuple[float, float, float]) -> Any:
    """Woven cotton: dull, with a soft sheen at the edges and a fine weave."""
    material, tree, shader = _new(name)
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = 0.85
    shader.inputs["Sheen Weight"].default_value = 0.25
    shader.inputs["Specular IOR Level"].default_value = 0.2
    weave = _node(tree, "ShaderNodeTexNoise", Scale=140.0, Detail=1.0)
    folds = _node(tree, "ShaderNodeTexNoise", Scale=2.2, Detail=2.0)
    fine = _node(tree, "ShaderNodeBump", Strength=0.12, Distance=0.004, Height=weave.outputs[0])
    soft = _node(tree, "ShaderNodeBump", Strength=0.25, Distance=0.05, Height=folds.outputs[0], Normal=fine.outputs[0])
    tree.links.new(soft.outputs[0], shader.inputs["Normal"])
    return material


def eyeball(texture: Path) -> Any:
    """White and iris: the CC0 texture, its red iris turned to a deep brown, its white warmed a little."""
    material, tree, shader = _new("eyeball")
    image = tree.nodes.new("ShaderNodeTexImage")
    image.image = bpy.data.images.load(str(texture), check_existing=True)
    spread = _node(tree, "ShaderNodeSeparateColor", Color=image.outputs[0])
    spread.mode = "HSV"
    iris = _ramp(tree, spread.outputs[1], 0.32, 0.62)
    dull = _node(tree, "ShaderNodeHueSaturation", Hue=0.524, Saturation=0.66, Value=0.9, Color=image.outputs[0])
    white = _node(tree, "ShaderNodeHueSaturation", Saturation=0.8, Value=1.22, Color=image.outputs[0])
    tree.links.new(_mix(tree, iris, white.outputs[0], dull.outputs[0]), shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.5
    shader.inputs["Specular IOR Level"].default_value = 0.05
    shader.inputs["Subsurface Weight"].default_value = 0.25
    shader.inputs["Subsurface Radius"].default_value = (0.02, 0.008, 0.006)
    shader.inputs["Subsurface Scale"].default_value = 1.0
    return material


def cornea() -> Any:
    """The clear front of the eye: seen through, with a crisp highlight."""
    material, tree, shader = _new("cornea")
    tree.nodes.remove(shader)
    clear = tree.nodes.new("ShaderNodeBsdfTransparent")
    gloss = _node(tree, "ShaderNodeBsdfAnisotropic", Roughness=0.03)
    facing = _node(tree, "ShaderNodeFresnel", IOR=1.376)
    mix = _node(tree, "ShaderNodeMixShader", Fac=facing.outputs[0])
    tree.links.new(clear.outputs[0], mix.inputs[1])
    tree.links.new(gloss.outputs[0], mix.inputs[2])
    tree.links.new(mix.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    return material


def glowing(name: str, strength: float) -> Any:
    """White light of its own."""
    material, _, shader = _new(name)
    shader.inputs["Emission Color"].default_value = (1, 1, 1, 1)
    shader.inputs["Emission Strength"].default_value = strength
    return material


def hair(name: str, melanin: float, roughness: float) -> Any:
    """Hair fibres (Chiang), nearly black with brown where light passes."""
    material, tree, shader = _new(name)
    tree.nodes.remove(shader)
    fibre = tree.nodes.new("ShaderNodeBsdfHairPrincipled")
    fibre.parametrization = "MELANIN"
    fibre.inputs["Melanin"].default_value = melanin
    fibre.inputs["Melanin Redness"].default_value = 0.55
    fibre.inputs["Roughness"].default_value = roughness
    fibre.inputs["Radial Roughness"].default_value = 0.35
    fibre.inputs["Random Color"].default_value = 0.15
    tree.links.new(fibre.outputs[0], tree.nodes["Material Output"].inputs["Surface"])
    return material

"""How the default avatar's pictures are made. Only ``measure`` runs in the project's environment; the rest needs Blender (bpy)."""

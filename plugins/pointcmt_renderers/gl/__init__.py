"""`pyrender`: the raster renderer's pictures by OpenGL.

In: a mesh and cameras; out: views.
Imports from: raster.
"""

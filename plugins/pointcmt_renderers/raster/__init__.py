"""`raster`: a z-buffer on the CPU.

In: a mesh and cameras; out: views.
Imports from: none.
"""

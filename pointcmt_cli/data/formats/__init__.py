"""File formats: bytes into geometry.

In: bytes and an ending; out: vertices, triangles, colours as they stand, or a DataError.
Imports from: ops.
"""

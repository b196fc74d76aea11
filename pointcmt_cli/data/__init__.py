"""One shape: read, checked, in the unit sphere; and the shapes of the demo.

In: an `Item` or a file; out: a `Shape`.
Imports from: data.folders, data.formats.
"""

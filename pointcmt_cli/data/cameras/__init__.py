"""Where views are taken from.

In: a rig's name or file; out: `Cameras`.
Imports from: none.
"""

"""Point operations: farthest points, neighbours, interpolation.

In: clouds (B, N, 3); out: indices or features.
Imports from: ops.
"""

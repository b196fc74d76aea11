"""The earth mover's distance, exact.

In: two clouds (B, N, 3); out: distances (B,).
Imports from: ops.
"""

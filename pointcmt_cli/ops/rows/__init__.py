"""Layers over many rows: MLP and pooling, norms, products.

In: rows (M, C); out: rows.
Imports from: ops, ops.points.
"""

"""What is done to points: drawn from shapes, augmented, corrupted.

In: shapes or clouds (S, N, 3); out: clouds in the unit sphere.
Imports from: data.
"""

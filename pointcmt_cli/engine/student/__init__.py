"""Stage `distill`: a point network, on points and the teacher's features.

In: features.h5; out: a checkpoint, by one process or several.
Imports from: data.clouds, data.store, engine.training, models, ops, ops.emd, ops.rows.
"""

"""Stage `export`: a file to deploy, written only when it is proved equal.

In: a checkpoint; out: .onnx, .pt2 or .safetensors.
Imports from: data.store, engine.deployed, engine.training, models, ops.points.
"""

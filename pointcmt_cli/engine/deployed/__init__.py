"""Trained models, opened: `pointcmt_cli.load` and `predict`.

In: any file that `distill` or `export` writes; out: classes with probabilities. No torch for .onnx.
Imports from: data, data.clouds, engine.training.
"""

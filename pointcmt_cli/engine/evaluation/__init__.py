"""Stage `evaluate`: checkpoints scored, compared and grouped.

In: checkpoints and their data; out: the evaluation document (docs/json-schema.md).
Imports from: data.clouds, data.store, engine.teacher, engine.training.
"""

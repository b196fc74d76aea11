"""`pointcmt evaluate` and `compare`: scores as tables in 80 columns.

In: checkpoints; out: tables, and the report's folder on request.
Imports from: commands, engine.evaluation, engine.report.
"""

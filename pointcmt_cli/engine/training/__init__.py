"""What every training shares: seed, device, precision, resuming, checkpoints, scores.

In: a stage's settings; out: generators, devices, files. No loop.
Imports from: data.store, models.
"""

"""What every training shares: seed, device, precision, resuming, checkpoints, scores, cards.

In: a stage's settings; out: generators, devices, files.
Imports from: data.store, models.
"""

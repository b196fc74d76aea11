"""Stage `train-teacher`: an image network on the views.

In: views.h5; out: teacher.pt and features.h5.
Imports from: data.store, engine.training, models.
"""

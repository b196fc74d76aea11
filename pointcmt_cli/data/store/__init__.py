"""Our own files of shapes: views.h5, features.h5 and what is on its way there.

In: arrays; out: files that are never half-written, and the arrays again.
Imports from: none.
"""

"""`points`: clouds as pictures.

In: a cloud and cameras; out: views.
Imports from: none.
"""

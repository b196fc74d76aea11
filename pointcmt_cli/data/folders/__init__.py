"""What a path holds: trees of shapes and known benchmark layouts, and the splits.

In: a folder; out: a `Source`, its classes and its items.
Imports from: data.formats.
"""

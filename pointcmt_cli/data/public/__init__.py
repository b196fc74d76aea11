"""Public data sets: where they lie, fetching and unpacking them.

In: a name or an address; out: files in a folder.
Imports from: none.
"""

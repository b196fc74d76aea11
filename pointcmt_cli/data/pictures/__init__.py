"""Views as picture files: written, given by others, and as contact sheets.

In: views or a folder of pictures; out: the other one.
Imports from: data, data.cameras, data.folders, data.store.
"""

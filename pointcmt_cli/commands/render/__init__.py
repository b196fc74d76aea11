"""`pointcmt render`: shapes into views.

In: a folder of shapes; out: what was drawn, and where the time went.
Imports from: commands, engine.rendering.
"""

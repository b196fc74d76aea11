"""The stages: a room for each, and in it a function of its command's name.

In: a stage's settings; out: records. Nothing here prints.
Imports from: data, engine.rendering, engine.student, engine.teacher.
"""

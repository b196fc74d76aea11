"""The commands, one file each: what was typed is read here and what came out is shown.

In: options; out: tables and lines. Heavy imports stand inside the bodies.
Imports from: data.public, engine, engine.datasets, engine.deployed, engine.export, engine.hub, engine.info,
engine.student, engine.teacher.
"""

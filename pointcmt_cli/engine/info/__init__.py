"""Stage `info`: what a file is, what it was made from, and how to make it again.

In: any file of ours, or a folder of them; out: a document (docs/json-schema.md). No file's code runs.
Imports from: data.store, engine.deployed, engine.training.
"""

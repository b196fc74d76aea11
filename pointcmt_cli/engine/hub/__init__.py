"""Stages `push` and `pull`: the Hugging Face hub.

In: a checkpoint or a repository's name; out: the other one.
Imports from: engine.training.
"""

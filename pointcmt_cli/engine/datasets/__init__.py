"""Stages `data download` and `data verify`: public data sets.

In: a data set's name or folder; out: its files, whole and checked.
Imports from: data, data.folders, data.public, data.store.
"""

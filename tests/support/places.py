"""Where the project, its tests' helpers and the academic data sets lie."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
"""Modules that every test may import, in processes of their own too (PYTHONPATH)."""
ROOT = SUPPORT.parent.parent
DATA = ROOT.parent / "shared" / "data"
"""Not part of the project: tests that need it are skipped where it is absent."""

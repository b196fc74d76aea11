"""Programs that stand in strings, for processes of their own: what they import from us must be there.

Neither ruff nor mypy looks into a string, so a module that moves away is otherwise missed where it hurts: in `doctor`.
"""

import ast
from pathlib import Path

from places import ROOT

SOURCES = {
    "pointcmt_cli": ROOT,
    **{path.name: path.parent for path in (ROOT / "plugins").iterdir() if path.is_dir()},
}
"""Packages, and the folders that they lie in."""
ON_PURPOSE = {Path(__file__).name, "test_structure.py"}
"""Files whose strings import what must not be there."""


def programs(path: Path) -> list[ast.Module]:
    """Strings of a file that are Python and import something."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                program = ast.parse(node.value)
            except (SyntaxError, ValueError):
                continue
            if any(isinstance(each, ast.Import | ast.ImportFrom) for each in ast.walk(program)):
                found.append(program)
    return found


def is_there(module: str) -> bool:
    """Whether one of our packages has such a module; those of others are not looked for."""
    first, *rest = module.split(".")
    if first not in SOURCES:
        return True
    place = SOURCES[first].joinpath(first, *rest)
    return place.is_dir() or place.with_suffix(".py").is_file()


def names_in(module: str) -> set[str]:
    """What a package's own file makes or imports; empty for what is no package of ours."""
    first, *rest = module.split(".")
    own = SOURCES[first].joinpath(first, *rest, "__init__.py") if first in SOURCES else None
    return set(own.read_text().replace('"', " ").split()) if own and own.is_file() else set()


def missing(program: ast.Module) -> list[str]:
    """Imports of a program that find nothing."""
    found = []
    for node in ast.walk(program):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if not is_there(each.name)]
        elif isinstance(node, ast.ImportFrom) and node.module:
            if not is_there(node.module):
                found.append(node.module)
            elif own := names_in(node.module):
                names = {each.name for each in node.names} - own
                wanted = (f"{node.module}.{name}" for name in sorted(names))
                found += [each for each in wanted if not is_there(each)]
    return found


def test_what_a_program_in_a_string_imports_is_there() -> None:
    found = []
    for folder in ("pointcmt_cli", "plugins", "tests", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name in ON_PURPOSE:
                continue
            lost = [each for program in programs(path) for each in missing(program)]
            found += [f"{path.relative_to(ROOT)}: {each}" for each in lost]
    assert found == []


def test_a_module_that_has_moved_is_seen() -> None:
    line = "from pointcmt_{} import {}\n".format
    text = line("cli.data.gone", "one") + line("cli.data", "gone") + line("cli.data", "shape")
    assert missing(ast.parse(text)) == ["pointcmt_cli.data.gone", "pointcmt_cli.data.gone"]

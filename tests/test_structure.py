"""The architecture's musts, read from the source: one-way imports, light start, plug-ins behind the public door."""

import ast
import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from places import ROOT

CORE = ROOT / "pointcmt_cli"
PLUGINS = ROOT / "plugins"
LAYERS = [
    {"cli", "__main__"},
    {"commands"},
    {"console"},
    {"engine", "testing", "__init__"},
    {"api", "models", "data", "ops", "discovery"},
    {
        "config",
        "errors",
        "records",
        "allocator",
        "launched",
        "files",
        "provenance",
        "splits",
        "wording",
    },
]
"""Highest first; a module imports from its own layer or from below."""
LIGHT = [
    "cli",
    "launched",
    "discovery",
    "errors",
    "records",
    "allocator",
    "console",
    "files",
    "splits",
    "wording",
    "provenance",
]
ALLOWED = set(sys.stdlib_module_names) | {"typer", "rich", "pointcmt_cli"}


def imports(path: Path, top_level: bool = False) -> list[str]:
    """Modules that a file imports: everywhere, or at module level and outside TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found


def layer(module: str) -> int | None:
    """How high a pointcmt_cli module stands; None: not one of ours."""
    parts = module.split(".")
    if parts[0] != "pointcmt_cli" or len(parts) < 2:
        return None
    return next((rank for rank, names in enumerate(LAYERS) if parts[1] in names), None)


def violations(root: Path) -> list[str]:
    """Upward imports of the core under `root`."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        own = layer(".".join(["pointcmt_cli", *parts]))
        assert own is not None, f"{path} stands in no layer"
        for module in imports(path):
            target = layer(module)
            if target is not None and target < own:
                found.append(f"{'/'.join(parts)} imports {module}")
    return found


def test_arrows_run_one_way() -> None:
    assert violations(CORE) == []


def test_an_upward_arrow_is_seen(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store.py").write_text("from pointcmt_cli.engine import render\n")
    assert violations(tmp_path) == [
        "data/store imports pointcmt_cli.engine",
        "data/store imports pointcmt_cli.engine.render",
    ]


GROUND = {
    "allocator",
    "config",
    "console",
    "discovery",
    "errors",
    "files",
    "launched",
    "provenance",
    "records",
    "splits",
    "wording",
}
"""Modules that every room may import (which of them, the layers say)."""


def room(module: str, root: Path) -> str | None:
    """The folder that a module of the package under `root` stands in, dotted; None: elsewhere, or beside the rooms."""
    first, *parts = module.split(".")
    if first != "pointcmt_cli":
        return None
    while parts and not root.joinpath(*parts).is_dir():
        parts = parts[:-1]
    return ".".join(parts) or None


def arrows(root: Path) -> dict[str, set[str]]:
    """Rooms, and the other rooms that the files of each import from."""
    found: dict[str, set[str]] = {}
    for path in sorted(root.rglob("*.py")):
        own = ".".join(path.parent.relative_to(root).parts)
        if own:
            targets = {room(module, root) for module in imports(path)}
            found.setdefault(own, set()).update(targets - {None, own} - GROUND)
    return found


def declared(folder: Path) -> set[str]:
    """What a room's `__init__.py` says that it imports from."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    _, found, last = " ".join(text.split()).partition("Imports from: ")
    assert found, f"{folder}/__init__.py must end in 'Imports from: ...'"
    assert last.endswith("."), folder
    names = last[:-1].split(", ")
    return set() if names == ["none"] else set(names)


def circles(found: dict[str, set[str]]) -> set[str]:
    """Rooms from which arrows lead back to themselves."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = found.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    return {each for each in found if each in reached(each)}


def test_rooms_import_from_those_that_they_name_and_in_no_circle() -> None:
    found = arrows(CORE)
    assert found == {name: declared(CORE.joinpath(*name.split("."))) for name in found}
    assert circles(found) == set()


def test_a_new_arrow_and_a_circle_are_seen(tmp_path: Path) -> None:
    for name, other in (("data", "ops"), ("ops", "data")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('"""In.\n\nOut.\nImports from: none.\n"""\n')
        (tmp_path / name / "one.py").write_text(f"from pointcmt_cli.{other} import one\n")
    found = arrows(tmp_path)
    assert found == {"data": {"ops"}, "ops": {"data"}}
    assert declared(tmp_path / "data") == set()
    assert circles(found) == {"data", "ops"}


def test_the_rooms_of_the_plug_ins_import_from_those_that_they_name() -> None:
    for folder in sorted((PLUGINS / "pointcmt_renderers").iterdir()):
        if (folder / "__init__.py").exists():
            modules = {name for path in folder.glob("*.py") for name in imports(path)}
            others = {
                name.split(".")[1]
                for name in modules
                if name.count(".") > 1 and "renderers" in name
            }
            rooms = {each for each in others if (folder.parent / each).is_dir()}
            assert rooms - {folder.name} == declared(folder), folder


@pytest.mark.parametrize("top", ["pointcmt_cli", "plugins", "tests"])
def test_no_file_repeats_the_name_of_its_room(top: str) -> None:
    for path in (ROOT / top).rglob("*.py"):
        assert not path.name.removeprefix("test_").startswith(f"{path.parent.name}_"), path


def test_light_modules_import_the_standard_library_typer_and_rich_only() -> None:
    files = [CORE / f"{name}.py" for name in LIGHT]
    files += [
        path for name in ("commands", "config") for path in sorted((CORE / name).rglob("*.py"))
    ]
    heavy = {
        f"{path.name}: {module}"
        for path in files
        for module in imports(path, top_level=True)
        if module.split(".")[0] not in ALLOWED
    }
    assert heavy == set()


def test_plug_ins_import_only_the_public_api() -> None:
    for path in PLUGINS.rglob("*.py"):
        ours = {name for name in imports(path) if name.startswith("pointcmt_cli")}
        wrong = {
            n for n in ours if n != "pointcmt_cli.api" and not n.startswith("pointcmt_cli.api.")
        }
        assert not wrong, f"{path.name} imports {wrong}"


def test_the_core_never_imports_a_plug_in_package() -> None:
    packages = {path.name for path in PLUGINS.iterdir() if path.is_dir()}
    for path in CORE.rglob("*.py"):
        assert not packages & {name.split(".")[0] for name in imports(path)}, path


ALSO_WORDS = {"none": "objective", "points": "renderer", "pointcmt": "objective"}
"""Names that are words of their own (nothing, what a cloud has, this package): seen where they stand for a kind."""
ALLOWED_MENTIONS = ["commands/doctor/doctor.py timm"]
"""Other words that are also a plug-in's name: `doctor` looks for the package of the extra."""


def texts(tree: ast.AST) -> list[ast.Constant]:
    """Every string of a file that is not a docstring, parts of f-strings included."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [each for each in constants if isinstance(each.value, str) and id(each) not in said]


def given(tree: ast.AST) -> list[tuple[str, ast.AST]]:
    """Names and what is given for them or compared with them: assigned, as an argument, as a default, in a dict."""
    pairs: list[tuple[ast.AST | str | None, ast.AST | None]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            pairs += [(target, node.value) for target in node.targets]
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
            pairs.append((node.target, node.value))
        elif isinstance(node, ast.keyword):
            pairs.append((node.arg, node.value))
        elif isinstance(node, ast.Dict):
            pairs += zip(node.keys, node.values, strict=True)
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs += [(one, other) for one in sides for other in sides if one is not other]
        elif isinstance(node, ast.arguments):
            usual = [*node.posonlyargs, *node.args][-len(node.defaults) :] if node.defaults else []
            pairs += [(arg.arg, value) for arg, value in zip(usual, node.defaults, strict=True)]
            alone = zip(node.kwonlyargs, node.kw_defaults, strict=True)
            pairs += [(arg.arg, value) for arg, value in alone]
    words = [(ast.unparse(n) if isinstance(n, ast.AST) else n or "", v) for n, v in pairs]
    return [(name.lower(), value) for name, value in words if value is not None]


def mentions(root: Path, names: set[str]) -> list[str]:
    """Where the core under `root` names a plug-in, by itself or in a sentence; the defaults in config apart."""
    clear = "|".join(sorted(map(re.escape, names - set(ALSO_WORDS))))
    also = "|".join(f"(?<={kind}[ =]){name}" for name, kind in ALSO_WORDS.items())
    word = re.compile(rf"(?<![\w.-])(?:{clear})(?![\w-])|(?:{also})(?![\w-])")
    found = set()
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if place == "config.py" or place.startswith("config/"):
            continue
        tree = ast.parse(path.read_text())
        for each in texts(tree):
            for name in word.findall(str(each.value)):
                found.add(f"{place}:{each.lineno} {name}")
        for what, value in given(tree):
            for each in texts(value):
                if ALSO_WORDS.get(str(each.value), "?") in what:
                    found.add(f"{place}:{each.lineno} {each.value}")
    return sorted(found)


def test_the_core_never_names_a_plug_in() -> None:
    from pointcmt_cli.discovery import GROUPS, available

    names = {plugin.name for group in GROUPS for plugin in available(group)}
    assert names >= {"contrast", "pointnet2", "raster"} | set(ALSO_WORDS)
    assert [re.sub(r":\d+", "", each) for each in mentions(CORE, names)] == ALLOWED_MENTIONS


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("x = labels == 'raster'", "raster"),
        ("pairs = (('fast', 'raster'),)", "raster"),
        ("kinds = {'raster': 1}", "raster"),
        ("def draw(renderer: str = 'raster') -> None: ...", "raster"),
        ("line(f'next: draw with {kind} raster{where}')", "raster"),
        ("plain = config.objective == 'none'", "none"),
        ("if objective in ('none', None): ...", "none"),
        ("config = Config(objective='none')", "none"),
        ("def draw(*, renderer: str = 'points') -> None: ...", "points"),
        ("objective = 'none'", "none"),
        ("made = {'objective': 'pointcmt'}", "pointcmt"),
        ("objective = config.objective or 'none'", "none"),
        ("line('again: --objective none')", "none"),
    ],
)
def test_a_plug_in_s_name_is_seen_wherever_it_stands(
    tmp_path: Path, source: str, name: str
) -> None:
    names = {"raster"} | set(ALSO_WORDS)
    (tmp_path / "config.py").write_text(source)
    (tmp_path / "demo.py").write_text(f'"""raster none"""\n{source}\n')
    (tmp_path / "other.py").write_text(
        "rasterized = ['none of its points', 'x-raster']\nteacher = 'none'\n"
    )
    assert mentions(tmp_path, names) == [f"demo.py:2 {name}"]


def modules_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running `code`."""
    program = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


HELP = """
import sys
sys.argv = ["pointcmt", "--help"]
from pointcmt_cli.cli import main
try:
    main()
except SystemExit as ending:
    assert ending.code in (0, None)
"""


def test_help_imports_neither_torch_nor_numpy() -> None:
    loaded = modules_after(HELP)
    assert "typer" in loaded
    assert not {"torch", "numpy", "numba", "h5py", "trimesh"} & loaded


def test_the_python_door_imports_a_stage_when_it_is_asked_for() -> None:
    import pointcmt_cli

    loaded = modules_after("import pointcmt_cli")
    assert loaded - modules_after("import importlib, typing") == {"pointcmt_cli"}
    for name in set(pointcmt_cli.__all__) - {"__version__", "load"}:
        stage = getattr(pointcmt_cli, name)
        assert (stage.__name__, stage.__module__.split(".")[1]) == (name, "engine")
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        _ = pointcmt_cli.train


def test_the_check_on_help_can_fail() -> None:
    assert "numpy" in modules_after("import numpy\n" + HELP)


@pytest.mark.parametrize("name", ["raster", "points"])
def test_render_workers_do_not_import_torch(name: str) -> None:
    code = f"from pointcmt_cli import discovery; discovery.build('renderers', '{name}')"
    assert "torch" not in modules_after(code)


PRINTERS = {
    *("print", "builtins.print", "input", "os.write", "os.system", "pprint.pprint", "pprint.pp"),
    *("typer.echo", "typer.secho", "typer.echo_via_pager", "click.echo", "click.secho"),
    *("rich.print", "rich.print_json", "rich.get_console", "rich.console.Console"),
    *("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"),
    *(f"logging.{name}" for name in ("debug", "info", "warning", "error", "critical", "exception")),
    *("logging.log", "logging.basicConfig", "logging.StreamHandler", "traceback.print_exc"),
}
"""Ways to the terminal, by the names that they have at home."""
LOGGED = {"debug", "info", "warning", "error", "critical", "exception", "log", "addHandler"}
"""What a logger does that is seen on the terminal."""
SPEAKS = {"cli.py", "console.py", "launched.py"}
"""Who may: `launched` silences all but one of a job's processes, for which it takes hold of both streams."""


def homes(tree: ast.AST) -> dict[str, str]:
    """Names that a file imports, and where they are from."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.asname: each.name for each in node.names if each.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return found


def printed(root: Path) -> list[str]:
    """Where the core under `root` prints, under whatever name; commands and console apart."""
    found = set()
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if place in SPEAKS or place.startswith("commands/"):
            continue
        tree = ast.parse(path.read_text())
        known = homes(tree)
        for node in ast.walk(tree):
            if isinstance(node, (ast.Name, ast.Attribute)):
                first, dot, rest = ast.unparse(node).partition(".")
                name = f"{known.get(first, first)}{dot}{rest}"
                logs = isinstance(node, ast.Attribute) and node.attr in LOGGED
                if name in PRINTERS or (logs and "log" in ast.unparse(node.value).lower()):
                    found.add(f"{place}:{node.lineno} {name}")
    return sorted(found)


def test_only_the_console_and_the_commands_print() -> None:
    assert printed(CORE) == []
    assert printed(PLUGINS) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("print(1)", "print"),
        ("show = print", "print"),
        ("import typer; typer.echo('a')", "typer.echo"),
        ("from typer import secho as tell; tell('a')", "typer.secho"),
        ("import click as c; c.echo('a')", "click.echo"),
        ("import sys; sys.stdout.write('a')", "sys.stdout"),
        ("from sys import stderr; stderr.write('a')", "sys.stderr"),
        ("import os; os.write(1, b'')", "os.write"),
        ("from rich import print as show; show(1)", "rich.print"),
        ("from rich.console import Console; Console()", "rich.console.Console"),
        ("import rich.console; rich.console.Console()", "rich.console.Console"),
        ("from pprint import pprint as p; p(1)", "pprint.pprint"),
        ("import logging; logging.StreamHandler()", "logging.StreamHandler"),
        ("import logging; LOG = logging.getLogger(); LOG.warning('a')", "LOG.warning"),
    ],
)
def test_every_way_to_print_is_seen(tmp_path: Path, source: str, name: str) -> None:
    (tmp_path / "stage.py").write_text(f"{source}\n")
    (tmp_path / "console.py").write_text(f"{source}\n")
    assert printed(tmp_path) == [f"stage.py:1 {name}"]


def is_there(name: str) -> bool:
    """Whether a module of ours, or something in one, has this dotted name."""
    parts = name.split(".")
    for root in (ROOT, PLUGINS):
        place = root.joinpath(*parts)
        if place.is_dir() or place.with_suffix(".py").exists():
            return True
        module = (
            place.parent / "__init__.py"
            if place.parent.is_dir()
            else place.parent.with_suffix(".py")
        )
        if module.exists() and parts[-1] in module.read_text():
            return True
    return False


def imported_in_strings(source: str) -> set[str]:
    """Names of ours that the programs in a file's strings import."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "import" in node.value
        ):
            with contextlib.suppress(SyntaxError):
                for each in ast.walk(ast.parse(node.value.strip())):
                    if isinstance(each, ast.Import):
                        found |= {alias.name for alias in each.names}
                    elif isinstance(each, ast.ImportFrom):
                        found |= {f"{each.module}.{alias.name}" for alias in each.names}
    return {name for name in found if name.startswith("pointcmt_")}


def test_programs_in_strings_import_what_exists() -> None:
    """`doctor` and the tests run such programs in processes of their own; no checker reads them."""
    seen = set()
    for top in ("pointcmt_cli", "plugins", "tests", "benchmarks"):
        for path in (ROOT / top).rglob("*.py"):
            for name in imported_in_strings(path.read_text()) - {"pointcmt_cli.gone.it"}:
                seen.add(name)
                assert is_there(name), f"{path}: {name}"
    assert "pointcmt_cli.data.cameras.rigs.cameras" in seen
    assert imported_in_strings("code = 'from pointcmt_cli.gone import it'") == {
        "pointcmt_cli.gone.it"
    }
    assert not is_there("pointcmt_cli.gone.it")

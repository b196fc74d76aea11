"""The architecture's musts, read from the source: one-way imports, light start, plug-ins behind the public door."""

import ast
import contextlib
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


ALSO_WORDS = {"points", "pointcmt"}
"""Names of plug-ins that are words of their own: what a cloud has, and this distribution."""
WORDS_IN = {
    "none": {
        *("discovery.py", "wording.py", "commands/data.py", "ops/rows/products.py"),
        *(
            "engine/evaluation/evaluate.py",
            "engine/evaluation/groups.py",
            "engine/training/checkpoint.py",
        ),
        *("engine/evaluation/robustness.py", "engine/report/figures.py", "engine/report/words.py"),
    },
    "timm": {"commands/doctor/doctor.py"},
}
"""Files in which a plug-in's name means something else: nothing, no rotation, a package to look for."""


def texts(tree: ast.AST) -> list[ast.Constant]:
    """Every string of a file that is not a docstring, parts of f-strings included."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return [each for each in constants if isinstance(each.value, str) and id(each) not in said]


def mentions(root: Path, names: set[str]) -> list[str]:
    """Where the core under `root` names a plug-in; the defaults in config apart."""
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if not place.startswith("config"):
            for each in texts(ast.parse(path.read_text())):
                name = str(each.value).strip()
                if name in names and place not in WORDS_IN.get(name, ()):
                    found.append(f"{place}:{each.lineno} {name}")
    return found


def test_the_core_never_names_a_plug_in() -> None:
    from pointcmt_cli.discovery import GROUPS, available

    names = {plugin.name for group in GROUPS for plugin in available(group)} - ALSO_WORDS
    assert {"contrast", "none", "pointnet2", "raster"} <= names
    assert mentions(CORE, names) == []


def test_a_name_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text('objective = "none"\n')
    (tmp_path / "demo.py").write_text(
        '"""none"""\nlabels = (("plain", "none"),)\nkinds = {"raster": f"{labels} none"}\nx = labels == "none"\n'
    )
    found = mentions(tmp_path, {"none", "raster"})
    assert sorted(found) == [
        "demo.py:2 none",
        "demo.py:3 none",
        "demo.py:3 raster",
        "demo.py:4 none",
    ]


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
    *("print", "typer.echo", "typer.secho", "click.echo", "click.secho", "rich.print", "Console"),
    *("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__", "os.write"),
    *("logging.info", "logging.warning", "logging.error", "pprint", "traceback.print_exc"),
}
"""Ways to the terminal, as they stand in source."""
SPEAKS = {"cli.py", "console.py", "launched.py"}
"""Who may: `launched` silences all but one of a job's processes, for which it takes hold of both streams."""


def printed(root: Path) -> list[str]:
    """Where the core under `root` prints, commands and console apart; what `doctor` asks of others is in strings."""
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if place not in SPEAKS and not place.startswith("commands/"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in PRINTERS:
                    found.append(f"{place}:{node.lineno} {ast.unparse(node)}")
    return found


def test_only_the_console_and_the_commands_print() -> None:
    assert printed(CORE) == []
    assert printed(PLUGINS) == []


def test_every_way_to_print_is_seen(tmp_path: Path) -> None:
    lines = [
        "print(1)",
        "typer.echo('a')",
        "sys.stdout.write('a')",
        "show = print",
        "os.write(1, b'')",
    ]
    (tmp_path / "stage.py").write_text("\n".join(lines) + "\n")
    (tmp_path / "console.py").write_text("print(1)\n")
    seen = ["print", "typer.echo", "sys.stdout", "print", "os.write"]
    assert sorted(printed(tmp_path)) == [
        f"stage.py:{row} {name}" for row, name in enumerate(seen, 1)
    ]


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

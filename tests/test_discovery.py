"""Plug-ins found from metadata: the five errors by their texts, and listing that imports nothing."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pointcmt_cli import discovery
from pointcmt_cli.errors import PluginError
from pointcmt_cli.models.classifier import Classifier


def install(folder: Path, name: str, points: dict[str, str], files: dict[str, str]) -> None:
    """A distribution as pip leaves it: a dist-info folder with metadata and entry points, and its modules."""
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    lines = [f"{key} = {value}" for key, value in points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pointcmt.backbones]", *lines]) + "\n")
    for path, text in files.items():
        (folder / path).write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) and str(tmp_path) in str(
            sys.modules[module].__file__
        ):
            del sys.modules[module]


GOOD = """
from typing import Literal
from torch import nn
def flat(*, width: int = 8, mode: Literal["a", "b"] = "a", deep: bool = False, scale: float = 1.0):
    model = nn.Identity()
    model.feature_dim, model.chosen = width, (width, mode, deep, scale)
    return model
"""


def test_missing_names_the_nearest_and_what_is_installed() -> None:
    with pytest.raises(PluginError) as caught:
        discovery.build("backbones", "pointnet3")
    assert str(caught.value) == (
        "no backbone named 'pointnet3'; did you mean 'pointnet'? "
        f"(installed: {', '.join(plugin.name for plugin in discovery.available('backbones'))})"
    )


def test_missing_from_a_checkpoint_names_the_distribution() -> None:
    with pytest.raises(PluginError) as caught:
        discovery.build("backbones", "starnet", {}, "starnet-points")
    assert str(caught.value) == (
        "backbone 'starnet' is not installed; this checkpoint needs it: pip install starnet-points"
    )


def test_broken_is_told_only_when_asked_for(site: Path) -> None:
    install(site, "broken-net", {"broken": "broken_net:make"}, {"broken_net.py": "1 / 0\n"})
    assert "broken" in {plugin.name for plugin in discovery.available("backbones")}
    assert discovery.load("backbones", "pointnet")
    with pytest.raises(PluginError) as caught:
        discovery.load("backbones", "broken")
    assert str(caught.value) == (
        "backbone 'broken' is broken: broken_net:make of broken-net 1.2: "
        "ZeroDivisionError: division by zero"
    )


def test_a_missing_attribute_is_broken(site: Path) -> None:
    install(site, "hollow-net", {"hollow": "hollow_net:make"}, {"hollow_net.py": ""})
    with pytest.raises(
        PluginError, match=r"'hollow' is broken: hollow_net:make of hollow-net 1.2: Attr"
    ):
        discovery.load("backbones", "hollow")


def test_duplicate_names_both_and_refuses(site: Path) -> None:
    install(site, "one-net", {"twin": "good_net:flat"}, {"good_net.py": GOOD})
    install(site, "two-net", {"twin": "good_net:flat"}, {})
    with pytest.raises(PluginError) as caught:
        discovery.load("backbones", "twin")
    assert str(caught.value) == (
        "backbone 'twin' is offered twice: good_net:flat of one-net 1.2 and "
        "good_net:flat of two-net 1.2; uninstall one of them"
    )
    assert discovery.find("backbones", "twin", "two-net").distribution == "two-net"


def test_a_bad_option_shows_the_signature(site: Path) -> None:
    install(site, "good", {"flat": "good_net:flat"}, {"good_net.py": GOOD})
    signature = (
        "backbone 'flat' takes: width: int = 8, mode: Literal['a', 'b'] = 'a', "
        "deep: bool = False, scale: float = 1.0"
    )
    with pytest.raises(PluginError) as caught:
        discovery.build("backbones", "flat", {"depth": 3})
    assert str(caught.value).startswith(f"no option 'depth'; {signature[:40]}")
    with pytest.raises(PluginError, match="option 'mode': 'c' is not one of a, b"):
        discovery.build("backbones", "flat", {"mode": "c"})
    with pytest.raises(PluginError, match="option 'width': invalid literal"):
        discovery.build("backbones", "flat", {"width": "wide"})
    with pytest.raises(PluginError, match="option 'deep': 'maybe' is not true or false"):
        discovery.build("backbones", "flat", {"deep": "maybe"})


def test_text_options_are_read_by_the_signature(site: Path) -> None:
    install(site, "good", {"flat": "good_net:flat"}, {"good_net.py": GOOD})
    texts = {"width": "4", "mode": "b", "deep": "true", "scale": "2"}
    model = discovery.build("backbones", "flat", texts)
    assert model.chosen == (4, "b", True, 2.0)


def test_a_path_needs_no_entry_point(site: Path) -> None:
    (site / "good_net.py").write_text(GOOD)
    assert discovery.build("backbones", "good_net:flat").feature_dim == 8


def test_broken_contract_tells_got_and_expected(site: Path) -> None:
    import torch

    install(site, "good", {"flat": "good_net:flat"}, {"good_net.py": GOOD})
    model = Classifier(discovery.build("backbones", "flat"), 3, 4, name="flat")
    with pytest.raises(PluginError) as caught:
        model(torch.zeros(2, 5, 3))
    assert str(caught.value) == (
        "'flat' breaks its contract: expected features (2, 8), got (2, 5, 3)"
    )
    with pytest.raises(
        PluginError, match=r"expected an nn.Module with `feature_dim: int`, got Linear"
    ):
        Classifier(torch.nn.Linear(2, 2), 3, 4, name="flat")


def test_listing_imports_nothing(site: Path) -> None:
    install(site, "quiet", {"quiet": "quiet_net:make"}, {"quiet_net.py": "raise SystemExit\n"})
    names = [plugin.name for plugin in discovery.available("backbones")]
    assert "quiet" in names
    assert "quiet_net" not in sys.modules


@pytest.mark.parametrize(
    "name", ["os:system", "subprocess:Popen", "shutil:rmtree", "builtins:exec"]
)
def test_a_path_that_is_no_factory_is_not_called(name: str, tmp_path: Path) -> None:
    """A stranger's checkpoint names a module:attribute and its options."""
    mark = tmp_path / "mark"
    with pytest.raises(PluginError, match=f"'{name}' is not a factory with keyword-only options"):
        discovery.build("backbones", name, {"command": f"touch {mark}", "args": f"touch {mark}"})
    assert not mark.exists()

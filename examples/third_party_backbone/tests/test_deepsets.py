"""The whole contract, by pointcmt's public checks; and that pointcmt finds the plug-in by its name."""

import pytest
from pointcmt_deepsets import deepsets

from pointcmt_cli.discovery import available
from pointcmt_cli.testing import check_backbone


@pytest.mark.parametrize("width", [32, 256])
def test_contract(width: int) -> None:
    """Every point of the contract, at two sizes."""
    check_backbone(deepsets, width=width)


def test_pointcmt_finds_it() -> None:
    """Its entry point is read once it is installed."""
    found = {plugin.name: plugin.distribution for plugin in available("backbones")}
    if "deepsets" not in found:
        pytest.skip("needs pip install -e .")
    check_backbone("deepsets", neighbours=4)

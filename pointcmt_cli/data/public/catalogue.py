"""Public data sets: where their archives lie, what they must hold, and who says so; stdlib only.

Nothing here is guessed. `source` names the public page or code in which an address, a checksum and a size were read;
what was found nowhere is None, and `pointcmt data list` shows it as such. The mirrors of one data set are archives of
their own: each has its own checksum.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from pointcmt_cli.errors import UsageError

Counts = Mapping[str, int]
"""Shapes per split, as published."""
GIB = 2**30
_TORCH_POINTCLOUD = "torch-pointcloud 0.0.18 (PyPI), datasets"
_COMPRESSAI = "CompressAI, pointcloud/modelnet.py, and Flux3D.jl, datasets"
_HUGGING_FACE = "https://huggingface.co/datasets"
_ACADEMIC = "for academic research only; the authors of the CAD models hold their copyright (modelnet.cs.princeton.edu)"
_SCANOBJECTNN_TERMS = (
    "ScanObjectNN is given to those who agree to its terms of use: read https://hkust-vgd.github.io/scanobjectnn/ and "
    "fill in the authors' form, https://forms.gle/g29a6qSgjatjb1vZ6"
)


@dataclass(frozen=True)
class Mirror:
    """One archive at one address."""

    url: str
    source: str
    """Where the address, the checksum and the size were read."""
    checksum: str | None = None
    """`md5:...` or `sha256:...`; None: nobody publishes one."""
    size: int | None = None
    """Bytes of the archive; None: not published to the byte."""


@dataclass(frozen=True)
class DataSet:
    """One entry of the catalogue."""

    name: str
    """Also the name of the folder it is unpacked into: the readers go by it."""
    title: str
    mirrors: tuple[Mirror, ...]
    shapes: Counts
    about_size: str
    """Of the archive, as its sources print it."""
    largest: int
    """Bytes that may come out of the archive: several times what is known of the data."""
    licence: str
    terms: str | None = None
    """What must be accepted before the download."""
    by_hand: str | None = None
    """How to get it where no mirror can be read by a program."""
    render: bool = True
    """Whether `pointcmt render` takes it; a corrupted test set is for scores alone."""


CATALOGUE = (
    DataSet(
        "modelnet40_normal_resampled",
        "ModelNet40 and 10, 10,000 points and normals per shape (PointNet++, Qi et al. 2017)",
        (
            Mirror(
                f"{_HUGGING_FACE}/Pointcept/modelnet40_normal_resampled-compressed/resolve/main/"
                "modelnet40_normal_resampled.tar.gz",
                _TORCH_POINTCLOUD,
                "md5:46ed374f8ef5f7504ec4870298772ac2",
            ),
            Mirror(
                "https://shapenet.cs.stanford.edu/media/modelnet40_normal_resampled.zip",
                "the authors' README; its certificate has often been out of date; no checksum is published",
            ),
        ),
        {"train": 9843, "test": 2468},
        "1.6 GB",
        24 * GIB,
        _ACADEMIC,
    ),
    DataSet(
        "modelnet40_ply_hdf5_2048",
        "ModelNet40, 2,048 points per shape (PointNet, Qi et al. 2017); 3 training shapes fewer than the meshes",
        (
            Mirror(
                "https://shapenet.cs.stanford.edu/media/modelnet40_ply_hdf5_2048.zip",
                "the authors' code; md5 from PointNeXt's openpoints, dataset/modelnet",
                "md5:c9ab8e6dfb16f67afdab25e155c79e59",
            ),
            Mirror(
                f"{_HUGGING_FACE}/Msun/modelnet40/resolve/main/modelnet40_ply_hdf5_2048.zip",
                f"{_TORCH_POINTCLOUD}; another archive of the same files",
                "md5:5ae9e37d1527ff1500e41a7e9e2d50e4",
            ),
        ),
        {"train": 9840, "test": 2468},
        "435 MB",
        8 * GIB,
        _ACADEMIC,
    ),
    DataSet(
        "modelnet40",
        "ModelNet40, the meshes (.off; Wu et al. 2015)",
        (
            Mirror(
                "https://modelnet.cs.princeton.edu/ModelNet40.zip",
                f"{_TORCH_POINTCLOUD}; sha256 from {_COMPRESSAI}",
                "sha256:42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac",
            ),
            Mirror(
                "http://modelnet.cs.princeton.edu/ModelNet40.zip",
                _COMPRESSAI,
                "sha256:42dc3e656932e387f554e25a4eb2cc0e1a1bd3ab54606e2a9eae444c60e536ac",
            ),
        ),
        {"train": 9843, "test": 2468},
        "1.9 GB",
        40 * GIB,
        _ACADEMIC,
    ),
    DataSet(
        "modelnet10",
        "ModelNet10, the meshes (.off; Wu et al. 2015)",
        (
            Mirror(
                "https://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
                f"{_TORCH_POINTCLOUD}; sha256 from {_COMPRESSAI}; size from Keras' PointNet example",
                "sha256:9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51",
                473402300,
            ),
            Mirror(
                "http://vision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip",
                "PyTorch Geometric, datasets/modelnet.py; the same archive",
                "sha256:9d8679435fc07d1d26f13009878db164a7aa8ea5e7ea3c8880e42794b7307d51",
                473402300,
            ),
        ),
        {"train": 3991, "test": 908},
        "473 MB",
        12 * GIB,
        _ACADEMIC,
    ),
    DataSet(
        "scanobjectnn",
        "ScanObjectNN, all variants and splits (Uy et al. 2019)",
        (
            Mirror(
                "https://hkust-vgd.ust.hk/scanobjectnn/h5_files.zip",
                f"{_TORCH_POINTCLOUD}; the size from public notes of people who have it",
                "md5:36876af479f9ad39abad5ebcd89038dd",
                13099259542,
            ),
        ),
        {"train": 2309, "test": 581},
        "13.1 GB",
        96 * GIB,
        "terms of use of its authors",
        terms=_SCANOBJECTNN_TERMS,
    ),
    DataSet(
        "scanobjectnn_pb_t50_rs",
        "ScanObjectNN, the variant PB_T50_RS alone, as PointMLP's authors pass it on",
        (
            Mirror(
                "https://github.com/ma-xu/pointMLP-pytorch/releases/download/dataset/h5_files.zip",
                "PointMLP's code, classification_ScanObjectNN/ScanObjectNN.py; no checksum is published",
            ),
            Mirror(
                "https://web.northeastern.edu/smilelab/xuma/datasets/h5_files.zip",
                "an older state of the same file; no checksum is published",
            ),
        ),
        {"train": 11416, "test": 2882},
        "300 MB",
        12 * GIB,
        "terms of use of its authors",
        terms=_SCANOBJECTNN_TERMS,
    ),
    DataSet(
        "modelnet40_c",
        "ModelNet40-C, 15 corruptions at 5 severities of the test split (Sun et al. 2022)",
        (
            Mirror(
                "https://zenodo.org/records/6017834/files/modelnet40_c.zip",
                "the authors' README names Zenodo's record 6017834; md5 and size from public notes that quote Zenodo's "
                "API, not from the API itself",
                "md5:c4a7fffaa52c80b33f7b3a0ac7782d3b",
                1970686633,
            ),
        ),
        {"test": 2468},
        "1.97 GB",
        24 * GIB,
        _ACADEMIC,
        render=False,
    ),
    DataSet(
        "modelnet_c",
        "ModelNet-C, 7 corruptions at 5 severities of the test split (Ren et al. 2022)",
        (),
        {"test": 2468},
        "",
        24 * GIB,
        _ACADEMIC,
        by_hand="its authors offer it on Google Drive alone, which a program cannot read: open "
        "https://drive.google.com/uc?id=1KE6MmXMtfu_mgxg4qLPdEwVD5As8B0rm and unpack modelnet_c.zip into modelnet_c/",
        render=False,
    ),
)

MODELNET10 = "bathtub bed chair desk dresser monitor night_stand sofa table toilet"
MODELNET40 = (
    "airplane bathtub bed bench bookshelf bottle bowl car chair cone cup curtain desk door dresser flower_pot "
    "glass_box guitar keyboard lamp laptop mantel monitor night_stand person piano plant radio range_hood sink sofa "
    "stairs stool table tent toilet tv_stand vase wardrobe xbox"
)
"""Their classes in order, separated by spaces."""
SCANOBJECTNN = {
    "OBJ_BG": "scanobjectnn",
    "OBJ_ONLY": "scanobjectnn",
    "PB_T50_RS": "scanobjectnn_pb_t50_rs",
}
"""The entry that states the counts of a variant; of the others none are published."""


def find(name: str) -> DataSet:
    """The entry of that name, whatever its case and hyphens."""
    wanted = name.lower().replace("-", "_")
    for each in CATALOGUE:
        if each.name == wanted:
            return each
    names = [each.name for each in CATALOGUE]
    near = get_close_matches(wanted, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"no data set named '{name}'{guess} (there are: {', '.join(names)})")


def published(layout: str, variant: str | None, classes: list[str]) -> tuple[str, Counts] | None:
    """Name and counts of what a recognised folder should be; None where nothing is published of it."""
    names = " ".join(classes)
    if layout == "modelnet10_normal_resampled":
        return layout, find("modelnet10").shapes
    if layout in ("modelnet40_ply_hdf5_2048", "modelnet40_normal_resampled"):
        return layout, find(layout).shapes
    if layout == "mesh tree" and names in (MODELNET40, MODELNET10):
        name = f"modelnet{len(classes)}"
        return name, find(name).shapes
    if layout == "ScanObjectNN" and variant in SCANOBJECTNN:
        return f"ScanObjectNN {variant}", find(SCANOBJECTNN[variant]).shapes
    return None

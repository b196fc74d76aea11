"""What views cost to store and to read: views.h5's codec, zlib, and what else is installed, on the same views in turn.

usage: python benchmarks/codec.py [--meshes FOLDER] [--shapes 60] [--rounds 7]

Peers: pip install zlib-ng deflate hdf5plugin. One chunk holds the 20 views of a shape. Processor milliseconds per view
of 224 px: to write a chunk; to read it by plain h5py; and, where it is a zlib stream, by `codec.decompress`.
"""

import argparse
import io
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from record import ROOT, spread, write_record

from pointcmt_cli import discovery
from pointcmt_cli.data.cameras import rigs
from pointcmt_cli.data.demo_shapes import write_demo_meshes
from pointcmt_cli.data.reading import read_file
from pointcmt_cli.data.store import codec

HERE = Path(__file__).resolve().parent
SHARED = ROOT.parent / "shared" / "data" / "modelnet_meshes"
GZIP = {"compression": "gzip"}
Encoder = Callable[[np.ndarray], bytes]


def codecs() -> dict[str, tuple[Encoder, Mapping[str, Any]]]:
    """How a chunk is written, and the HDF5 filter that reads it."""
    found: dict[str, tuple[Encoder, Mapping[str, Any]]] = {
        "codec.compress": (codec.compress, GZIP),
        "zlib 1": (lambda views: zlib.compress(views, 1), GZIP),
        "zlib 6": (lambda views: zlib.compress(views, 6), GZIP),
    }
    isal = import_module("isal.isal_zlib")
    for level in range(4):
        found[f"isal {level}"] = (lambda views, at=level: isal.compress(views, at), GZIP)
    for module, name, call in [
        ("zlib_ng.zlib_ng", "zlib-ng", "compress"),
        ("deflate", "libdeflate", "zlib_compress"),
    ]:
        if library := _optional(module):
            compress = getattr(library, call)
            for level in (1, 2):
                found[f"{name} {level}"] = (
                    lambda views, at=level, by=compress: bytes(by(views, at)),
                    GZIP,
                )
    filters: dict[str, Mapping[str, Any]] = {"lzf": {"compression": "lzf"}}
    if plugin := _optional("hdf5plugin"):
        filters["zstd 1"] = plugin.Zstd(clevel=1)
        filters["blosc lz4"] = plugin.Blosc(cname="lz4", shuffle=0)
        filters["blosc zstd 1"] = plugin.Blosc(cname="zstd", clevel=1, shuffle=0)
    for name, way in filters.items():
        found[name] = (lambda views, by=way: _by_hdf5(views, by), way)
    return found


def main() -> None:
    """Draw, measure in alternating rounds, record, show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meshes", type=Path, default=SHARED)
    parser.add_argument("--shapes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "codec.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shapes, generated = draw(options.meshes, options.shapes, Path(folder))
        rows = measure(shapes, options.rounds, Path(folder))
    setting = {"shapes": len(shapes), "views_each": len(shapes[0]), "generated": generated}
    packages = ["isal", "zlib-ng", "deflate", "hdf5plugin"]
    write_record(options.out, {"setting": setting, "codecs": rows}, packages)
    for row in rows:
        steps = [row.get(step) for step in ("write_ms", "read_ms", "own_read_ms")]
        cells = [f"{each['median']:8.4f}" if each else f"{'-':>8}" for each in steps]
        print(f"{row['codec']:16} {' '.join(cells)} ms a view {row['bytes']:7.0f} bytes")


def draw(meshes: Path, count: int, folder: Path) -> tuple[list[np.ndarray], bool]:
    """Views (20, 224, 224) of evenly spread meshes, and whether they had to be generated."""
    paths = sorted(meshes.rglob("*.off"))
    generated = not paths
    if generated:
        write_demo_meshes(folder, 2, 0, seed=0)
        paths = sorted(folder.rglob("*.off"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    renderer, cameras = discovery.build("renderers", "raster"), rigs.cameras("dodecahedron20", 224)
    return [np.array(renderer(read_file(path), cameras)) for path in chosen], generated


def measure(shapes: list[np.ndarray], rounds: int, folder: Path) -> list[dict[str, Any]]:
    """All codecs in turn, again and again, so that a busy moment hits everyone alike."""
    views, ways = sum(map(len, shapes)), codecs()
    sizes = {name: write(folder / name, shapes, *way) for name, way in ways.items()}
    times: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in ways}
    for _ in range(rounds):
        for name, (encode, way) in ways.items():
            with h5py.File(folder / name) as file:
                for step, call in steps(file["views"], encode, way, shapes).items():
                    times[name][step].append(timed(call, shapes) / views)
    return [
        {
            "codec": name,
            "bytes": sizes[name] / views,
            **{step: spread(values) for step, values in times[name].items()},
        }
        for name in ways
    ]


def steps(
    stored: Any, encode: Encoder, way: Mapping[str, Any], shapes: list[np.ndarray]
) -> dict[str, Callable[[int], Any]]:
    """What is timed of a codec, by shape."""

    def own(row: int) -> np.ndarray:
        _, chunk = stored.id.read_direct_chunk((row, 0, 0, 0))
        return codec.decompress(chunk, shapes[row].shape)

    read = {"read_ms": stored.__getitem__, **({"own_read_ms": own} if way is GZIP else {})}
    return {"write_ms": lambda row: encode(shapes[row]), **read}


def timed(call: Callable[[int], Any], shapes: list[np.ndarray]) -> float:
    """Processor milliseconds for every shape; what is read must be what was drawn."""
    began = time.process_time()
    results = [call(row) for row in range(len(shapes))]
    seconds = time.process_time() - began
    for result, shape in zip(results, shapes, strict=True):
        assert isinstance(result, bytes) or np.array_equal(result, shape)
    return 1e3 * seconds


def write(path: Path, shapes: list[np.ndarray], encode: Encoder, way: Mapping[str, Any]) -> int:
    """A file of all shapes; returns the bytes of its chunks."""
    total = 0
    with h5py.File(path, "w") as file:
        shape = (len(shapes), *shapes[0].shape)
        views = file.create_dataset("views", shape, "u1", chunks=(1, *shape[1:]), **way)
        for row, each in enumerate(shapes):
            chunk = encode(each)
            views.id.write_direct_chunk((row, 0, 0, 0), chunk)
            total += len(chunk)
    return total


def _by_hdf5(views: np.ndarray, way: Mapping[str, Any]) -> bytes:
    """The chunk that an HDF5 filter makes of the views."""
    with h5py.File(io.BytesIO(), "w") as file:
        made = file.create_dataset("views", data=views[None], chunks=(1, *views.shape), **way)
        chunk: bytes = made.id.read_direct_chunk((0, 0, 0, 0))[1]
        return chunk


def _optional(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        return None


if __name__ == "__main__":
    main()

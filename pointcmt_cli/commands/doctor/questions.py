"""What `doctor` runs, as Python code for processes of their own: it prints what it finds and fails by raising."""

TORCH = """
import torch
where = f"CUDA {torch.version.cuda}, " + ", ".join(
    torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
) if torch.cuda.is_available() else "no CUDA device"
a = torch.rand(8, 8)
assert torch.isfinite(a @ a).all()
print(f"{torch.__version__}, {torch.get_num_threads()} threads, {where}")
"""
PACKAGES = """
import importlib, sys
from importlib.metadata import version
for name in sys.argv[1:]:
    importlib.import_module({"pillow": "PIL"}.get(name, name))
    print(name, version(name), end="  ")
"""
NUMBA = """
import numba
assert numba.njit(lambda x: x + 1)(1) == 2
print(f"{numba.__version__} compiles, {numba.get_num_threads()} threads")
"""
PLATFORMS = """
import json, sys, typing
from pointcmt_cli import discovery
found = {}
for name in sys.argv[1:]:
    try:
        hint = typing.get_type_hints(discovery.load("renderers", name)).get("platform")
    except Exception:
        hint = None  # what is broken says so when it is made to draw
    kinds = [kind for kind in (hint, *typing.get_args(hint)) if typing.get_origin(kind) is typing.Literal]
    found[name] = [choice for kind in kinds for choice in typing.get_args(kind)]
print(json.dumps(found))
"""
RENDERER = """
import os, sys, time
import numpy as np
from pointcmt_cli import discovery
from pointcmt_cli.data.cameras.rigs import cameras
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.wording import one_line
corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32) / np.float32(3**0.5)
faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)
rig = cameras("orthogonal6", 64)
try:
    draw = discovery.build("renderers", sys.argv[1], {"platform": sys.argv[2]} if sys.argv[2:] else {})
    draw(Shape("doctor/tetrahedron", corners, faces, points=corners), rig)
except PointCMTError as error:
    sys.exit(one_line(error))
start = time.perf_counter()
images = draw(Shape("doctor/tetrahedron", corners, faces, points=corners), rig)
speed = len(images) / (time.perf_counter() - start)
assert images.dtype == np.uint8 and images.shape == (6, 64, 64), f"drew {images.dtype} {images.shape}"
assert images.min() < images.max(), "drew nothing"
device = ""
if "OpenGL.GL" in sys.modules:
    from OpenGL.GL import GL_RENDERER, glGetString
    name = (glGetString(GL_RENDERER) or b"a device without a name").decode()
    device = f" by {os.environ.get('PYOPENGL_PLATFORM')} on {name}"
print(f"draws{device}; {speed:.0f} views a second of a tetrahedron at 64 pixels")
"""
PLUGINS = """
import sys
from pointcmt_cli import discovery
broken = []
for name in sys.argv[2:]:
    try:
        discovery.load(sys.argv[1], name)
    except Exception as error:
        broken.append(str(error))
print(", ".join(sys.argv[2:]) if not broken else "")
sys.exit("; ".join(broken) or 0)
"""
EXTRA = """
import importlib, re, sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
plain = lambda name: re.sub("[-_.]+", "-", name).lower()
owners = packages_distributions()
for wanted in sys.argv[1:]:
    try:
        found = version(wanted)
    except PackageNotFoundError:
        sys.exit(f"{wanted} is not installed")
    for module in owners:
        if plain(wanted) in map(plain, owners[module]) and module.isidentifier():
            importlib.import_module(module)
    print(wanted, found, end="  ")
"""

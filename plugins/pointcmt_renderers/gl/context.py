"""GL contexts by pyrender's own platforms. In: EGL or OSMesa, and a device; out: one that draws off screen.

pyrender 0.1.45 is imported here and no sooner, in the process that draws: GL contexts do not survive a fork. Works with
numpy 2 as it is: only the bounds that its viewer asks for use the removed `np.infty`.
"""

import ctypes
import functools
import os
import sys
from typing import Any, Literal

from pointcmt_cli.api import PointCMTError, one_line

Platform = Literal["egl", "osmesa"]
PACKAGES = {
    "egl": "libegl1 libegl-mesa0 libgl1 libopengl0 libgl1-mesa-dri",
    "osmesa": "libosmesa6 libgl1",
}
"""Debian's, without a vendor's driver; libgl1 is what pyrender's viewer loads when pyrender is imported."""
ATTRIBUTES = {
    "OSMESA_DEPTH_BITS": 0x30,
    "OSMESA_PROFILE": 0x33,
    "OSMESA_CORE_PROFILE": 0x34,
    "OSMESA_CONTEXT_MAJOR_VERSION": 0x36,
    "OSMESA_CONTEXT_MINOR_VERSION": 0x37,
}
"""What OSMesaCreateContextAttribs understands (Mesa, include/GL/osmesa.h) and PyOpenGL 3.1.0 does not name."""


def open_context(platform: Platform | None, device: int | None) -> Any:
    """A context, the same one at each call: a pyrender platform with `make_current`. Or one line on what is missing.

    `platform`: none for the variable PYOPENGL_PLATFORM, else egl. `device`, for EGL only: none for the variable
    EGL_DEVICE_ID, else 0. Both variables are set to what was chosen, for whatever else draws in this process.
    """
    platform = platform or _chosen_platform()
    bound = os.environ.get("PYOPENGL_PLATFORM")
    if "OpenGL" in sys.modules and bound != platform:
        raise PointCMTError(
            f"pyrender: OpenGL is already loaded for {bound or 'a display'} in this process; "
            f"start a new one for {platform}"
        )
    os.environ["PYOPENGL_PLATFORM"] = platform
    if platform == "egl":
        os.environ["EGL_DEVICE_ID"] = str(_chosen_device(device))
    elif device is not None:
        raise PointCMTError(
            "pyrender: OSMesa draws on the CPU and has no devices; leave out device="
        )
    try:
        return _opened(platform, os.environ.get("EGL_DEVICE_ID", "0"))
    except PointCMTError:
        raise
    except Exception as error:  # what a missing driver raises differs from library to library
        raise PointCMTError(
            f"pyrender: no {platform} context ({_cause(error)}); {_mend(error, platform)}"
        ) from error


@functools.cache
def _opened(platform: Platform, device: str) -> Any:
    """One for each device and process: a context that is deleted takes the others of its display with it."""
    context = _egl(int(device)) if platform == "egl" else _osmesa()
    context.init_context()
    context.make_current()
    return context


def _cause(error: Exception) -> str:
    operation = getattr(error, "baseOperation", None)  # of PyOpenGL, whose texts show addresses
    words = [f"{operation.__name__} failed"] if operation else map(str, error.args[:2])
    return one_line(f"{type(error).__name__}: {', '.join(words)}")


def _mend(error: Exception, platform: Platform) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = error.name.partition(".")[0]
        return "pip install " + ("pyrender==0.1.45" if package == "pyrender" else package)
    return f"apt-get install {PACKAGES[platform]}, or use --renderer raster, which needs no GL"


def _chosen_platform() -> Platform:
    chosen = os.environ.get("PYOPENGL_PLATFORM", "egl")
    if chosen not in ("egl", "osmesa"):
        raise PointCMTError(
            f"pyrender: PYOPENGL_PLATFORM is '{chosen}', which needs a display; set PYOPENGL_PLATFORM to egl or osmesa"
        )
    return "osmesa" if chosen == "osmesa" else "egl"


def _chosen_device(device: int | None) -> int:
    text = os.environ.get("EGL_DEVICE_ID", "0") if device is None else str(device)
    if not text.strip().isdecimal():
        raise PointCMTError(
            f"pyrender: the EGL device is '{text}'; set EGL_DEVICE_ID (or device=) to 0, 1, ..."
        )
    return int(text)


def _egl(device: int) -> Any:
    import pyrender  # noqa: F401 (its absence is a line of its own)
    from pyrender.platforms import egl

    try:
        devices = egl.query_devices()
    except RuntimeError:  # an EGL without device queries has one
        devices = [egl.get_default_device()]
    if not devices:
        raise RuntimeError("EGL finds no device: no driver is installed")
    if device >= len(devices):
        known = "the only one is 0" if len(devices) == 1 else f"they are 0 to {len(devices) - 1}"
        raise PointCMTError(
            f"pyrender: there is no EGL device {device} ({known}); set EGL_DEVICE_ID (or device=) to one that is"
        )
    return egl.EGLPlatform(16, 16, devices[device])


def _osmesa() -> Any:
    """PyOpenGL 3.1.0, which pyrender pins, lacks the call that makes core contexts; 3.1.10 has it.

    In both, two pointers to one context are not equal, so what PyOpenGL keeps for a context is kept anew with each
    call and never freed: 3 MB a view in pyrender's own renderer.
    """
    import pyrender  # noqa: F401 (its absence is a line of its own)
    from OpenGL import osmesa
    from OpenGL import platform as opengl
    from pyrender.platforms.osmesa import OSMesaPlatform

    pointer = osmesa.OSMesaContext
    pointer.__hash__ = lambda self: hash(self.address)
    pointer.__eq__ = lambda self, other: type(other) is type(self) and self.address == other.address
    if not hasattr(osmesa, "OSMesaCreateContextAttribs"):
        create = opengl.PLATFORM.OSMesa.OSMesaCreateContextAttribs
        create.argtypes, create.restype = [ctypes.POINTER(ctypes.c_int), pointer], pointer
        osmesa.OSMesaCreateContextAttribs = create
        for name, value in ATTRIBUTES.items():
            setattr(osmesa, name, value)
    return OSMesaPlatform(16, 16)

"""The point operations as torch sees them, `torch.ops.pointcmt`: one schema and one fake kernel each, and a module of
forms for every kind of device: plain torch anywhere, numba on the CPU, Triton on CUDA where it works.

With the fake kernels `torch.compile` passes through without looking inside. What is exported is not these operations
but their plain forms: an exported file must run without pointcmt.
"""

import functools
import subprocess
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.ops.points import cpu
from pointcmt_cli.ops.points import plain as points_plain
from pointcmt_cli.wording import one_line

_Form = Callable[..., Any]
_LIBRARY: Any = torch.library.Library("pointcmt", "DEF")  # type: ignore[no-untyped-call]
CHECKED = {"farthest_points", "ball_query", "k_nearest"}
"""Operations whose tensors are clouds and whose last argument is how many; the others are only called from within."""


@functools.cache
def _on_cuda() -> ModuleType:
    """Triton's forms, where Triton is installed and finds what it needs (a C compiler); else the plain ones."""
    try:
        from pointcmt_cli.ops.points import triton

        triton.probe()
    except ImportError:
        return points_plain
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"Triton does not work here, plain torch instead: {one_line(error)}", stacklevel=2
        )
        return points_plain
    return triton


def _checked(name: str, form: _Form) -> _Form:
    """The form behind the border: clouds of at least one finite point, and at least one index is asked for."""

    def border(points: Tensor, *values: Any) -> Any:
        counts = values[-1] if isinstance(values[-1], Sequence) else values[-1:]
        if min(counts, default=0) < 1 or any(len(v) != len(counts) for v in values[1:-1]):
            raise PointCMTError(
                f"{name}: asked for {values[-1]} points; ask for 1 or more, once per radius"
            )
        clouds = [points, *(each for each in values if isinstance(each, Tensor))]
        for cloud in clouds:
            if cloud.dim() != 3 or not points.shape[1] or cloud.shape[::2] != points.shape[::2]:
                shapes = " and ".join(str(tuple(each.shape)) for each in clouds)
                raise PointCMTError(f"{name}: expected clouds (B, N, C) with points, got {shapes}")
            _refuse_infinite(name, cloud)
        return form(points, *values)

    return border


def _refuse_infinite(name: str, cloud: Tensor) -> None:
    """On CUDA an assertion on the device ends the program, and the host need not wait for it; features (more than three
    channels) are left alone there: the training loop says better why its network has none that are finite.
    """
    text = f"{name}: a cloud holds NaN or infinity"
    if cloud.device.type == "cpu":  # by numpy: torch's own threads would spin beside the kernels
        finite = bool(np.isfinite(cloud.numpy()).all())
    elif cloud.is_cuda:
        if cloud.shape[-1] <= 3:
            torch._assert_async(torch.isfinite(cloud).all(), text)
        return
    else:
        finite = bool(torch.isfinite(cloud).all())
    if not finite:
        raise PointCMTError(text)


def _operation(schema: str) -> Callable[[_Form], _Form]:
    name = schema.partition("(")[0]
    plain: _Form = getattr(points_plain, name)

    def on_cuda(*values: Any) -> Any:
        return getattr(_on_cuda(), name, plain)(*values)

    forms = {
        "CompositeExplicitAutograd": plain,  # every other device
        "CPU": getattr(cpu, name, plain),
        "CUDA": on_cuda,
    }

    def define(fake: _Form) -> _Form:
        _LIBRARY.define(schema, tags=torch.Tag.pt2_compliant_tag)
        for key, form in forms.items():
            _LIBRARY.impl(name, _checked(name, form) if name in CHECKED else form, key)
        torch.library.register_fake(f"pointcmt::{name}", fake, lib=_LIBRARY)
        return fake

    return define


@_operation("farthest_points(Tensor points, SymInt count) -> Tensor")
def _(points: Tensor, count: int) -> Tensor:
    return points.new_empty(len(points), count, dtype=torch.int64)


@_operation("ball_query(Tensor points, Tensor centres, float[] radii, SymInt[] counts) -> Tensor[]")
def _(points: Tensor, centres: Tensor, radii: object, counts: Sequence[int]) -> list[Tensor]:
    return [points.new_empty(*centres.shape[:2], k, dtype=torch.int64) for k in counts]


@_operation("k_nearest(Tensor points, Tensor queries, SymInt count) -> Tensor")
def _(points: Tensor, queries: Tensor, count: int) -> Tensor:
    return points.new_empty(*queries.shape[:2], count, dtype=torch.int64)


@_operation("gather(Tensor features, Tensor index) -> Tensor")
def _(features: Tensor, index: Tensor) -> Tensor:
    return features.new_empty(*index.shape, features.shape[-1])


@_operation("add_rows(Tensor gradient, Tensor index, SymInt number) -> Tensor")
def _(gradient: Tensor, index: Tensor, number: int) -> Tensor:
    return gradient.new_empty(len(gradient), number, gradient.shape[-1])


OPERATIONS = torch.ops.pointcmt


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.number = inputs[0].shape[1]
    ctx.save_for_backward(inputs[1])


def _gather_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
    return OPERATIONS.add_rows(gradient, *ctx.saved_tensors, ctx.number), None


def _add_rows_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    return OPERATIONS.gather(gradient, *ctx.saved_tensors), None, None


torch.library.register_autograd(
    "pointcmt::gather", _gather_backward, setup_context=_keep, lib=_LIBRARY
)
torch.library.register_autograd(
    "pointcmt::add_rows", _add_rows_backward, setup_context=_keep, lib=_LIBRARY
)

"""PUBLIC: checks for plug-in authors' own tests. In: a plug-in's name, `module:attribute` or factory, and its options.

Each check builds the plug-in, tries it against its group's contract in `pointcmt_cli.api` and raises AssertionError
with one line that says what was expected and what came. What the plug-in itself raises comes through. Nothing is
downloaded; everything is small enough for a CPU. Use:

    from pointcmt_cli.testing import check_backbone

    def test_contract() -> None:
        check_backbone("my_backbone", width=64)
"""

import io
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.data.cameras.rigs import Cameras, cameras
from pointcmt_cli.data.shape import Shape
from pointcmt_cli.errors import PointCMTError
from pointcmt_cli.models.distillation import Distillation
from pointcmt_cli.models.generator import Generator
from pointcmt_cli.wording import one_line

Plugin: TypeAlias = str | Callable[..., Any]

BATCH, POINTS, CLASSES, WIDTH = 4, 160, 5, 16


def check_backbone(plugin: Plugin, **options: Any) -> None:
    """Features of the right shape, from any number of points; rows independent; trains, exports, reloads."""
    with _seeded(0):
        encoder, width = _encoder(_build("backbones", plugin, options))
        minimum = getattr(encoder, "minimum_points", 1)
        _require(
            isinstance(minimum, int) and minimum >= 1,
            f"minimum_points must be an int of at least 1, got {minimum!r}",
        )
        points = _clouds(BATCH, max(POINTS, minimum))
        _check_encoder(encoder, points, width)
        for number in (minimum, minimum + 1, 2 * points.shape[1] + 1):
            cloud = _clouds(2, number)
            _features(encoder, cloud, width, f"{number} points")
        _features(encoder, points[:, :1].expand_as(points).contiguous(), width, "equal points")
        _check_export(encoder, points)
    _check_rebuilt("backbones", plugin, options, points)


def check_teacher(plugin: Plugin, **options: Any) -> None:
    """Features of the right shape, from any number of views; rows independent; trains, reloads."""
    with _seeded(0):
        encoder, width = _encoder(_build("teachers", plugin, options))
        views = torch.rand(2, 3, 3, 224, 224)
        _check_encoder(encoder, views, width)
        for number in (1, 2):
            _features(encoder, views[:, :number], width, f"{number} views")
    _check_rebuilt("teachers", plugin, options, views)


def check_renderer(plugin: Plugin, **options: Any) -> None:
    """Images of the cameras' size, dark on a white background; same shape, same bytes; the shape untouched.

    Gray, and RGB too if the factory has an option `color`. Orthographic cameras may be refused by a PointCMTError.
    """
    factory = discovery.load("renderers", plugin) if isinstance(plugin, str) else plugin
    colors = {str(options.get("color", False)).lower() == "true"}
    if "color" in discovery.options_of(factory) and "color" not in options:
        colors = {False, True}
    for color in sorted(colors):
        chosen = {**options, "color": True} if color else options
        renderer = _build("renderers", plugin, chosen)
        _require(callable(renderer), f"a renderer must be callable, got {type(renderer).__name__}")
        for size in (64, 97):
            _check_images(renderer, cameras("orthogonal6", size), color)
        with suppress(PointCMTError):
            _check_images(renderer, cameras("orthogonal6", 64, "orthographic"), color)


def _check_images(renderer: Any, rig: Cameras, color: bool) -> None:
    shape, untouched = _box(color), _box(color)
    images = renderer(shape, rig)
    expected = rig.shape(color)
    _require(
        isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.shape == expected,
        f"expected images {expected} uint8, got {getattr(images, 'shape', type(images).__name__)} "
        f"{getattr(images, 'dtype', '')}{' with color=True' if color else ''}",
    )
    for view, image in enumerate(images):
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
        _require(
            bool((corners == 255).all()),
            f"the background must be 255 (white), view {view} has {corners.tolist()} in its corners",
        )
        _require(bool((image < 255).any()), f"view {view} is empty")
    again = renderer(_box(color), rig)
    _require(np.array_equal(images, again), "the same shape drawn twice gave other bytes")
    for name in ("vertices", "faces", "vertex_colors", "points"):
        same = np.array_equal(getattr(shape, name), getattr(untouched, name))
        _require(same, f"drawing changed the shape's {name}")


def check_objective(plugin: Plugin, **options: Any) -> None:
    """Named finite scalar terms at every stage of training, with a gradient to the student; same batch, same terms.

    One that says `uses_unlabelled` is also shown shapes without labels, and must not read any of theirs.
    """
    with _seeded(0):
        objective = _build("objectives", plugin, options)
        _require(
            isinstance(objective, nn.Module),
            f"an objective must be an nn.Module, got {type(objective).__name__}",
        )
        mixtures = (False, True) if getattr(objective, "uses_unlabelled", False) else (False,)
        for progress in (0.0, 0.5, 1.0):
            for mixed in mixtures:
                needs_generator = bool(getattr(objective, "needs_generator", False))
                _check_terms(objective, _distillation(needs_generator, progress, mixed))
        _require_gradients(objective)


def _check_terms(objective: nn.Module, batch: Distillation) -> None:
    terms = _terms_of(objective, batch)
    same = "the same batch and seed gave other terms"
    _require_alike(terms, _terms_of(objective, batch), same)
    if not getattr(objective, "uses_teacher", True):
        other = "uses_teacher is False, but another teacher gave other terms"
        _require_alike(terms, _terms_of(objective, _other_teacher(batch)), other)
    if batch.mixed:
        read = "the label of a shape that has none was read: see `labelled` and `bank_labelled`"
        _require_alike(terms, _terms_of(objective, _other_labels(batch)), read)
    total = torch.stack(list(terms.values())).sum()
    _require(
        total.requires_grad,
        "no term carries a gradient: were the student's features and logits detached?",
    )
    total.backward()  # type: ignore[no-untyped-call]
    gradient = batch.student_features.grad
    _require(
        gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any()),
        "the sum of the terms gives the student no finite gradient",
    )


def _terms_of(objective: nn.Module, batch: Distillation) -> dict[str, Tensor]:
    with _seeded(1):
        return _terms(objective(batch))


def _require_alike(terms: dict[str, Tensor], again: dict[str, Tensor], message: str) -> None:
    alike = terms.keys() == again.keys() and all(
        torch.equal(terms[name], again[name]) for name in terms
    )
    _require(alike, message)


def _build(group: str, plugin: Plugin, options: dict[str, Any]) -> Any:
    return discovery.build(group, plugin, options) if isinstance(plugin, str) else plugin(**options)


def _encoder(built: Any) -> tuple[nn.Module, int]:
    _require(isinstance(built, nn.Module), f"expected an nn.Module, got {type(built).__name__}")
    width = getattr(built, "feature_dim", None)
    _require(
        isinstance(width, int) and width > 0,
        f"expected an attribute feature_dim: int above 0, got {width!r}",
    )
    encoder: nn.Module = built
    return encoder, int(width or 0)


def _check_encoder(encoder: nn.Module, inputs: Tensor, width: int) -> None:
    before = inputs.clone()
    trained = _features(encoder.train(), inputs, width, "a training batch", gradient=True)
    _require(torch.equal(inputs, before), "the forward pass changed its input in place")
    _require(trained.requires_grad, "features carry no gradient in training")
    trained.square().sum().backward()  # type: ignore[no-untyped-call]
    _require_gradients(encoder)
    encoder.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        _features(encoder, inputs, width, "bf16 autocast")
    encoder.eval()
    features = _features(encoder, inputs, width, "eval mode")
    again = _features(encoder, inputs, width, "eval mode")
    _require(torch.equal(features, again), "the same input gave other features in eval mode")
    alone = _features(encoder, inputs[:1], width, "a batch of one")
    gap = float((alone - features[:1]).abs().max() / features.abs().max().clamp_min(1e-12))
    _require(
        gap < 1e-3,
        f"in eval mode a row must not depend on the others: alone it differs by {gap:.1e}",
    )


def _features(
    encoder: nn.Module, inputs: Tensor, width: int, what: str, gradient: bool = False
) -> Tensor:
    with torch.set_grad_enabled(gradient):
        features = encoder(inputs)
    expected = (len(inputs), width)
    got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    _require(got == expected, f"{what}: expected features {expected}, got {got}")
    _require(features.is_floating_point(), f"{what}: expected floats, got {features.dtype}")
    _require(bool(features.isfinite().all()), f"{what}: features are not finite")
    checked: Tensor = features
    return checked


def _check_export(encoder: nn.Module, points: Tensor) -> None:
    batch = torch.export.Dim("batch", min=1, max=1024)
    try:
        program = torch.export.export(encoder, (points,), dynamic_shapes=({0: batch},))
    except Exception as error:
        raise AssertionError(f"torch.export cannot take it: {one_line(error, most=300)}") from error
    with torch.no_grad():
        for cloud in (points[:1], points[:3]):
            gap = (program.module()(cloud) - encoder(cloud)).abs().max()
            _require(float(gap) < 1e-3, f"exported, it differs from eager by {float(gap):.1e}")


def _check_rebuilt(group: str, plugin: Plugin, options: dict[str, Any], inputs: Tensor) -> None:
    models = []
    for seed in (3, 3, 4):
        with _seeded(seed):
            models.append(_build(group, plugin, options).eval())
    first, second, other = models
    _require(
        all(
            torch.equal(a, b)
            for a, b in zip(*(m.state_dict().values() for m in (first, second)), strict=True)
        ),
        "the same seed gave other initial weights",
    )
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        _require(
            torch.equal(first(inputs), other(inputs)),
            "after load_state_dict it computes something else: its state_dict is not complete",
        )


def _require_gradients(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            gradient = parameter.grad
            _require(gradient is not None, f"no gradient reaches parameter '{name}'")
            finite = gradient is not None and bool(gradient.isfinite().all())
            _require(finite, f"the gradient of parameter '{name}' is not finite")


def _terms(terms: Any) -> dict[str, Tensor]:
    _require(
        isinstance(terms, dict) and len(terms) > 0,
        f"expected a dict of named terms, got {type(terms).__name__}: {terms!r:.80}",
    )
    for name, term in terms.items():
        _require(isinstance(name, str), f"a term's name must be a string, got {name!r}")
        scalar = isinstance(term, Tensor) and term.dim() == 0
        got = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
        _require(scalar, f"term '{name}': expected a scalar tensor, got {got}")
        value = float(term.detach())
        _require(math.isfinite(value), f"term '{name}' is {value}")
    return dict(terms)


def _distillation(needs_generator: bool, progress: float, mixed: bool) -> Distillation:
    with _seeded(2):
        shapes = 3 * BATCH
        head = nn.Linear(WIDTH, CLASSES)
        features = torch.rand(BATCH, WIDTH, requires_grad=True)
        generator = Generator(WIDTH, points=64).eval().requires_grad_(False)
        known = torch.arange(shapes) % 2 == 0 if mixed else torch.ones(shapes, dtype=torch.bool)
        bank_labels = torch.where(known, torch.arange(shapes) % CLASSES, -1)
        rows = torch.arange(BATCH)
        batch = Distillation(
            labels=bank_labels[rows],
            labelled=known[rows],
            student_features=features,
            student_logits=head(features),
            head=head,
            progress=torch.tensor(progress),
            rows=rows,
            bank_features=torch.rand(shapes, WIDTH + 8),
            bank_labels=bank_labels,
            bank_labelled=known,
            teacher_features=torch.rand(BATCH, WIDTH),
            teacher_logits=torch.randn(BATCH, CLASSES),
            oof_logits=torch.randn(BATCH, CLASSES),
            mixed=mixed,
            average_logits=4 * torch.randn(BATCH, CLASSES),
        )
    return replace(batch, generator=generator) if needs_generator else batch


def _other_labels(batch: Distillation) -> Distillation:
    """The same batch, with a label where there is none."""
    return replace(
        batch,
        labels=torch.where(batch.labelled, batch.labels, CLASSES - 1),
        bank_labels=torch.where(batch.bank_labelled, batch.bank_labels, CLASSES - 1),
    )


def _other_teacher(batch: Distillation) -> Distillation:
    """The same batch, about which the teacher says something else."""
    names = ("bank_features", "teacher_features", "teacher_logits", "oof_logits")
    return replace(batch, **{name: 1 - 2 * getattr(batch, name) for name in names})


def _clouds(batch: int, number: int) -> Tensor:
    """Balls of random points, the later ones flatter; (B, N, 3) in the unit sphere."""
    points = torch.randn(batch, number, 3)
    points = points / points.norm(dim=-1, keepdim=True).clamp_min(1)
    flat = torch.linspace(1, 0.2, batch)[:, None, None] ** torch.tensor([0.0, 1.0, 2.0])
    clouds: Tensor = points * flat
    return clouds


def _box(color: bool) -> Shape:
    """A mesh with its cloud: both kinds of renderer find what they draw; `color`: red to yellow."""
    corners = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1], indexing="ij"), -1).reshape(8, 3)
    corners = corners * (0.6, 0.5, 0.4)
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [triangle for a, b, c, d in sides for triangle in ([a, b, c], [a, c, d])]
    points = np.random.default_rng(0).uniform(-1, 1, (512, 3)) * (0.6, 0.5, 0.4)
    return Shape(
        "box/check",
        corners.astype(np.float32),
        np.array(faces, np.int32),
        vertex_colors=np.array([[200, 25 * n, 0] for n in range(8)], np.uint8) if color else None,
        points=points.astype(np.float32),
    )


def _require(held: bool, message: str) -> None:
    if not held:
        raise AssertionError(message)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        yield

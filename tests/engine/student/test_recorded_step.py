"""The recorded step gives the plain one's numbers and changes nothing before it; what is recorded never waits.

Three proofs without a GPU: a recorder that does the work again must give the plain step's weights bit for bit; a whole
step on torch's `meta` device, where a tensor has no numbers to look at, must run for every backbone and objective; the
loop around it must run on fake CUDA tensors. On a GPU the `cuda` tests record for real.
"""

import contextlib
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.parameter import UninitializedParameter
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from typer.testing import CliRunner

from pointcmt_cli import discovery
from pointcmt_cli.cli import app
from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.engine.student import distill, recorded_step
from pointcmt_cli.engine.student import step as student_step
from pointcmt_cli.engine.student.batches import Resident
from pointcmt_cli.engine.student.cuda_graph import (
    CudaGraph,
    drawing_is_an_error,
    waiting_is_an_error,
)
from pointcmt_cli.engine.student.recorded_step import fast, recorded
from pointcmt_cli.engine.student.step import Step, Stepper, plain
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.engine.training.resume import Resume
from pointcmt_cli.errors import UsageError
from pointcmt_cli.models.classifier import Classifier
from pointcmt_cli.models.distillation import Distillation
from pointcmt_cli.models.generator import Generator as Clouds
from pointcmt_cli.records import Note, Progress, Record
from toy_distill import write_toy_features

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
Objective = Callable[[Distillation], dict[str, Tensor]]


class Again:
    """Records by remembering; what is recorded must be done from start to end each time."""

    def rehearse(self, work: Callable[[], None], strict: bool) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        return work


class Breaks(Again):
    """A device on which recording breaks off."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        work()
        raise RuntimeError("operation not permitted\nwhen stream is capturing")


class Loss(nn.Module):
    """An objective from a function; it has weights and a buffer of its own."""

    def __init__(self, terms: Callable[["Loss", Distillation], Tensor]) -> None:
        super().__init__()
        self.terms = terms
        self.bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("centre", torch.zeros(3))
        self.count = 0

    def forward(self, batch: Distillation) -> dict[str, Tensor]:
        entropy = nn.functional.cross_entropy(batch.student_logits + self.bias, batch.labels)
        return {"cross_entropy": entropy, "mine": self.terms(self, batch)}


def follows(loss: Loss, batch: Distillation) -> Tensor:
    """A running mean, kept as it should be: in place."""
    centre = cast("Tensor", loss.centre)
    centre.lerp_(batch.student_logits.detach().mean(dim=0), 0.1)
    return (1 - batch.progress) * (batch.student_logits - centre).square().mean()


def replaces(loss: Loss, batch: Distillation) -> Tensor:
    loss.centre = 0.9 * cast("Tensor", loss.centre) + batch.student_logits.detach().mean(dim=0)
    return batch.student_logits.square().mean()


def counts(loss: Loss, batch: Distillation) -> Tensor:
    loss.count += 1
    return batch.student_logits.square().mean() / loss.count


def reads(loss: Loss, batch: Distillation) -> Tensor:
    return batch.student_logits.square().mean() * (2.0 if batch.progress > 0.5 else 1.0)


@pytest.fixture
def config(tmp_path: Path) -> DistillConfig:
    write_toy_features(tmp_path / "features.h5")
    return DistillConfig(
        student="toy_networks:normed", objective="none", work=tmp_path, points=64, epochs=3, batch_size=6
    )  # fmt: skip


def built(
    config: DistillConfig, objective: nn.Module | None = None, device: str = "cpu"
) -> tuple[Step, torch.optim.Optimizer, Resident]:
    """What `distill` makes of a config, before its first step."""
    features = read_features(config.work / "features.h5")
    loss = objective or discovery.build("objectives", config.objective, {})
    data = Resident(features, torch.device(device), loss)
    with setup.seeded(0, "weights"):
        student = distill.build_student(config, features).to(device)
        generator = Clouds(16, 32).to(device).requires_grad_(False).eval()
        step = Step(student, loss.to(device), data, generator, config.precision)
        step.settle(config)
    rates = (config.lr, config.weight_decay, config.clip)
    return step, setup.optimizer(config.optimizer, step, *rates), data


def train(
    config: DistillConfig, step: Step, take: Stepper, optimizer: Any, data: Resident
) -> list[Any]:
    """Every epoch's means."""
    step.train()
    return [
        distill.train_epoch(take, optimizer, data, config, epoch) for epoch in range(config.epochs)
    ]


def state(step: Step, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All that a step changes, copied: weights, buffers, the optimizer's, and what the next random numbers will be."""
    found = [*step.parameters(), *step.buffers()]
    found += [each for values in optimizer.state.values() for each in values.values()]
    return [each.detach().cpu().clone() for each in found] + [torch.get_rng_state()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(map(torch.equal, one, other))


def notes(records: list[Record]) -> str:
    return "\n".join(each.text for each in records if isinstance(each, Note))


def chosen(
    step: Step, optimizer: torch.optim.Optimizer, example: Any, recorder: Any
) -> tuple[Stepper, list[Record]]:
    """The step that `distill` would take, and what it says."""
    return ended(recorded(step, optimizer, example, recorder))


def ended(made: Generator[Record, None, Stepper]) -> tuple[Stepper, list[Record]]:
    """What a generator returns, and what it yields before."""
    records: list[Record] = []
    while True:
        try:
            records.append(next(made))
        except StopIteration as ended:
            return ended.value, records


@pytest.mark.parametrize("others", [{}, {"optimizer": "sgd", "clip": 0.5}], ids=["adamw", "sgd"])
def test_the_recorded_step_ends_in_the_plain_ones_weights_bit_for_bit(
    config: DistillConfig, others: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, **others)
    outcomes = []
    taken: list[int] = []

    def counted(step: nn.Module, optimizer: torch.optim.Optimizer) -> Stepper:
        take = plain(step, optimizer)

        def also(rows: Tensor, points: Tensor, progress: Tensor) -> Mapping[str, Tensor]:
            taken.append(len(rows))
            return take(rows, points, progress)

        return also

    monkeypatch.setattr(recorded_step, "plain", counted)
    for quick in (False, True):
        step, optimizer, data = built(config, Loss(follows))
        take = plain(step, optimizer)
        if quick:
            take = fast(step, optimizer, next(data.batches(0, config)), Again())
        means = train(config, step, take, optimizer, data)
        outcomes.append((means, state(step, optimizer)))
    assert outcomes[0][0] == outcomes[1][0]
    assert same(outcomes[0][1], outcomes[1][1])
    rest = len(data.labels) % config.batch_size
    assert rest > 1
    assert taken.count(rest) == config.epochs  # the last batch of an epoch, the plain way


def test_rehearsing_and_recording_change_nothing(config: DistillConfig) -> None:
    step, optimizer, data = built(config, Loss(follows))
    example = next(data.batches(0, config))
    torch.manual_seed(3)
    before = state(step, optimizer)
    fast(step, optimizer, example, Again())
    after = state(step, optimizer)
    count = len(before) - 1
    assert same(before[:count], after[:count])  # weights and buffers
    assert torch.equal(before[-1], after[-1])  # random numbers
    made = after[count:-1]
    assert made
    assert not any(each.any() for each in made)  # AdamW before its first step
    assert all(each.grad is None for each in step.parameters())

    train(config, step, plain(step, optimizer), optimizer, data)  # and in the middle of a run
    before = state(step, optimizer)
    places = [each.data_ptr() for each in [*step.parameters(), *step.buffers()]]
    fast(step, optimizer, example, Again())
    assert same(before, state(step, optimizer))
    assert places == [each.data_ptr() for each in [*step.parameters(), *step.buffers()]]


@pytest.mark.parametrize(
    ("terms", "recorder", "text"),
    [
        (follows, Breaks(), r"operation not permitted (test_recorded_step.py, line "),
        (replaces, Again(), "objective.centre is replaced in every step; write into it instead"),
        (counts, Again(), "objective.count is replaced in every step; write into it instead"),
    ],
    ids=["recording breaks off", "a buffer is replaced", "a number is counted"],
)
def test_what_cannot_be_recorded_is_said_and_goes_the_plain_way(
    config: DistillConfig, terms: Any, recorder: Any, text: str
) -> None:
    outcomes = []
    for quick in (False, True):
        step, optimizer, data = built(config, Loss(terms))
        loss = cast("Loss", step.objective)
        take = plain(step, optimizer)
        if quick:
            centre, count = loss.centre, loss.count
            take, records = chosen(step, optimizer, next(data.batches(0, config)), recorder)
            assert text in notes(records)
            assert notes(records).startswith(
                "the step is not recorded, every step is launched by itself: "
            )
            assert isinstance(records[0], Note)
            assert records[0].warning
            assert (loss.centre is centre, loss.count) == (True, count)
        outcomes.append((train(config, step, take, optimizer, data), state(step, optimizer)))
    assert outcomes[0][0] == outcomes[1][0]
    assert same(outcomes[0][1], outcomes[1][1])


def test_what_is_recorded_is_a_step_in_training(config: DistillConfig) -> None:
    """After `settle` the student is in evaluation mode; recorded so, it would stay there."""
    step, optimizer, data = built(config)
    modes: list[bool] = []

    class Watches(Again):
        def record(self, work: Callable[[], None]) -> Callable[[], None]:
            modes.extend(each.training for each in step.modules())
            return work

    assert not step.student.training
    fast(step, optimizer, next(data.batches(0, config)), Watches())
    assert modes
    assert all(modes)


def test_processes_that_train_together_take_the_plain_step(
    config: DistillConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, optimizer, _ = built(config)
    data = cast("Resident", SimpleNamespace(points=SimpleNamespace(is_cuda=True)))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    for asked, text in ((None, ""), (True, "several processes train together")):
        made = recorded_step.stepper(step, optimizer, data, replace(config, fast=asked))
        _, records = ended(made)
        assert text in notes(records)
        assert len(records) == bool(asked)


def test_an_error_that_is_no_matter_of_recording_is_not_hidden(config: DistillConfig) -> None:
    def wrong(loss: Loss, batch: Distillation) -> Tensor:
        raise TypeError("a bug of the plug-in's")

    step, optimizer, data = built(config)
    step.objective = Loss(wrong)
    with pytest.raises(TypeError, match="a bug of the plug-in's"):
        chosen(step, optimizer, next(data.batches(0, config)), Again())


def test_random_numbers_of_the_host_are_seen() -> None:
    """A layer that is dropped by chance: the host looks at no tensor of the device, and would drop it for ever."""
    draws = (torch.rand, np.random.rand, lambda count: random.random())
    for draw in draws:
        with (
            pytest.raises(RuntimeError, match="random numbers are drawn on the host"),
            drawing_is_an_error(),
        ):
            draw(1)
    with drawing_is_an_error():
        torch.rand(1, generator=torch.Generator())


def test_the_rate_stays_where_the_recorded_step_reads_it(
    config: DistillConfig, tmp_path: Path
) -> None:
    """A resume file is read on the CPU; a rate taken from it would not be the one that was recorded."""
    step, _, _ = built(config)
    optimizer = torch.optim.AdamW(
        step.parameters(), lr=torch.tensor(1e-3), capturable=False, foreach=False
    )
    resume = Resume(tmp_path / "x.pt", "key")
    resume.save(step, optimizer, 1, [])
    rate = optimizer.param_groups[0]["lr"]
    assert resume.load(step, optimizer)[0] == 1
    assert optimizer.param_groups[0]["lr"] is rate


# What the recorded step may not do, for every backbone and objective.


FUSED = (torch.ops.aten._fused_adamw_.tensor_lr, torch.ops.aten._fused_sgd_.tensor_lr)
"""Updates, which know no tensors without numbers."""


class Only(TorchDispatchMode):
    """Every tensor of every operation is on this kind of device; its numbers are not looked at."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.seen: set[Any] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        assert func is not torch.ops.aten._local_scalar_dense.default, "a number is read"
        out = None if func in FUSED else func(*args, **kwargs)
        self.seen.add(func)
        for each in tree_leaves((args, kwargs, out)):
            if isinstance(each, Tensor):
                assert each.device.type == self.kind, f"{func} has a tensor on {each.device}"
        return out


@pytest.fixture
def meta_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast knows no `meta` device; on it there is nothing to cast."""
    real = torch.autocast

    def autocast(device_type: str, *args: Any, **options: Any) -> Any:
        if device_type == "meta":
            return contextlib.nullcontext()
        return real(device_type, *args, **options)

    monkeypatch.setattr(torch, "autocast", autocast)


def meta_step(
    student: str, options: dict[str, Any], objective: Callable[[], nn.Module]
) -> Callable[[], None]:
    """Two whole steps, forward and backward, on tensors without numbers."""
    shapes = {"points": (40, 600, 3), "teacher_features": (40, 16), "encoder_features": (40, 24)}
    shapes |= {"teacher_logits": (40, 5), "oof_logits": (40, 5)}
    with torch.device("meta"):
        data = SimpleNamespace(**{name: torch.empty(shape) for name, shape in shapes.items()})
        data.labels, rows = torch.empty(40).long(), torch.empty(4).long()
        progress = torch.empty(())
        encoder = discovery.build("backbones", student, options)
        generator = Clouds(16, 64).requires_grad_(False).eval()
        network, loss = Classifier(encoder, 5, 16, name=student), objective()
        data.labelled, data.mixed = torch.empty(40).bool(), getattr(loss, "uses_unlabelled", False)
        points = torch.empty(4 * (1 + getattr(loss, "uses_average", False)), 512, 3)
    step = Step(network, loss, cast("Resident", data), generator, "auto").train()

    def work() -> None:
        with Only("meta"):
            if any(isinstance(each, UninitializedParameter) for each in loss.parameters()):
                step(rows, points, progress)
            step(rows, points, progress)["loss"].backward()
        assert all(each.grad is not None for each in network.parameters())

    return work


MOST: dict[str, dict[str, Any]] = {
    "pointnet": {"transforms": True},
    "pointnet2": {"variant": "msg"},
    "curvenet": {"momentum": "reference"},
    "rscnn": {"relation": "reference"},
    "pointnext": {"variant": "b"},
}
"""Variants that do all that the others do."""
BACKBONES = [
    each.name for each in discovery.available("backbones") if each.distribution == "pointcmt"
]
OBJECTIVES = [
    ("none", {}),
    ("contrast", {}),
    ("pointcmt", {"recipe": "balanced", "head_weight": 1.0}),
    ("soft-labels", {}),
    ("self-training", {}),
    ("pointcmt", {"recipe": "reference"}),
]


@pytest.mark.parametrize("student", BACKBONES)
@pytest.mark.usefixtures("meta_autocast")
def test_no_backbone_waits_for_its_numbers(student: str) -> None:
    meta_step(student, MOST.get(student, {}), lambda: discovery.build("objectives", "none", {}))()


@pytest.mark.parametrize(("name", "options"), OBJECTIVES)
@pytest.mark.usefixtures("meta_autocast")
def test_no_objective_waits_for_its_numbers(name: str, options: dict[str, Any]) -> None:
    def built() -> nn.Module:
        objective = discovery.build("objectives", name, options)
        if name == "contrast":
            objective.parts[1].bank = torch.empty(40, 8)  # made once, of the whole train split
        return cast("nn.Module", objective)

    meta_step("pointnet", {}, built)()


def elsewhere(loss: Loss, batch: Distillation) -> Tensor:
    return batch.student_logits.square().mean() * torch.tensor(2.0)


def picks(loss: Loss, batch: Distillation) -> Tensor:
    return batch.student_logits[batch.labels > 1].mean()


@pytest.mark.parametrize("terms", [reads, elsewhere, picks])
@pytest.mark.usefixtures("meta_autocast")
def test_one_that_waits_would_be_seen(terms: Any) -> None:
    with pytest.raises((RuntimeError, AssertionError, NotImplementedError)):
        meta_step("pointnet", {}, lambda: Loss(terms))()


class Elsewhere(torch.Generator):
    """A generator that says it is on `meta`, where nothing is drawn."""

    device = torch.device("meta")


@pytest.mark.parametrize("filled", [False, True])
def test_the_loop_around_the_step_waits_once_per_epoch(
    config: DistillConfig, filled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Order, augmentation, rate and meter: a number that is read, or a copy from or to the host, fails."""
    features = read_features(config.work / "features.h5")
    if filled:
        features.shapes.points[:, 64:] = features.shapes.points[:, :32]
    data = Resident(features, torch.device("meta"), None)
    rate = torch.empty((), device="meta")
    optimizer = cast("torch.optim.Optimizer", SimpleNamespace(param_groups=[{"lr": rate}]))
    monkeypatch.setattr(setup, "stream", lambda *keys, device="cpu": Elsewhere())
    monkeypatch.setattr(student_step.Meter, "means", lambda meter: {"steps": len(meter.losses)})

    def take(rows: Tensor, points: Tensor, progress: Tensor) -> Mapping[str, Tensor]:
        assert points.shape == (len(rows), config.points, 3)
        return {"loss": progress.clone(), "accuracy": progress.clone()}

    with Only("meta"):
        found = distill.train_epoch(take, optimizer, data, config, 0)
    assert found == {"steps": data.steps(config)}
    assert optimizer.param_groups[0]["lr"] is rate


def fake_adamw(weights: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(weights.parameters(), lr=1.0, fused=True, capturable=True)


def fake_sgd(weights: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(weights.parameters(), lr=1.0, momentum=0.9, fused=True)


@pytest.mark.parametrize(
    ("name", "fused"), list(zip(["adamw", "sgd"], FUSED, strict=True)), ids=["adamw", "sgd"]
)
def test_the_update_does_not_wait(name: Any, fused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An optimizer as on CUDA, on fake tensors, with shortened gradients."""
    fakes = {"adamw": fake_adamw, "sgd": fake_sgd}
    monkeypatch.setattr(setup, "OPTIMIZERS", {name: lambda weights, *_: fakes[name](weights)})
    with FakeTensorMode(), torch.device("cuda", 0):
        weights = nn.ParameterList([torch.empty(3, 4), torch.empty(4)])
        optimizer = setup.optimizer(name, weights, 1.0, 0.0, clip=1.0)
        optimizer.param_groups[0]["lr"] = torch.empty(())  # AdamW looks at it, but when made only
        for each in weights:
            each.grad = torch.empty_like(each)
        with Only("cuda") as only:
            for _ in range(2):
                setup.set_rate(optimizer, 0.1)
                optimizer.step()
        assert fused in only.seen
        kept = [each for values in optimizer.state.values() for each in values.values()]
        assert kept
        assert all(each.is_cuda for each in kept)


# The option.


def test_fast_needs_cuda_and_does_not_change_the_run(
    config: DistillConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [
        "distill",
        "--student",
        "toy_networks:normed",
        "--objective",
        "none",
        "--work",
        str(config.work),
    ]
    line += ["--points", "64", "--epochs", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, [*line, "--fast"])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == (
        "--fast: only a step on CUDA can be recorded; leave it out on a CPU"
    )
    assert CliRunner().invoke(app, line).exit_code == 0
    again = CliRunner().invoke(app, [*line, "--no-fast"])
    assert "is up to date" in again.output


# On a GPU.


def moved(one: list[Tensor], other: list[Tensor]) -> float:
    """Distance of two states' weights."""
    pairs = zip(one, other, strict=True)
    return sum(float((a.double() - b.double()).square().sum()) for a, b in pairs) ** 0.5


def weights(step: Step) -> list[Tensor]:
    return [each.detach().cpu().clone() for each in step.parameters()]


@on_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("student", "objective"),
    [
        ("toy_networks:normed", "none"),
        ("pointnet", "contrast"),
        ("pointnet2", "pointcmt"),
        ("dgcnn", "none"),
        ("pointmlp", "none"),
        ("pct", "none"),
        ("pointnext", "none"),
        ("rscnn", "none"),
        ("curvenet", "none"),
    ],
)
def test_cuda_the_recorded_step_is_the_plain_one(
    config: DistillConfig, student: str, objective: str, precision: Any
) -> None:
    """Not bit for bit: sums by atomic additions differ from run to run on CUDA, recorded or not."""
    config = replace(config, student=student, objective=objective, precision=precision, epochs=2)
    found = []
    for quick in (False, True):
        step, optimizer, data = built(config, device="cuda")
        start, take = weights(step), plain(step, optimizer)
        if quick:
            take = fast(step, optimizer, next(data.batches(0, config)), CudaGraph())
            assert same(start, weights(step))
        means = train(config, step, take, optimizer, data)
        found.append((means[-1]["loss"], weights(step)))
    tolerance = 0.05 if precision == "fp32" else 0.2
    assert found[1][0] == pytest.approx(found[0][0], rel=tolerance)
    assert moved(found[0][1], found[1][1]) < 0.3 * moved(start, found[0][1])


@on_cuda
@pytest.mark.parametrize("objective", ["none", "contrast", "pointcmt"])
@pytest.mark.parametrize("quick", [False, True])
def test_cuda_an_epoch_does_not_wait(
    config: DistillConfig, objective: str, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, student="pointnet2", objective=objective)
    step, optimizer, data = built(config, device="cuda")
    take = plain(step, optimizer)
    if quick:
        take = fast(step, optimizer, next(data.batches(0, config)), CudaGraph())
    train(config, step, take, optimizer, data)
    monkeypatch.setattr(student_step.Meter, "means", lambda meter: {"steps": len(meter.losses)})
    with waiting_is_an_error():
        found = distill.train_epoch(take, optimizer, data, config, 0)
    assert found == {"steps": data.steps(config)}


def only_when_recorded(loss: Loss, batch: Distillation) -> Tensor:
    recording = torch.cuda.is_current_stream_capturing()
    return batch.student_logits.square().mean() * (batch.progress.item() if recording else 1.0)


@on_cuda
@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (reads, "synchronizing CUDA operation (test_recorded_step.py, line "),
        (only_when_recorded, ""),
    ],
)
def test_cuda_what_waits_goes_the_plain_way(config: DistillConfig, terms: Any, text: str) -> None:
    """Dropout included: a recording that breaks off must not keep the generator."""
    found = []
    for quick in (False, True):
        step, optimizer, data = built(config, Loss(terms), device="cuda")
        take = plain(step, optimizer)
        if quick:
            before = weights(step)
            take, records = chosen(step, optimizer, next(data.batches(0, config)), CudaGraph())
            assert notes(records).startswith(
                "the step is not recorded, every step is launched by itself: "
            )
            assert text in notes(records)
            assert same(before, weights(step))
        found.append(train(config, step, take, optimizer, data)[-1]["loss"])
    assert found[1] == pytest.approx(found[0], rel=1e-3)


@on_cuda
def test_cuda_an_interrupted_run_goes_on_recorded(config: DistillConfig, tmp_path: Path) -> None:
    config = replace(config, device="cuda", epochs=12, lr=1e-2)
    for record in distill.distill(replace(config, out=tmp_path / "parts.pt")):
        if isinstance(record, Progress) and record.done == 3:
            break
    records = list(distill.distill(replace(config, out=tmp_path / "parts.pt")))
    assert "going on after epoch" in notes(records)
    assert "not recorded" not in notes(records)
    for out, quick in (("whole.pt", True), ("plain.pt", False)):
        list(distill.distill(replace(config, out=tmp_path / out, fast=quick)))
    losses = [
        (tmp_path / f"{name}.metrics.csv").read_text().splitlines()[-1].split(",")[1]
        for name in ("parts", "whole", "plain")
    ]
    assert [float(each) for each in losses] == pytest.approx([float(losses[2])] * 3, rel=0.05)
    states = [checkpoint.load(tmp_path / f"{name}.pt")["state_dict"] for name in ("parts", "whole")]
    assert all(
        torch.allclose(*pair, atol=1e-2) for pair in zip(*map(dict.values, states), strict=True)
    )


@on_cuda
def test_cuda_a_recording_takes_no_more_than_a_few_steps_memory(config: DistillConfig) -> None:
    config = replace(config, student="pointnet2", batch_size=32)
    step, optimizer, data = built(config, device="cuda")
    torch.cuda.reset_peak_memory_stats()
    train(replace(config, epochs=1), step, plain(step, optimizer), optimizer, data)
    alone = torch.cuda.max_memory_allocated()
    take = fast(step, optimizer, next(data.batches(0, config)), CudaGraph())
    train(replace(config, epochs=1), step, take, optimizer, data)
    assert torch.cuda.memory_reserved() < 3 * alone + 2**28

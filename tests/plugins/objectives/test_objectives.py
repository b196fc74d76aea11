"""Objectives against slow, obvious formulas; what carries a gradient and what does not."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from pointcmt_cli import discovery
from pointcmt_cli.models.distillation import Distillation
from pointcmt_cli.models.generator import Generator

B, D, K, S, E = 6, 10, 4, 20, 12


@pytest.fixture
def batch() -> Distillation:
    numbers = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=numbers)

    torch.manual_seed(0)
    head = nn.Linear(D, K)
    features = normal(B, D).requires_grad_()
    rows = torch.tensor([3, 0, 7, 11, 12, 19])
    bank_labels = torch.arange(S) % K
    return Distillation(
        labels=bank_labels[rows],
        labelled=torch.ones(B, dtype=torch.bool),
        student_features=features,
        student_logits=head(features),
        head=head,
        progress=torch.tensor(0.0),
        rows=rows,
        bank_features=normal(S, E),
        bank_labels=bank_labels,
        bank_labelled=torch.ones(S, dtype=torch.bool),
        teacher_features=normal(B, D).relu(),
        teacher_logits=normal(B, K),
        oof_logits=normal(B, K),
        generator=Generator(D, points=8).eval().requires_grad_(False),
    )


def objective(name: str, **options: Any) -> Any:
    return discovery.build("objectives", name, options)


def smoothed(logits: Tensor, labels: Tensor, eps: float, over: int, right: float) -> float:
    total = 0.0
    for row, label in zip(logits.detach().log_softmax(1).tolist(), labels.tolist(), strict=True):
        for index, value in enumerate(row):
            total -= (right if index == label else eps / over) * value
    return total / len(labels)


def test_none_is_torch_smoothing(batch: Distillation) -> None:
    terms = objective("none")(batch)
    expected = smoothed(batch.student_logits, batch.labels, 0.2, K, 0.8 + 0.2 / K)
    assert set(terms) == {"cross_entropy"}
    assert terms["cross_entropy"].item() == pytest.approx(expected, rel=1e-5)


def test_reference_smoothing_spreads_over_the_wrong_classes(batch: Distillation) -> None:
    terms = objective("pointcmt", recipe="reference")(batch)
    expected = smoothed(batch.student_logits, batch.labels, 0.2, K - 1, 0.8)
    assert terms["cross_entropy"].item() == pytest.approx(expected, rel=1e-5)


def divergence(batch: Distillation) -> float:
    """Sum over the batch of KL(softmax head(teacher) || softmax student)."""
    target = batch.head(batch.teacher_features).softmax(1).tolist()
    guess = batch.student_logits.softmax(1).tolist()
    pairs = zip(target, guess, strict=True)
    return sum(p * math.log(p / q) for ps, qs in pairs for p, q in zip(ps, qs, strict=True))


def test_classifier_term_sum_in_the_reference_mean_in_balanced(batch: Distillation) -> None:
    reference = objective("pointcmt", recipe="reference")(batch)["classifier"]
    balanced = objective("pointcmt", classifier_weight=0.3, warm_up=0.0)(batch)["classifier"]
    assert reference.item() == pytest.approx(0.3 * divergence(batch), rel=1e-4)
    assert balanced.item() == pytest.approx(0.3 * divergence(batch) / B, rel=1e-4)


def test_feature_term_is_the_emd_of_the_generated_clouds(batch: Distillation) -> None:
    assert batch.generator is not None
    total = 0.0
    with torch.no_grad():
        made, wanted = (
            batch.generator(each) for each in (batch.student_features, batch.teacher_features)
        )
    for one, two in zip(made.double().numpy(), wanted.double().numpy(), strict=True):
        boxed = []
        for cloud in (one, two):
            low, high = cloud.min(0), cloud.max(0)
            boxed.append((cloud - (low + high) / 2) / (high - low).max())
        cost = ((boxed[0][:, None] - boxed[1][None]) ** 2).sum(-1) ** 0.5
        total += cost[linear_sum_assignment(cost)].mean()
    terms = objective("pointcmt", feature_weight=2.0, warm_up=0.0)(batch)
    assert terms["feature"].item() == pytest.approx(2 * total / B, rel=5e-3)


def test_only_the_reference_lets_gradients_into_its_target(batch: Distillation) -> None:
    head = batch.head
    assert isinstance(head, nn.Linear)
    for recipe, into_target in (("reference", True), ("balanced", False)):
        module = objective("pointcmt", recipe=recipe, feature_weight=0.0, warm_up=0.0)
        term = module(batch)["classifier"]
        direct = torch.autograd.grad(term, batch.student_logits, retain_graph=True)[0]
        through_logits = direct.T @ batch.student_features.detach()
        whole = torch.autograd.grad(term, head.weight)[0]
        assert torch.allclose(whole, through_logits, atol=1e-5) is not into_target
        batch = _again(batch)


def _again(batch: Distillation) -> Distillation:
    features = batch.student_features.detach().requires_grad_()
    return replace(batch, student_features=features, student_logits=batch.head(features))


def test_weights_of_zero_leave_terms_and_generator_out(batch: Distillation) -> None:
    for recipe in ("balanced", "reference"):
        module = objective("pointcmt", recipe=recipe, feature_weight=0.0, classifier_weight=0.0)
        assert set(module(batch)) == {"cross_entropy"}
        assert not module.needs_generator
    assert objective("pointcmt").needs_generator


def test_warm_up_starts_at_nothing(batch: Distillation) -> None:
    terms = objective("pointcmt", warm_up=0.5)(replace(batch, progress=torch.tensor(0.25)))
    whole = objective("pointcmt", warm_up=0.0)(batch)
    for name in ("classifier", "feature"):
        assert terms[name].item() == pytest.approx(whole[name].item() / 2, rel=1e-5)


def test_contrast_is_the_cross_entropy_to_the_mixed_target(batch: Distillation) -> None:
    module = objective(
        "contrast", class_share=0.25, temperature=0.5, whitened=5, width=7, weight=2.0
    )
    terms = module(batch)
    module = module.parts[1]
    bank = module.bank
    assert bank.shape == (S, 5)
    assert torch.allclose(bank.T @ bank / S, torch.eye(5), atol=1e-4)
    total = 0.0
    with torch.no_grad():
        points = module.points_to_shared(batch.student_features)
        pictures = module.pictures_to_shared(bank)
        for point, row, label in zip(
            points, batch.rows.tolist(), batch.labels.tolist(), strict=True
        ):
            cosines = [float(torch.cosine_similarity(point, each, dim=0)) for each in pictures]
            norm = sum(math.exp(value / 0.5) for value in cosines)
            members = [index for index in range(S) if index % K == label]
            for index in range(S):
                target = 0.25 * (index in members) / len(members) + 0.75 * (index == row)
                total -= target * (cosines[index] / 0.5 - math.log(norm))
    assert terms["contrast"].item() == pytest.approx(2 * total / B, rel=1e-4)


def test_contrast_gives_gradients_to_student_and_projections(batch: Distillation) -> None:
    module = objective("contrast", whitened=5)
    module(batch)["contrast"].backward()
    assert batch.student_features.grad is not None
    assert batch.student_features.grad.abs().sum() > 0
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in module.parameters())


def test_contrast_falls_to_nothing(batch: Distillation) -> None:
    module = objective("contrast", whitened=5)
    whole = module(batch)["contrast"].item()
    assert module(replace(batch, progress=torch.tensor(0.75)))["contrast"].item() == pytest.approx(
        whole / 4
    )
    assert module(replace(batch, progress=torch.tensor(1.0)))["contrast"].item() == 0.0


@pytest.fixture
def mixed(batch: Distillation) -> Distillation:
    """Of six shapes the first, third and fourth have a label, and every second one of the bank."""
    labelled = torch.tensor([True, False, True, True, False, False])
    known = torch.arange(S) % 2 == 0
    known[batch.rows] = labelled
    return replace(
        batch,
        labels=torch.where(labelled, batch.labels, -1),
        labelled=labelled,
        bank_labels=torch.where(known, batch.bank_labels, -1),
        bank_labelled=known,
        mixed=True,
        average_logits=4 * batch.oof_logits,
    )


def test_only_labelled_shapes_have_a_cross_entropy(mixed: Distillation) -> None:
    of = mixed.labelled
    expected = smoothed(mixed.student_logits[of], mixed.labels[of], 0.2, K, 0.8 + 0.2 / K)
    assert objective("none")(mixed)["cross_entropy"].item() == pytest.approx(expected, rel=1e-5)


def test_soft_labels_are_the_divergence_from_the_teacher_where_no_label_is(
    mixed: Distillation,
) -> None:
    module = objective("soft-labels", temperature=2.0, weight=0.5, confidence=0.3)
    total, count = 0.0, 0
    for row in (1, 4, 5):
        teacher = mixed.teacher_logits[row]
        if teacher.softmax(0).max() < 0.3:
            continue
        count += 1
        said = (mixed.student_logits[row].detach() / 2).log_softmax(0).tolist()
        for share, log in zip((teacher / 2).softmax(0).tolist(), said, strict=True):
            total += share * (math.log(share) - log)
    assert count > 0
    found = module(mixed)["soft_labels"].item()
    assert found == pytest.approx(0.5 * 4 * total / count, rel=1e-4)


def test_where_every_shape_has_a_label_soft_labels_are_out_of_fold(batch: Distillation) -> None:
    found = objective("soft-labels")(batch)["soft_labels"]
    target = batch.oof_logits.softmax(1)
    expected = (target * (target.log() - batch.student_logits.log_softmax(1))).sum(1).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective("contrast", whitened=5)(batch).keys() == {"cross_entropy", "contrast"}


def test_self_training_learns_its_own_sure_guesses(mixed: Distillation) -> None:
    module = objective("self-training", confidence=0.7, warm_up=0.0)
    total = 0.0
    assert mixed.average_logits is not None
    for row in (1, 4, 5):
        shares = mixed.average_logits[row].softmax(0)
        if shares.max() >= 0.7:
            total -= mixed.student_logits[row].detach().log_softmax(0)[shares.argmax()].item()
    assert total > 0
    assert module(mixed)["consistency"].item() == pytest.approx(total / 3, rel=1e-5)


def test_contrast_gives_a_shape_without_a_label_its_own_picture_alone(mixed: Distillation) -> None:
    module = objective("contrast", class_share=0.25, temperature=0.5, whitened=5, width=7)
    found = module(mixed)["contrast"].item()
    part = module.parts[1]
    total = 0.0
    with torch.no_grad():
        points = part.points_to_shared(mixed.student_features)
        pictures = part.pictures_to_shared(part.bank)
        for point, row, label in zip(
            points, mixed.rows.tolist(), mixed.labels.tolist(), strict=True
        ):
            cosines = [float(torch.cosine_similarity(point, each, dim=0)) for each in pictures]
            norm = sum(math.exp(value / 0.5) for value in cosines)
            members = [
                index
                for index in range(S)
                if label >= 0 and bool(mixed.bank_labelled[index]) and index % K == label
            ]
            for index in range(S):
                own = 1.0 if label < 0 else 0.75
                target = own * (index == row)
                target += 0.25 * (index in members) / max(1, len(members))
                total -= target * (cosines[index] / 0.5 - math.log(norm))
    assert found == pytest.approx(total / B, rel=1e-4)


def test_the_head_can_learn_the_teachers_features(mixed: Distillation) -> None:
    terms = objective("pointcmt", head_weight=0.5, feature_weight=0)(mixed)
    of = mixed.labelled
    logits = mixed.head(mixed.teacher_features)[of]
    expected = 0.5 * smoothed(logits, mixed.labels[of], 0.2, K, 0.8 + 0.2 / K)
    assert terms["head"].item() == pytest.approx(expected, rel=1e-5)
    assert "head" not in objective("pointcmt", feature_weight=0)(mixed)

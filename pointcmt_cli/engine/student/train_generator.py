"""Stage II, the generator (CMPG): teacher feature (D) -> cloud (1,024, 3); trained by `distill`, kept in generator.pt.

PointCMT section 3.2 and its train_cmpg.py: loss 30 x EMD to the true cloud, both in a unit box, Adam 1e-3, 50 epochs,
teacher frozen. The generator of the train split is scored on the held-out split; test is not touched.
"""

from collections.abc import Generator as Yields
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.clouds.augmentation import FROM_AVAILABLE, draw
from pointcmt_cli.data.clouds.sampling import available, is_filled
from pointcmt_cli.data.store.features import Features
from pointcmt_cli.engine.student.step import Meter
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.engine.training.beside import differences, write_run
from pointcmt_cli.engine.training.finished import protect
from pointcmt_cli.engine.training.resume import Resume
from pointcmt_cli.engine.training.stored import GeneratorFile
from pointcmt_cli.files import digest, plain
from pointcmt_cli.models.generator import Generator, generator_loss, unit_box
from pointcmt_cli.ops.emd.distance import earth_movers_distance
from pointcmt_cli.provenance import record
from pointcmt_cli.records import Note, Progress, Record
from pointcmt_cli.splits import HELD_OUT, TRAIN


def train_generator(
    config: DistillConfig, features: Features, device: torch.device
) -> Yields[Record, None, nn.Module]:
    """The frozen generator of these features, from generator.pt where it matches, else trained and kept there."""
    assert config.generator is not None
    key = generator_key(config, features, device)
    width = features.teacher_features.shape[1]
    points = min(config.generator_points, features.shapes.points.shape[1])
    with setup.seeded(config.seed, "generator"):
        generator = Generator(width, points, config.generator_layers).to(device)
    kept = checkpoint.existing_generator(config.generator, config.force)
    if kept and kept["provenance"].get("run_key") == key:
        generator.load_state_dict(kept["state_dict"])
        yield Note(
            f"{config.generator} matches: held-out EMD {kept['metrics']['held_out_emd']:.4f}"
        )
        return freeze(generator)
    if kept:
        if config.generator not in default_generators(config):
            protect(config.generator, other_settings(kept, config), "--generator")
        yield Note(f"{config.generator} was made from other features or settings: retraining it")

    inputs = torch.from_numpy(features.teacher_features).to(device)
    clouds = torch.from_numpy(features.shapes.points).to(device)
    given = torch.from_numpy(available(features.shapes.points)).to(device)
    train = torch.from_numpy(features.shapes.rows(TRAIN)).to(device)
    optimizer = torch.optim.Adam(generator.parameters(), lr=config.generator_lr)
    resume = Resume(config.generator, key)
    start, history = resume.load(generator, optimizer)
    for epoch in range(start, config.generator_epochs):
        generator.train()
        numbers = setup.stream(config.seed, "generator", epoch, device=device)
        order = train[torch.randperm(len(train), generator=numbers, device=device)]
        batches = [
            rows for rows in torch.split(order, config.generator_batch_size) if len(rows) > 1
        ]
        meter = Meter("generator", epoch)
        with setup.seeded(config.seed, "generator epoch", epoch):
            for rows in batches:
                target = draw(clouds[rows], generator.points, numbers, given[rows])
                loss = generator_loss(generator(inputs[rows]), target)
                meter.add({"loss": loss})
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        means = meter.means()
        history.append({"epoch": epoch + 1, **means})
        resume.save(generator, optimizer, epoch + 1, history)
        yield Progress("generator", epoch + 1, config.generator_epochs, "epochs", means)
    distance = held_out_emd(generator, features, config, device)
    yield Note(f"generator: held-out EMD {distance:.4f} (mean distance in the unit box)")
    assert config.features is not None
    made = record({"features": (config.features, features.shapes.digest)})
    write_run(config.generator, asdict(config), history, made)
    values: GeneratorFile = {
        "format": checkpoint.FORMAT,
        "version": checkpoint.VERSION,
        "group": "generator",
        "layers": config.generator_layers,
        "width": width,
        "points": generator.points,
        "metrics": {"held_out_emd": distance},
        "settings": settings_of(config),
        "provenance": {"kind": "generator", "run_key": key},
        "record": plain(made),
        "state_dict": {name: each.cpu() for name, each in generator.state_dict().items()},
    }
    checkpoint.save(config.generator, values)
    resume.clear()
    return freeze(generator)


def generator_key(config: DistillConfig, features: Features, device: torch.device) -> str:
    """Changes whenever the generator's weights could."""
    settings = (
        config.generator_layers,
        config.generator_epochs,
        config.generator_points,
        config.generator_batch_size,
        config.generator_lr,
        device.type,
    )
    filled = [FROM_AVAILABLE] if is_filled(features.shapes.points) else []
    return digest("generator", settings, config.seed, features.shapes.digest, *filled)


def default_generators(config: DistillConfig) -> tuple[Path, Path]:
    """The files that nobody named: a generator is there to be trained again when they are."""
    return config.work / "generator.pt", config.work / f"generator-s{config.seed}.pt"


def settings_of(config: DistillConfig) -> dict[str, Any]:
    """The settings that decide a generator's weights, by the names of their options."""
    return {
        "--generator-layers": config.generator_layers,
        "--generator-epochs": config.generator_epochs,
        "--generator-points": config.generator_points,
        "--seed": config.seed,
    }


def other_settings(kept: GeneratorFile, config: DistillConfig) -> list[str]:
    """What differs from the settings of an older generator; a file of before they were kept says its layers."""
    before = kept.get("settings", {"--generator-layers": kept["layers"]})
    after = settings_of(config)
    return differences(before, {key: value for key, value in after.items() if key in before})


def freeze(generator: Generator) -> nn.Module:
    """No gradients, eval mode, as in the reference."""
    return generator.requires_grad_(False).eval()


def held_out_emd(
    generator: Generator, features: Features, config: DistillConfig, device: torch.device
) -> float:
    """Mean EMD in the unit box over the held-out split (over train where there is none)."""
    rows = features.shapes.rows(HELD_OUT)
    rows = rows if len(rows) else features.shapes.rows(TRAIN)
    clouds = torch.from_numpy(features.shapes.points[rows]).to(device)
    given = torch.from_numpy(available(features.shapes.points[rows])).to(device)
    numbers = setup.stream(config.seed, "generator held-out")
    target = draw(clouds, generator.points, numbers, given)
    generator.eval()
    with torch.no_grad():
        made = generator(torch.from_numpy(features.teacher_features[rows]).to(device))
        return float(earth_movers_distance(unit_box(made), unit_box(target)).mean())

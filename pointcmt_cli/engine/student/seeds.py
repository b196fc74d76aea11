"""One student, several seeds. In: the settings of `distill`; out: a checkpoint per seed, and their scores' spread."""

from dataclasses import replace

from pointcmt_cli.config import DistillConfig
from pointcmt_cli.data.store.features import read_features
from pointcmt_cli.engine.student.distill import distill, resolve, settled
from pointcmt_cli.engine.student.provenance import other_settings
from pointcmt_cli.engine.training import checkpoint, setup
from pointcmt_cli.engine.training.finished import protect
from pointcmt_cli.engine.training.metrics import spread
from pointcmt_cli.launched import world
from pointcmt_cli.records import Note, Records, Result
from pointcmt_cli.splits import HELD_OUT, TEST, key_of

SPLITS = (key_of(HELD_OUT), key_of(TEST))


def distill_seeds(config: DistillConfig, seeds: int) -> Records:
    """Train the seeds from `config.seed` on, one after another; a seed that is up to date is kept, as `distill` does.

    STUDENT.pt becomes STUDENT-s0.pt, STUDENT-s1.pt, ..., and generator.pt likewise, which depends on the seed too. All
    learn from one features.h5: the spread is of the student's training, not of the teacher's.
    """
    if world() == 1:  # of several processes, each seed's first one looks
        protect_all(config, seeds)
    runs = []
    for done, seed in enumerate(range(config.seed, config.seed + seeds)):
        one = of_seed(config, seed)
        yield Note(f"seed {seed} ({done + 1} of {seeds}): {one.out}")
        for record in distill(one):
            if isinstance(record, Result):
                runs.append({"seed": seed, **record.values})
            else:
                yield record
    scored = {split: [run[split] for run in runs if run[split]] for split in SPLITS}
    yield Result(
        {
            "runs": runs,
            **{
                split: {key: spread([each[key] for each in found]) for key in ("oa", "macc")}
                for split, found in scored.items()
                if found
            },
        }
    )


def protect_all(config: DistillConfig, seeds: int) -> None:
    """Refuse before the first seed is trained what a later one would be refused for."""
    for seed in range(config.seed, config.seed + seeds):
        one = resolve(of_seed(config, seed))
        out = one.out
        assert out is not None
        assert one.features is not None
        if (kept := checkpoint.existing(out, "student", one.force)) is None:
            continue
        features = read_features(one.features)
        stored = features.shapes.points.shape[1]
        one = replace(one, points=min(one.points, stored))
        one = settled(one, setup.choose_device(one.device))
        protect(out, other_settings(kept, one, features))


def of_seed(config: DistillConfig, seed: int) -> DistillConfig:
    """The settings of one seed: its own checkpoint and generator."""
    named = resolve(config)
    assert named.out is not None
    assert named.generator is not None
    out, generator = (
        path.with_name(f"{path.stem}-s{seed}{path.suffix}") for path in (named.out, named.generator)
    )
    return replace(config, seed=seed, out=out, generator=generator)

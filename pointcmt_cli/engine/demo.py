"""`demo`: every stage in turn on shapes that are generated here; the yardstick beside the distilled student included.

One seed and little data: it shows that everything works on this machine and what the files look like. It is no evidence
for or against the method; that is docs/does-it-help.md.
"""

import time
from collections.abc import Generator
from typing import Any

from pointcmt_cli import discovery
from pointcmt_cli.config import (
    PLAIN_OBJECTIVE,
    DemoConfig,
    DistillConfig,
    RenderConfig,
    TeacherConfig,
)
from pointcmt_cli.data.demo_shapes import CLASSES, write_demo_meshes
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.engine.student.distill import distill
from pointcmt_cli.engine.teacher.train_teacher import train_teacher
from pointcmt_cli.errors import FinishedError
from pointcmt_cli.records import Note, Record, Records, Result


def demo(config: DemoConfig) -> Records:
    """Generate, render, hide most labels, teach, distil (and train the plain student); ends in three test scores."""
    began = time.monotonic()
    discovery.find("backbones", config.student)
    meshes = config.work / f"meshes-{config.shapes}-{config.seed}"
    count = write_demo_meshes(meshes, config.shapes, config.shapes // 2, config.seed)
    yield Note(f"{count} shapes of {len(CLASSES)} classes in {meshes}")
    yield from _values(
        render(
            RenderConfig(
                meshes,
                work=config.work,
                rig=config.rig,
                image_size=config.image_size,
                force=True,
                preview=config.work / "preview.png",
            )
        )
    )
    teacher = yield from _trained(
        train_teacher(
            TeacherConfig(
                work=config.work,
                labels_per_class=str(config.labels),
                seed=config.seed,
                device=config.device,
            )
        )
    )
    scores = {"teacher": teacher["test"]}
    for label, objective in (
        ("plain student (labels alone)", PLAIN_OBJECTIVE),
        ("taught student (all shapes)", DistillConfig.objective),
    ):
        student = yield from _trained(
            distill(
                DistillConfig(
                    student=config.student,
                    objective=objective,
                    work=config.work,
                    points=config.points,
                    epochs=config.epochs,
                    seed=config.seed,
                    device=config.device,
                )
            )
        )
        scores[label] = student["test"]
    seconds = time.monotonic() - began
    example = min(meshes.glob("mug/test/*.off"))
    yield Result(
        {"scores": scores, "work": str(config.work), "example": str(example), "seconds": seconds}
    )


def _trained(stage: Records) -> Generator[Record, None, dict[str, Any]]:
    """Values of a training; a demo of other settings takes another folder."""
    try:
        return (yield from _values(stage))
    except FinishedError as error:
        raise FinishedError(error.finding, "name another folder with --work") from error


def _values(stage: Records) -> Generator[Record, None, dict[str, Any]]:
    """Pass a stage's records on; returns the values of its Result."""
    for record in stage:
        if isinstance(record, Result):
            return dict(record.values)
        yield record
    return {}

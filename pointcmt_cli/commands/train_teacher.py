"""`pointcmt train-teacher`: views.h5 -> teacher.pt and features.h5."""

from pointcmt_cli.commands import options
from pointcmt_cli.config import DistillConfig, TeacherConfig


@options.of(TeacherConfig)
def train_teacher(config: TeacherConfig) -> None:
    """Train an image network on the views, and keep what it says of every shape.

    Example: pointcmt train-teacher --teacher mvcnn --weights resnet18-f37072fd.pth
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.teacher.train_teacher import train_teacher as stage

    result = console.follow(stage(config))
    selected = f"held-out, epoch {result['selected_epoch']} (selected by {result['selected_by']})"
    scores = {
        selected: result["held_out"],
        "held-out, last epoch": result["last_epoch"],
        "out of fold (train shapes, heads that never saw them)": result["out_of_fold"],
        "test": result["test"],
    }
    few = result["labels_per_class"]
    console.scores(
        f"Teacher {result['teacher']}{f', {few} labels per class' if few else ''}", scores
    )
    console.line(f"{result['checkpoint']}, {result['features']}")
    where = "" if config.work == TeacherConfig.work else f" --work {config.work}"
    console.line(f"next: pointcmt distill --student {DistillConfig.student}{where}")

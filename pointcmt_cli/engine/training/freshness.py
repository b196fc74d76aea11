"""Is a features.h5 still what its neighbours would give? In: its path; out: the neighbour that has changed since."""

from pathlib import Path

from pointcmt_cli.data.store.views import read_attributes
from pointcmt_cli.engine.training import checkpoint


def changed_source(features: Path) -> str | None:
    """One line when views.h5 or teacher.pt beside a features.h5 is not what it was made from; None: all is well.

    Compared by the hashes that the files carry; what is not there cannot have changed.
    """
    views, teacher = features.with_name("views.h5"), features.with_name("teacher.pt")
    if features.name == views.name or not features.exists():
        return None
    made_from = read_attributes(features)
    changed = None
    if views.exists() and read_attributes(views)["digest"] != made_from.get("views_digest"):
        changed = views
    elif teacher.exists():
        now = checkpoint.load(teacher).get("provenance", {}).get("digest")
        changed = None if now == made_from.get("teacher_digest") else teacher
    if changed is None:
        return None
    mend = f"`pointcmt train-teacher` makes {features.name} again"
    return f"{changed} is not the one that {features} was made from; {mend}"

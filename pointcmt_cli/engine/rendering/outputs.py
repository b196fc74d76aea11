"""The two ends of `render`: a views.h5, or a folder of pictures. In: a plan, then what was drawn; out: files.

Both have the same methods, called in this order: opened, reusable, begin, finish, preview, identity. The same command
goes on where it stopped.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pointcmt_cli.data.folders.sources import Item
from pointcmt_cli.data.pictures import contact_sheet
from pointcmt_cli.data.pictures.written import Pictures
from pointcmt_cli.data.store import views
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.data.store.shards import Shards
from pointcmt_cli.data.store.views import ViewsIndex
from pointcmt_cli.engine.rendering import reuse
from pointcmt_cli.engine.rendering.plan import Plan
from pointcmt_cli.engine.rendering.settings import PILE, attributes, camera_matrices
from pointcmt_cli.errors import DataError, UsageError
from pointcmt_cli.files import digest
from pointcmt_cli.provenance import MadeBy, record, write_config
from pointcmt_cli.records import Note, Records


@contextmanager
def opened(plan: Plan) -> Iterator["ViewsFile | PictureFolder"]:
    """The end that was asked for, its lock held; a preview alone is made from a views.h5 that goes again."""
    with ExitStack() as ends:
        output: ViewsFile | PictureFolder
        if plan.target == "pictures":
            output = PictureFolder(plan)
        elif plan.target == "preview":
            folder = ends.enter_context(tempfile.TemporaryDirectory(prefix="pointcmt-"))
            output = ViewsFile(plan, Path(folder) / "views.h5")
        else:
            _refuse_no_file(plan)
            output = ViewsFile(plan, plan.out)
        ends.enter_context(output.opened())
        yield output


def _refuse_no_file(plan: Plan) -> None:
    """A folder stands there, or nothing that one shape could be drawn anew in."""
    out, only = plan.out, plan.config.only
    if out.is_dir():
        raise UsageError(
            f"{out} is a folder; the views go into a file (--format png makes pictures)"
        )
    if only and plan.config.out is None and not out.exists():
        raise UsageError(
            f"--only {only[0]}: there is no {out} to draw it anew in; --preview PNG shows it, "
            "--out FILE makes a file of it alone"
        )


class ViewsFile:
    """Points and views of every shape in one file; with --only those are drawn anew and all others stay as they are."""

    pictures: None = None
    """Shapes go into `shards`."""

    def __init__(self, plan: Plan, path: Path) -> None:
        self.plan, self.path, self.only = plan, path, bool(plan.config.only)
        self.shards = Shards(self._beside("only" if self.only else "parts"), digest(plan.per_shape))
        self._existing: ViewsIndex | None = None
        self._reused: dict[str, int] = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Nobody else writes there meanwhile."""
        with exclusive(self.path), self.shards.opened(self.plan.config.force or self.only):
            yield

    def reusable(self) -> AbstractSet[str]:
        """Names of the shapes that need not be drawn; a file of other settings is refused."""
        plan = self.plan
        existing = reuse.read_existing(self.path, plan.settings, plan.config.force)
        if self.only:
            self._reused = reuse.other_rows(plan.chosen, existing, plan.source, self.path)
        else:
            Shards(self._beside("only"), "").clear()  # of a run with --only that was killed
            self._reused = reuse.unchanged_rows(plan.source.items, existing, self.shards)
        self._existing = existing
        return self._reused.keys()

    def begin(self) -> Note | None:
        """Before the first shape is drawn: say how many the file will lose."""
        source = self.plan.source
        names = self._existing.names if self._existing and not self.only else []
        gone = set(names) - {item.name for item in source.items}
        if not gone:
            return None
        lost = f"{len(gone)} shapes of {self.path} are no longer in {source.root}"
        return Note(f"{lost}: they will be removed", warning=True)

    def finish(self, items: Sequence[Item]) -> Records:
        """Put the shapes into one file, where it does not hold exactly them already."""
        if reuse.already_holds(self._existing, items, self.plan.source.classes, self._reused):
            yield Note(f"{self.path} is up to date")
        else:
            self._write(items)
        self.shards.clear()

    def _write(self, items: Sequence[Item]) -> None:
        plan, settings = self.plan, self.plan.settings
        content = views.write_views(
            self.path,
            reuse.merged_rows(items, self._reused, self.path, self.shards),
            total=len(items),
            shape=plan.cameras.shape(plan.config.color),
            points=settings["points"],
            attributes=attributes(settings, plan.source, plan.cameras),
            cameras=camera_matrices(settings, plan.cameras),
        )
        write_config(self.path, asdict(plan.config), {**_record(plan), "output": content})

    def preview(self, items: Sequence[Item], picture: Path) -> None:
        """The contact sheet, from the file."""
        chosen = {item.name for item in self.plan.chosen}
        names = [item.name for item in items if item.name in chosen]
        contact_sheet.contact_sheet(self.path, picture, names if self.only else None)

    def identity(self) -> Mapping[str, Any]:
        """What the result says of the file; `preview_only`: it was made for a preview alone, and is none."""
        if self.plan.target == "preview":
            return {"digest": None, "bytes": None, "preview_only": True}
        content = str(views.read_attributes(self.path)["digest"])
        return {"digest": content, "bytes": self.path.stat().st_size}

    def _beside(self, kind: str) -> Path:
        """A folder for finished shapes."""
        return self.path.with_name(f".{self.path.name}.{kind}")


def _record(plan: Plan) -> MadeBy:
    """The run that writes this file."""
    inputs: dict[str, tuple[Path, str | None]] = {"source": (plan.source.root, None)}
    if plan.config.views_from:
        inputs["pictures"] = (plan.config.views_from, None)
    if plan.config.unlabelled:
        inputs["unlabelled"] = (plan.config.unlabelled, None)
    distribution = plan.settings["renderer_distribution"]
    return record(inputs, *([distribution] if distribution else []))


class PictureFolder:
    """CLASS/SPLIT/NAME_VVV.png and unlabelled/NAME_VVV.png alone: MVCNN's layout, for whoever trains elsewhere."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        per_picture = {key: value for key, value in plan.settings.items() if key != PILE}
        self.pictures = Pictures(plan.out, digest(per_picture))
        self.shards = Shards(plan.out / ".parts", self.pictures.settings)
        """Only tells which shapes were begun."""
        self._reused: set[str] = set()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Nobody else writes there meanwhile."""
        with exclusive(self.plan.out.resolve()):  # which has a name even where it was typed as "."
            if not self.plan.config.force:
                self._refuse_others()
            with self.shards.opened(self.plan.config.force):
                yield

    def _refuse_others(self) -> None:
        """Pictures of other settings, and other files, are not replaced unasked."""
        try:
            made_with = self.pictures.read_metadata()
        except DataError as error:
            mend = "--force writes there anyway, --out names another place"
            raise DataError(f"{error}; {mend}") from error
        if made_with is not None:
            reuse.refuse_other_settings(self.plan.out, made_with, self.plan.settings)

    def reusable(self) -> AbstractSet[str]:
        """Names of the shapes that are all there."""
        config, views_each = self.plan.config, self.plan.cameras.views
        if not (config.force or config.only):
            begun = [item for item in self.plan.chosen if self.pictures.begun(item)]
            self._reused = {
                item.name
                for item, source_hash in zip(begun, reuse.source_hashes(begun), strict=True)
                if self.pictures.holds(item, source_hash, views_each)
            }
        return self._reused

    def begin(self) -> None:
        """Before the first picture is written: views.json says what all are made with."""
        plan = self.plan
        cameras = camera_matrices(plan.settings, plan.cameras)
        stored = attributes(plan.settings, plan.source, plan.cameras)
        self.pictures.write_metadata({**stored, **{k: v.tolist() for k, v in cameras.items()}})

    def finish(self, items: Sequence[Item]) -> Records:
        """Name pictures that a reader of the folder would take for shapes of this source; the others are there."""
        out, config = self.plan.out, self.plan.config
        if not config.only and (others := self.pictures.others(items, self.plan.cameras.views)):
            first = others[0].relative_to(out)
            found = f"{len(others)} pictures in {out} are of no shape here, {first} first"
            yield Note(f"{found}: they stay", warning=True)
        if len(self._reused) == len(self.plan.chosen):
            yield Note(f"{out} is up to date")

    def preview(self, items: Sequence[Item], picture: Path) -> None:
        """The contact sheet, from the files."""
        whole, classes = bool(self.plan.config.only), self.plan.source.classes
        if whole:
            shown = [(item.name, item) for item in items]
        else:
            some = contact_sheet.some_rows([item.label for item in items], classes)
            shown = [(title, items[row]) for title, row in some]
        count = self.plan.cameras.views
        sheet = [(title, self.pictures.read(item, count)) for title, item in shown]
        contact_sheet.write(sheet, picture, whole)

    def identity(self) -> Mapping[str, Any]:
        """What the result says of the folder: nothing that one file would have."""
        return {"digest": None, "bytes": None}

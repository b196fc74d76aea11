"""`pointcmt data`: `list` what can be had, `download` it, `verify` what is there."""

from typing import Annotated, Any

import typer

from pointcmt_cli.commands import options
from pointcmt_cli.config import DownloadConfig, VerifyConfig

app = typer.Typer(
    help="Public data sets: list them, download one, verify a folder.", no_args_is_help=True
)

JsonOption = Annotated[
    bool, typer.Option("--json", help="JSON on standard output, nothing else there.")
]


@app.command("list")
def list_data_sets(json: JsonOption = False) -> None:
    """Show every data set that can be downloaded; --json also says where each address and checksum was found.

    Example: pointcmt data list
    """
    from dataclasses import asdict

    from pointcmt_cli import console
    from pointcmt_cli.data.public.catalogue import CATALOGUE

    if json:
        console.print_json({"data_sets": [asdict(each) for each in CATALOGUE]})
        return
    rows = []
    for each in CATALOGUE:
        kinds = {(mirror.checksum or "none").partition(":")[0] for mirror in each.mirrors}
        shapes = " + ".join(f"{count:,}" for count in each.shapes.values())
        checksum = ", ".join(sorted(kinds)) or "by hand"
        rows.append((each.name, shapes, each.about_size, checksum, "accept" if each.terms else ""))
    columns = ["name", "train + test", "archive", "checksum", "terms"]
    console.table("Data sets: pointcmt data download NAME", columns, rows)
    for each in CATALOGUE:
        console.line(f"{each.name}: {each.title}")


@app.command("download")
@options.of(DownloadConfig)
def download(config: DownloadConfig) -> None:
    """Download a data set, check it, unpack it. Interrupted or killed, the same line goes on.

    Example: pointcmt data download modelnet40
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.datasets.download import download as stage

    result = console.follow(stage(config))
    if not result["present"]:
        checked = result["checksum"] or "no checksum is published; the archive's own checks passed"
        console.line(f"{result['out']} is there ({checked})")
    step = "render" if result["render"] else "data verify"
    console.line(f"next: pointcmt {step} {result['out']}")


@app.command("verify")
@options.of(VerifyConfig)
def verify(config: VerifyConfig, *, json: JsonOption = False) -> None:
    """Read every shape of a folder and count them; exit status 1 when anything is damaged or missing.

    Example: pointcmt data verify modelnet40
    """
    from pointcmt_cli import console
    from pointcmt_cli.engine.datasets.verify import verify as stage

    result = console.follow(stage(config), resumes=False)
    if json:
        console.print_json(result)
    else:
        for each in result["checked"]:
            console.line(_verdict(each))
    if not result["whole"]:
        raise typer.Exit(1)


def _verdict(checked: dict[str, Any]) -> str:
    """One line."""
    name = " ".join(filter(None, (checked["layout"], checked["variant"])))
    found = [f"{count} {split}" for split, count in checked.get("counts", {}).items()]
    if checked["damaged"]:
        count = len(checked["damaged"])
        found.append(f"{count} cannot be read" if found else f"{count} cannot be opened")
    expected = checked.get("expected")
    if expected is None:
        known = "its counts are not published" if "counts" in checked else ""
    elif checked["whole"]:
        known = f"as published of {checked['published_as']}"
    else:
        counts = ", ".join(f"{count} {split}" for split, count in expected.items())
        known = f"published: {counts}"
    word = "whole" if checked["whole"] else "NOT whole"
    return f"{name}: {word}: {', '.join(found)}" + (f" ({known})" if known else "")

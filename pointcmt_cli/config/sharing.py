"""Settings of `data download`, `data verify`, `push` and `pull`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pointcmt_cli.config.setting import FILES, Force, Setting, Work

REPOSITORY = "Repository"


@dataclass(frozen=True)
class DownloadConfig:
    """`pointcmt data download NAME`: a public data set -> its folder."""

    name: Annotated[
        str,
        Setting("A name from `pointcmt data list`.", argument=True, metavar="NAME", shown=False),
    ]
    work: Work = Path(".")
    out: Annotated[
        Path | None, Setting("Folder of the data set; default: its name, in --work.", FILES)
    ] = None
    accept_terms: Annotated[
        bool, Setting("I have read and accept the data set's terms of use.")
    ] = False


@dataclass(frozen=True)
class VerifyConfig:
    """`pointcmt data verify DIR`: is a data set whole?"""

    source: Annotated[
        Path, Setting("Folder of a data set.", metavar="DIR", argument=True, shown=False)
    ]
    variant: Annotated[
        str | None, Setting("Which one, where a folder holds several.", shown=False)
    ] = None
    """None: all of ScanObjectNN's."""
    workers: Annotated[
        int | None, Setting("Processes; default: one per core.", low=1, shown=False)
    ] = None


@dataclass(frozen=True)
class PushConfig:
    """`pointcmt push CHECKPOINT REPO_ID`: a checkpoint -> a repository of the Hugging Face hub."""

    checkpoint: Annotated[
        Path,
        Setting(
            "A student's or teacher's .pt; looked for here, then in --work.",
            argument=True,
            shown=False,
        ),
    ]
    repo_id: Annotated[
        str,
        Setting(
            "OWNER/NAME; created if it is missing.", metavar="REPO_ID", argument=True, shown=False
        ),
    ]
    revision: Annotated[
        str | None,
        Setting("Branch, created if it is missing; default main.", REPOSITORY, shown=False),
    ] = None
    private: Annotated[
        bool, Setting("Make the repository private, if this creates it.", REPOSITORY)
    ] = False
    card: Annotated[
        Path | None,
        Setting(
            "Model card; MODEL_CARD.md beside the checkpoint, else a short one is made.",
            FILES,
            shown=False,
        ),
    ] = None
    work: Work = Path(".")


@dataclass(frozen=True)
class PullConfig:
    """`pointcmt pull REPO_ID`: a repository of the Hugging Face hub -> a checkpoint."""

    repo_id: Annotated[str, Setting("OWNER/NAME.", metavar="REPO_ID", argument=True, shown=False)]
    revision: Annotated[
        str | None, Setting("Branch, tag or commit; default main.", shown=False)
    ] = None
    trust_code: Annotated[
        bool,
        Setting(
            "Also accept a checkpoint whose network is module:attribute; using it runs that code."
        ),
    ] = False
    """Using such a checkpoint calls what it names."""
    out: Annotated[Path | None, Setting("The file to write; default NAME.pt in --work.", FILES)] = (
        None
    )
    work: Work = Path(".")
    force: Force = False

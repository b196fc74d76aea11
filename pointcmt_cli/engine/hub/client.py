"""One repository of the Hugging Face hub, by huggingface_hub. In: its name; out: files up and down, errors in one line.

The token is what huggingface_hub finds (HF_TOKEN, or `hf auth login`); no message holds it. HF_ENDPOINT names another
hub.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pointcmt_cli.errors import DataError, PointCMTError, UsageError
from pointcmt_cli.wording import missing_package, one_line

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write there"
_CLIENTS = ("httpx2", "httpcore2", "httpx", "httpcore", "requests", "urllib3", "h11")
"""Modules of what huggingface_hub has spoken HTTP with, version by version."""


class Hub:
    """One model repository."""

    def __init__(self, repo_id: str) -> None:
        self.repo_id = repo_id
        self.api = _library()
        self.endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        with self._errors():
            self.api.utils.validate_repo_id(repo_id)
        if "/" not in repo_id:
            raise UsageError(f"'{repo_id}': a repository is OWNER/NAME")

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.endpoint}/{self.repo_id}"

    def upload(
        self, files: Mapping[str, bytes], message: str, revision: str | None, private: bool
    ) -> tuple[str, str]:
        """All files in one commit, the repository and the branch made where they are not there; address and commit."""
        client = self.api.HfApi(endpoint=self.endpoint)
        with self._errors():
            client.create_repo(self.repo_id, private=private or None, exist_ok=True)
            if revision:
                client.create_branch(self.repo_id, branch=revision, exist_ok=True)
            done = client.create_commit(
                self.repo_id,
                [
                    self.api.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                    for name, content in files.items()
                ],
                commit_message=message,
                revision=revision,
            )
        return str(done.commit_url), str(done.oid)

    def file(self, name: str, revision: str | None) -> tuple[Path, str]:
        """One file in huggingface_hub's cache, and the commit it is of."""
        with self._errors(name, revision):
            path = Path(
                self.api.hf_hub_download(
                    self.repo_id, name, revision=revision, endpoint=self.endpoint
                )
            )
        return path, path.parent.name  # .../snapshots/COMMIT/NAME

    @contextmanager
    def _errors(self, name: str = "", revision: str | None = None) -> Iterator[None]:
        """What a user can mend, in one line."""
        try:
            yield
        except Exception as error:
            told = self._explained(error, name, revision)
            if told is None:
                raise
            raise told from None  # the error's own text and chain may hold the request with its token

    def _explained(self, error: Exception, name: str, revision: str | None) -> PointCMTError | None:
        kinds = self.api.errors
        unreachable = f"{self.endpoint} cannot be reached; is there a network?"
        if isinstance(error, kinds.HFValidationError):
            return UsageError(
                f"'{self.repo_id}' is not a valid repository name: OWNER/NAME, of letters, digits, - _ ."
            )
        if isinstance(error, kinds.OfflineModeIsEnabled):
            return DataError("HF_HUB_OFFLINE is set: unset it to reach the hub")
        if isinstance(error, kinds.LocalTokenNotFoundError):
            return DataError(f"{self.place}: no token; {LOG_IN}")
        if isinstance(error, kinds.GatedRepoError):
            return DataError(
                f"{self.place}: a gated repository: request access on its page, then log in"
            )
        if isinstance(error, kinds.RepositoryNotFoundError):
            return DataError(f"{self.place}: no such repository, or no access to it; {LOG_IN}")
        if isinstance(error, kinds.RevisionNotFoundError):
            return DataError(f"{self.place}: has no revision '{revision}'")
        if isinstance(error, kinds.LocalEntryNotFoundError):
            return DataError(f"{unreachable} (and {name} of {self.repo_id} is not in the cache)")
        if isinstance(error, kinds.EntryNotFoundError):
            return DataError(f"{self.place}: holds no {name}, so `pointcmt push` has not made it")
        if isinstance(error, kinds.HfHubHTTPError):
            return self._refused(error)
        if type(error).__module__.partition(".")[0] in _CLIENTS or isinstance(
            error, ConnectionError
        ):
            return DataError(unreachable)
        cause = error.__cause__  # huggingface_hub's "Error while uploading"
        return self._explained(cause, name, revision) if isinstance(cause, Exception) else None

    def _refused(self, error: Any) -> PointCMTError:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            return DataError(f"{self.place}: not allowed (HTTP {status}); {LOG_IN}")
        said = one_line(getattr(error, "server_message", None) or "")
        token = self.api.get_token()
        said = said.replace(token, "***") if token else said
        return DataError(
            f"{self.place}: the hub refused the request (HTTP {status}){f': {said}' if said else ''}"
        )


def _library() -> Any:
    """huggingface_hub, silent."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise PointCMTError(missing_package("the hub", "huggingface_hub", "hub", error)) from error
    huggingface_hub.utils.disable_progress_bars()
    huggingface_hub.utils.logging.set_verbosity_error()
    return huggingface_hub

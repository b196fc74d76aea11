"""Downloads from a server that behaves badly: whole and checked, resumed where that is safe, or one line."""

import hashlib
import io
import os
import signal
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pooch.core
import pytest

from file_server import File, serve
from pointcmt_cli.config import DownloadConfig
from pointcmt_cli.data.public import catalogue, download
from pointcmt_cli.data.public.catalogue import DataSet, Mirror
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.engine.datasets import download as stage
from pointcmt_cli.errors import DataError, PointCMTError, UsageError
from pointcmt_cli.records import Note, Progress, Result
from processes import running


def archive(size: int = 300_000, folder: str = "shapes") -> bytes:
    """A .zip of one folder with two files, `size` bytes in all, that zip cannot shrink."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(f"{folder}/a/train/1.off", "OFF\n")
        file.writestr(f"{folder}/noise.bin", os.urandom(size))
    return content.getvalue()


ZIP = archive()
SHA = f"sha256:{hashlib.sha256(ZIP).hexdigest()}"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.01)


def offered(*mirrors: Mirror, **other: Any) -> DataSet:
    data = replace(catalogue.find("modelnet10"), mirrors=mirrors, largest=2_000_000, **other)
    return data


def run(
    monkeypatch: pytest.MonkeyPatch, work: Path, *mirrors: Mirror, **other: Any
) -> tuple[dict[str, Any], list[str], list[Progress]]:
    """The Result's values, the notes, the progress."""
    accept = bool(other.pop("accept_terms", False))
    monkeypatch.setattr(catalogue, "CATALOGUE", (offered(*mirrors, **other),))
    records = list(stage.download(DownloadConfig("modelnet10", work, accept_terms=accept)))
    assert isinstance(records[-1], Result)
    notes = [each.text for each in records if isinstance(each, Note)]
    return dict(records[-1].values), notes, [r for r in records if isinstance(r, Progress)]


def begin(request: dict[str, str]) -> int:
    """The first byte that was asked for."""
    return int(request.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))


def whole(work: Path) -> bool:
    """The data set is there and nothing else is."""
    assert sorted(path.name for path in work.iterdir()) == ["modelnet10"]
    found = sorted(path.name for path in (work / "modelnet10").rglob("*") if path.is_file())
    return found == ["1.off", "noise.bin"]


def test_a_data_set_comes_whole_and_nothing_else_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(ZIP)
    with serve({"/a.zip": file}) as host:
        result, notes, progress = run(monkeypatch, tmp_path, Mirror(f"{host}/a.zip", "here", SHA))
        assert whole(tmp_path)
        assert (result["checksum"], result["present"]) == (SHA, False)
        assert progress[-1].done == progress[-1].total
        assert {each.unit for each in progress} == {"MiB"}
        assert "academic research only" in notes[0]
        again, notes, _ = run(monkeypatch, tmp_path, Mirror(f"{host}/a.zip", "here", SHA))
    assert again["present"]
    assert "is there already" in notes[0]
    assert len(file.requests) == 1


@pytest.mark.parametrize("validator", ["etag", "modified"])
def test_a_cut_transfer_goes_on_where_it_stopped(
    validator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(ZIP, drop_after=[100_000, 50_000, 1])
    if validator == "modified":
        file.etag, file.modified = None, "Wed, 21 Oct 2015 07:28:00 GMT"
    with serve({"/a.zip": file}) as host:
        run(monkeypatch, tmp_path, Mirror(f"{host}/a.zip", "here", SHA))
    assert whole(tmp_path)
    begins = [begin(each) for each in file.requests]
    assert begins[0] == 0
    assert 80_000 < begins[1] <= 100_000
    assert begins[1] + 30_000 < begins[2] <= begins[1] + 50_000
    assert begins[2] == begins[3]
    assert file.requests[1]["If-Range"] == (file.etag or file.modified)


def test_what_has_come_whole_is_not_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    file = File(ZIP)
    with serve({"/a.zip": file}) as host:
        mirror = Mirror(f"{host}/a.zip", "here", SHA)
        for module, name in [(pooch.core, "hash_matches"), (stage, "_unpacked")]:
            with monkeypatch.context() as patch:
                patch.setattr(module, name, interrupted)
                with pytest.raises(KeyboardInterrupt):
                    run(patch, tmp_path, mirror)
            assert not (tmp_path / "modelnet10").exists()
        run(monkeypatch, tmp_path, mirror)
    assert whole(tmp_path)
    assert len(file.requests) == 1


def test_a_server_without_ranges_or_validators_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index, file in enumerate(
        [File(ZIP, ranges=False), File(ZIP, etag=None), File(ZIP, etag='W/"weak"')]
    ):
        file.drop_after = [100_000]
        work = tmp_path / str(index)
        with serve({"/a.zip": file}) as host:
            run(monkeypatch, work, Mirror(f"{host}/a.zip", "here", SHA))
        assert whole(work)
        assert len(file.requests) == 2


def test_a_file_that_changes_between_two_tries_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = File(archive(300_000), drop_after=[200_000], change_to=ZIP)
    with serve({"/a.zip": file}) as host:
        run(monkeypatch, tmp_path, Mirror(f"{host}/a.zip", "here"))
    assert whole(tmp_path)
    assert begin(file.requests[1]) > 180_000
    shorter = File(archive(), drop_after=[200_000], change_to=(small := archive(1000)))
    shorter.etag = None
    shorter.modified = "Wed, 21 Oct 2015 07:28:00 GMT"  # stays: the server notices nothing
    with serve({"/a.zip": shorter}) as host:
        run(monkeypatch, tmp_path / "b", Mirror(f"{host}/a.zip", "here"))
    assert (tmp_path / "b" / "modelnet10" / "noise.bin").stat().st_size == 1000 < len(small)


def test_the_wrong_part_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = File(ZIP, drop_after=[100_000], wrong_range=True)
    with serve({"/a.zip": file}) as host:
        run(monkeypatch, tmp_path, Mirror(f"{host}/a.zip", "here", SHA))
    assert whole(tmp_path)


def test_mirrors_are_tried_in_order_and_each_failure_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        "/gone.zip": File(status=404),
        "/page.zip": File(b"<html>moved</html>", kind="text/html; charset=utf-8"),
        "/wrong.zip": File(archive(), corrupt=99),
        "/short.zip": File(ZIP, truncate=1000),
        "/circle.zip": File(location="/circle.zip"),
        "/moved.zip": File(location="/there.zip"),
        "/there.zip": File(ZIP),
    }
    with serve(files) as host:
        mirrors = [
            Mirror(f"{host}/{name}.zip", "here", SHA, size)
            for name, size in [
                ("gone", None),
                ("page", None),
                ("wrong", None),
                ("short", len(ZIP)),
                ("circle", None),
                ("moved", len(ZIP)),
            ]
        ]
        result, notes, _ = run(monkeypatch, tmp_path, *mirrors)
        assert whole(tmp_path)
        assert result["url"] == f"{host}/moved.zip"
        text = "\n".join(notes)
        for reason in (
            "no such file on the server (HTTP 404)",
            "sends a web page instead",
            "its hash is not sha256:",
            f"has 1000 bytes there, {len(ZIP)} are published",
            "too many redirects",
        ):
            assert reason in text
        with pytest.raises(DataError, match=r"none of its 2 mirrors gives it \(127.*404.*127"):
            run(monkeypatch, tmp_path / "b", *mirrors[:2])
        with pytest.raises(DataError, match=r"its only mirror does not give it"):
            run(monkeypatch, tmp_path / "b", mirrors[0])
    assert not (tmp_path / "b" / "modelnet10").exists()


def test_a_damaged_transfer_without_a_published_checksum_is_seen_by_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = bytearray(ZIP)
    broken[150_000] ^= 1
    files = {"/a.zip": File(bytes(broken)), "/b.zip": File(ZIP, truncate=9000), "/c.zip": File(ZIP)}
    files["/b.zip"].say_length = False
    with serve(files) as host:
        mirrors = [Mirror(f"{host}/{name}.zip", "here") for name in "abc"]
        result, notes, _ = run(monkeypatch, tmp_path, *mirrors)
    assert whole(tmp_path)
    assert result["checksum"] is None
    text = "\n".join(notes)
    assert "no checksum of this archive is published" in text
    assert text.count("is damaged, or no archive") == 2


def test_more_than_the_data_set_can_be_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = File(bytes(3_000_000), say_length=False)
    with serve({"/a.zip": File(bytes(3_000_000)), "/b.zip": endless}) as host:
        mirrors = [Mirror(f"{host}/{name}.zip", "here") for name in "ab"]
        with pytest.raises(DataError, match=r"3000000 bytes there.*sends more than 2000000 bytes"):
            run(monkeypatch, tmp_path, *mirrors)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: os.stat_result and _Usage())
    with (
        serve({"/a.zip": File(ZIP)}) as host,
        pytest.raises(DataError, match=r"cannot write .*10 are free; make room and run the same"),
    ):
        run(monkeypatch, tmp_path, Mirror(f"{host}/a.zip", "here", SHA))


class _Usage:
    free = 10


def test_no_network_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve({}) as host:
        pass  # nobody listens there now
    mirrors = [Mirror(f"{host}/a.zip", "here", SHA), Mirror(f"{host}/b.zip", "here", SHA)]
    with pytest.raises(DataError, match=r"none of its 2 mirrors answers .*is there a network\?"):
        run(monkeypatch, tmp_path, *mirrors)
    assert not list(tmp_path.iterdir())


def test_terms_are_shown_and_must_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve({"/a.zip": File(ZIP)}) as host:
        mirror = Mirror(f"{host}/a.zip", "here", SHA)
        with pytest.raises(UsageError, match=r"read these terms; then add --accept-terms"):
            run(monkeypatch, tmp_path, mirror, terms="read these terms")
        assert not list(tmp_path.iterdir())
        run(monkeypatch, tmp_path, mirror, terms="read these terms", accept_terms=True)
    assert whole(tmp_path)


def test_a_file_in_its_place_is_no_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modelnet10").write_text("mine")
    with pytest.raises(DataError, match=r"modelnet10 is a file; name a folder with --out"):
        run(monkeypatch, tmp_path, Mirror("http://localhost:1/a.zip", SHA, len(ZIP)))
    assert (tmp_path / "modelnet10").read_text() == "mine"


def test_a_second_run_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        exclusive(tmp_path / "modelnet10"),
        pytest.raises(DataError, match="another run is writing"),
    ):
        run(monkeypatch, tmp_path, Mirror("http://127.0.0.1:9/a.zip", "here", SHA))


def test_without_pooch_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(PointCMTError, match=r"pip install 'pointcmt\[data\]'"):
        run(monkeypatch, tmp_path, Mirror("http://127.0.0.1:9/a.zip", "here", SHA))


KILLED = """
import signal
import sys
from dataclasses import replace
from pathlib import Path
from pointcmt_cli.config import DownloadConfig
from pointcmt_cli.data.public import catalogue
from pointcmt_cli.engine.datasets.download import download
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
mirror = catalogue.Mirror(sys.argv[2], "here", sys.argv[3])
catalogue.CATALOGUE = (replace(catalogue.find("modelnet10"), mirrors=(mirror,), largest=10**7),)
for record in download(DownloadConfig("modelnet10", Path(sys.argv[1]))):
    pass
"""


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on(
    ending: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "data"
    place.mkdir()
    middle = Event()
    file = File(ZIP, hold=middle)
    with serve({"/a.zip": file}) as host:
        line = [sys.executable, "-c", KILLED, str(place), f"{host}/a.zip", SHA]
        with running(line, tmp_path / "said") as started:
            started.wait_for(
                lambda: any(
                    each.stat().st_size > 20_000 for each in place.glob(".modelnet10.download/*l")
                )
            )
            started.process.send_signal(ending)
            assert started.wait() != 0
        assert not (place / "modelnet10").exists()
        middle.set()
        _, notes, _ = run(monkeypatch, place, Mirror(f"{host}/a.zip", "here", SHA))
    assert whole(place)
    assert any("going on after" in note for note in notes)
    assert begin(file.requests[1]) >= 10_000
    assert file.requests[1]["If-Range"] == '"one"'

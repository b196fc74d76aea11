"""Archives of strangers: only plain files come out, inside their folder, and not without end."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pointcmt_cli.data.public import unpack as module
from pointcmt_cli.data.public.unpack import only_folder, unpack
from pointcmt_cli.errors import DataError

LARGEST = 1_000_000


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def tarred(path: Path, *entries: tuple[str, bytes, dict[str, Any]]) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as file:
        for name, content, attributes in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in attributes.items():
                setattr(entry, key, value)
            file.addfile(entry, io.BytesIO(content))
    return path


def out(archive: Path, largest: int = LARGEST) -> dict[str, bytes]:
    """What comes out, by name; and that nothing came out elsewhere."""
    folder = archive.parent / "deep" / "out"
    folder.mkdir(parents=True)
    for done, total in unpack(archive, folder, largest):
        assert 0 < done <= total
    assert [path.name for path in (archive.parent / "deep").iterdir()] == ["out"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not any(path.is_symlink() for path in files)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_plain_files_come_out(tmp_path: Path) -> None:
    expected = {"a/b/1.off": b"OFF", "a/2.txt": b"x" * 5000, "a/empty": b""}
    entries = list(expected.items())
    junk = [("__MACOSX/a/._1.off", b"junk"), ("a/.DS_Store", b"junk"), ("a/._2.txt", b"junk")]
    assert out(zipped(tmp_path / "a.zip", *entries, *junk)) == expected
    for ending in ("tar", "gz", "xz", "bz2"):
        folder = tmp_path / ending
        folder.mkdir()
        root = ("./", b"", {"type": tarfile.DIRTYPE})
        plain = [(f"./{name}", content, {}) for name, content in entries]
        assert out(tarred(folder / f"a.{ending}", root, *plain)) == expected


NAMES = ["../out.txt", "a/../../out.txt", "/etc/passwd", "a\\..\\b", "C:/x", "a\nb", "x\x1b[2J"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    archive = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(archive, ("a/ok", b"1"), (name, b"2"))
    else:
        tarred(archive, ("a/ok", b"1", {}), (name, b"2", {}))
    with pytest.raises(
        DataError, match=r"is refused: the name .* is not a path inside the archive's folder"
    ) as caught:
        out(archive)
    assert str(caught.value).isprintable()
    assert not (tmp_path / "deep" / "out.txt").exists()


LINKS: list[dict[str, Any]] = [
    {"type": tarfile.SYMTYPE, "linkname": "/etc"},
    {"type": tarfile.LNKTYPE, "linkname": "a/ok"},
    {"type": tarfile.FIFOTYPE},
    {"type": tarfile.CHRTYPE},
    {"type": tarfile.BLKTYPE},
    {"type": tarfile.GNUTYPE_SPARSE},
]


@pytest.mark.parametrize("attributes", LINKS, ids=str)
def test_links_and_devices_of_a_tar_are_refused(attributes: dict[str, Any], tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", ("a/ok", b"1", {}), ("a/odd", b"", attributes))
    with pytest.raises(DataError, match=r"is a link or a device|is damaged, or no archive"):
        out(archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_of_a_zip_are_refused(kind: int, tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("a/odd")
    entry.external_attr = (kind | 0o777) << 16
    with pytest.raises(DataError, match="'a/odd' is a link or a device"):
        out(zipped(tmp_path / "a.zip", (entry, b"/etc")))


def test_an_encrypted_zip_and_a_name_given_twice_are_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", ("a/1", b"hidden"))
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="'a/1' is encrypted"):
        out(archive)
    (tmp_path / "b").mkdir()
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped(tmp_path / "b" / "b.zip", ("a/1", b"1"), ("a/1", b"2"))
    with pytest.raises(DataError, match="it holds a/1 twice"):
        out(twice)
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match="cannot be unpacked"):
        out(zipped(tmp_path / "c" / "c.zip", ("a", b"1"), ("a/1", b"2")))


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped(tmp_path / "a.zip", ("zeros", bytes(LARGEST + 1)))
    with pytest.raises(DataError, match="more than 1000000 bytes come out of it"):
        out(bomb)
    for kind in ("gz", "many", "liar"):
        (tmp_path / kind).mkdir()
    squeezed = tarred(tmp_path / "gz" / "a.gz", ("zeros", bytes(LARGEST + 1), {}))
    assert squeezed.stat().st_size < 5000
    with pytest.raises(DataError, match="more than 1000000 bytes come out of it"):
        out(squeezed)
    monkeypatch.setattr(module, "MOST_FILES", 10)
    many = zipped(tmp_path / "many" / "a.zip", *((str(each), b"") for each in range(11)))
    with pytest.raises(DataError, match="more than 10 entries"):
        out(many)
    liar = zipped(tmp_path / "liar" / "a.zip", ("zeros", bytes(LARGEST + 1)))
    content = bytearray(liar.read_bytes())
    place = content.index(b"PK\x01\x02") + 24
    content[place : place + 4] = (100).to_bytes(4, "little")  # what it says it unpacks to
    liar.write_bytes(content)
    with pytest.raises(DataError, match="is damaged, or no archive"):
        out(liar)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flipped, lambda _: b"", lambda _: b"<html>no</html>"])
@pytest.mark.parametrize("ending", ["zip", "gz", "xz", "bz2"])
def test_damaged_archives_are_one_line(
    ending: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    archive = tmp_path / f"a.{ending}"
    noise = bytes(range(256)) * 300
    if ending == "zip":
        zipped(archive, ("a/1", noise))
    else:
        tarred(archive, ("a/1", noise, {}))
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(DataError, match=r"a\.\w+ (is damaged|cannot be unpacked)") as caught:
        out(archive)
    assert "\n" not in str(caught.value)


def test_the_only_folder_takes_what_lies_beside_it(tmp_path: Path) -> None:
    for name in ("ModelNet10/bed/train/1.off", "README.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert only_folder(tmp_path) == tmp_path / "ModelNet10"
    assert (tmp_path / "ModelNet10" / "README.txt").exists()
    (tmp_path / "second").mkdir()
    assert only_folder(tmp_path) == tmp_path

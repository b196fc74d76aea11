"""`render`: what is in the file, what is drawn again and what is not; kills, dying workers and full disks."""

import importlib
import json
import os
import resource
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import toy_renderers
from pointcmt_cli.config import RenderConfig
from pointcmt_cli.data import reading
from pointcmt_cli.data.cameras import rigs
from pointcmt_cli.data.clouds import sampling
from pointcmt_cli.data.folders import sources
from pointcmt_cli.data.store.lock import exclusive
from pointcmt_cli.data.store.views import read_index, read_shapes
from pointcmt_cli.engine.rendering.render import render
from pointcmt_cli.errors import DataError, PluginError, PointCMTError, StaleError, UsageError
from pointcmt_cli.records import Note, Progress, Result
from processes import Running, is_running, running, wait_for
from render_command import COMMAND, command, environment, shards, write_pace
from toy_meshes import CLASSES, config, notes, run, write_mesh, write_meshes


@pytest.fixture
def meshes(tmp_path: Path) -> Path:
    """12 small meshes of 3 classes."""
    return write_meshes(tmp_path / "meshes", 4)


def leftovers(work: Path) -> list[str]:
    """Hidden files beside the output."""
    return sorted(path.name for path in work.iterdir() if path.name.startswith("."))


def test_the_file_holds_points_views_labels_splits_and_where_they_come_from(meshes: Path) -> None:
    result = run(config(meshes, rig="orthogonal6", renderer_options={"gray": "7"}))
    assert result["counts"]["test"] == 3
    assert result["classes"] == list(CLASSES)
    source = sources.recognise(meshes, 0.2, 0.15)
    cameras = rigs.cameras("orthogonal6", 32)
    with h5py.File(meshes.parent / "views.h5") as file:
        assert [name.decode() for name in file["name"]] == [item.name for item in source.items]
        assert file["views"].shape == (12, 6, 32, 32)
        assert file["views"].chunks == (1, 6, 32, 32)
        for row, item in enumerate(source.items):
            shape, source_hash = reading.read(item)
            expected = np.maximum(toy_renderers.draw(shape, cameras), 7)
            np.testing.assert_array_equal(file["views"][row], expected)
            np.testing.assert_array_equal(file["points"][row], sampling.sample_points(shape, 64))
            assert file["label"][row] == item.label
            assert file["split"][row].decode() == item.split
            assert file["source_hash"][row].decode() == source_hash
        np.testing.assert_array_equal(file["camera_poses"], cameras.poses)
        np.testing.assert_array_equal(file["camera_matrices"], cameras.matrices)
        about = dict(file.attrs)
    assert list(about["class_names"]) == list(CLASSES)
    assert about["field_of_view"] == cameras.field_of_view
    expected_attributes = {
        "format": "pointcmt-views",
        "version": 1,
        "source": "meshes",
        "source_layout": "mesh tree",
        "kind": "mesh",
        "rig": "orthogonal6",
        "image_size": 32,
        "points": 64,
        "renderer": "toy_renderers:dots",
        "renderer_options": '{"gray": "7"}',
        "projection": "perspective",
        "margin": 0.02,
        "up": "auto",
        "color": False,
        "digest": result["digest"],
    }
    assert {key: about[key] for key in expected_attributes} == expected_attributes
    assert {"renderer_distribution", "renderer_version", "settings_digest"} <= set(about)


def test_what_was_recognised_is_said_first_and_progress_counts_every_shape(meshes: Path) -> None:
    first, second, *rest = list(render(config(meshes)))
    assert isinstance(first, Note)
    assert "3 classes, 12 meshes" in first.text
    assert isinstance(second, Note)
    assert second.text == "classes: chair, lamp, table"
    progress = [record for record in rest if isinstance(record, Progress)]
    assert [record.done for record in progress] == list(range(13))
    assert progress[-1].values["views/s"] > 0


def test_workers_import_no_torch_and_their_number_changes_no_byte(meshes: Path) -> None:
    dots = "toy_renderers:without_torch"
    many = run(config(meshes, renderer=dots, out=meshes.parent / "2.h5", workers=2))
    assert many["failures"] == []
    importlib.import_module("torch")  # in this process: the check can fail
    with pytest.raises(DataError, match="AssertionError"):
        run(config(meshes, renderer=dots))
    one = run(config(meshes, out=meshes.parent / "1.h5"))
    assert one["digest"] == many["digest"]
    assert leftovers(meshes.parent) == []


def test_the_same_line_again_is_up_to_date(meshes: Path) -> None:
    run(config(meshes))
    before = (meshes.parent / "views.h5").stat().st_mtime_ns
    records = list(render(config(meshes)))
    assert notes(records)[-1] == f"{meshes.parent / 'views.h5'} is up to date"
    assert isinstance(records[-1], Result)
    assert records[-1].values["drawn"] == 0
    assert (meshes.parent / "views.h5").stat().st_mtime_ns == before


def test_only_what_changed_is_drawn_and_the_file_is_as_if_made_at_once(meshes: Path) -> None:
    run(config(meshes))
    write_mesh(meshes / "chair/train/chair_0001.off", 999)
    write_mesh(meshes / "bed/train/bed_0000.off", 998)  # every label moves by one
    (meshes / "lamp/train/lamp_0000.off").unlink()
    *records, last = render(config(meshes))
    assert isinstance(last, Result)
    assert (last.values["drawn"], last.values["kept"]) == (2, 10)
    assert "10 shapes are drawn already, 2 to go" in notes(records)
    out = meshes.parent / "views.h5"
    assert f"1 shapes of {out} are no longer in {meshes}: they will be removed" in notes(records)
    run(config(meshes, out=meshes.parent / "fresh.h5"))
    fresh = (meshes.parent / "fresh.h5").read_bytes()
    assert (meshes.parent / "views.h5").read_bytes() == fresh


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_size": 64}, "image_size 32, now 64"),
        ({"rig": "orthogonal6", "points": 32}, "rig mvcnn12, now orthogonal6; points 64, now 32"),
        ({"renderer_options": {"gray": 9}}, 'renderer_options {}, now {"gray": "9"}'),
        ({"held_out_fraction": 0.5}, "held_out_fraction 0.15, now 0.5"),
        ({"rig": "circle:8", "margin": 0.1}, "rig mvcnn12, now circle:8@30; margin 0.02, now 0.1"),
        ({"projection": "orthographic"}, "projection perspective, now orthographic"),
        ({"up": "y"}, "up auto, now y"),
    ],
)
def test_other_settings_are_named_and_nothing_is_replaced(
    meshes: Path, changes: dict[str, Any], said: str
) -> None:
    run(config(meshes))
    before = (meshes.parent / "views.h5").read_bytes()
    with pytest.raises(StaleError) as caught:
        run(config(meshes, **changes))
    assert f"was made with {said}: --force replaces it, --out keeps it" in str(caught.value)
    assert (meshes.parent / "views.h5").read_bytes() == before
    assert run(config(meshes, **changes, force=True))["drawn"] == 12


def test_a_rig_file_is_its_content(meshes: Path) -> None:
    rig = meshes.parent / "rig.toml"
    camera = "[[cameras]]\nazimuth = {}\nelevation = 20\n"
    rig.write_text("".join(camera.format(10 * number) for number in range(20)))
    result = run(config(meshes, rig=str(rig)))
    assert result["views"] == 20
    with h5py.File(meshes.parent / "views.h5") as file:
        assert len(json.loads(file.attrs["rig"])["cameras"]) == 20
        poses = file["camera_poses"][:]
    np.testing.assert_array_equal(poses, rigs.cameras(str(rig), 32).poses)
    rig.rename(rig.with_name("other.toml"))
    assert run(config(meshes, rig=str(rig.with_name("other.toml"))))["drawn"] == 0
    rig.write_text(camera.format(5))
    with pytest.raises(
        StaleError, match=r"rig \{\"cameras.{20,30}\.\.\. \(sha256 [0-9a-f]{8}\), now \{"
    ):
        run(config(meshes, rig=str(rig)))


def test_colour_is_asked_of_reader_and_renderer(tmp_path: Path) -> None:
    """Painted vertices, drawn in their own colours; a renderer without colour is refused at once."""
    for name in ("a", "b"):
        (tmp_path / "meshes" / name).mkdir(parents=True)
        lines = ["COFF", "4 2 0", "0 0 0 255 0 0 255", "1 0 0 255 0 0 255", "0 1 0 255 0 0 255"]
        lines += ["0 0 1 255 0 0 255", "3 0 1 2", "3 0 1 3"]
        (tmp_path / "meshes" / name / "one.off").write_text("\n".join(lines) + "\n")
    run(config(tmp_path / "meshes", color=True, renderer="toy_renderers:painted"))
    with h5py.File(tmp_path / "views.h5") as file:
        views = file["views"][:]
        assert (file["views"].shape, file.attrs["color"]) == ((2, 12, 32, 32, 3), True)
    with pytest.raises(
        StaleError, match="made with color True, now False; shading None, now dark:"
    ):
        run(config(tmp_path / "meshes", shading="dark", renderer="toy_renderers:painted"))
    assert {tuple(pixel) for pixel in views.reshape(-1, 3)} == {(255, 255, 255), (255, 0, 0)}
    with pytest.raises(PluginError, match="no option 'color'; renderer 'toy_renderers:dots' takes"):
        run(config(tmp_path / "meshes", color=True, out=tmp_path / "2.h5"))
    with pytest.raises(PluginError, match="no option 'shading'; renderer 'toy_renderers:dots'"):
        run(config(tmp_path / "meshes", shading="dark", out=tmp_path / "2.h5"))
    with pytest.raises(UsageError, match="--option color=1: use --color instead"):
        run(config(tmp_path / "meshes", renderer_options={"color": "1"}))


def test_y_up_is_turned_and_recorded(meshes: Path) -> None:
    run(config(meshes))
    run(config(meshes, up="y", out=meshes.parent / "y.h5"))
    upright, turned = (read_shapes(meshes.parent / name) for name in ("views.h5", "y.h5"))
    assert (upright.attributes["up"], turned.attributes["up"]) == ("auto", "y")
    x, y, z = turned.points.transpose(2, 0, 1)
    np.testing.assert_allclose(upright.points, np.stack([x, z, -y], axis=2), atol=1e-5)


def test_another_folder_does_not_replace_the_first_ones_file(meshes: Path) -> None:
    run(config(meshes))
    other = write_meshes(meshes.parent / "other", 2)
    with pytest.raises(StaleError, match="source meshes, now other"):
        run(config(other))


def test_force_draws_everything_anew(meshes: Path) -> None:
    first = run(config(meshes))
    again = run(config(meshes, force=True))
    assert (again["drawn"], again["kept"], again["digest"]) == (12, 0, first["digest"])


def test_a_shape_that_cannot_be_drawn_is_named_and_the_rest_goes_on(meshes: Path) -> None:
    bad = meshes / "chair/train/chair_0000.off"
    bad.write_text("OFF\n3 1 0\n0 0 0\n")
    toy = {"renderer": "toy_renderers:failing", "renderer_options": {"name": "lamp/lamp_0001"}}
    records = list(render(config(meshes, **toy)))
    left_out = [text for text in notes(records) if text.startswith("left out")]
    assert len(left_out) == 2
    result = records[-1]
    assert isinstance(result, Result)
    assert sum(result.values["counts"].values()) == 10
    first, second = result.values["failures"]
    assert (first["name"], first["file"]) == ("chair/chair_0000", str(bad))
    assert str(bad) in first["reason"]
    failed = "renderer 'toy_renderers:failing' failed: ZeroDivisionError: no area"
    assert second["reason"] == f"{meshes / 'lamp/train/lamp_0001.off'}: {failed}"

    again = list(render(config(meshes, **toy)))
    assert any("is up to date" in text for text in notes(again))
    assert len([text for text in notes(again) if text.startswith("left out")]) == 2
    write_mesh(bad, 5)
    assert run(config(meshes, **toy))["drawn"] == 1


def test_a_class_without_shapes_stays_in_the_list(meshes: Path) -> None:
    for path in meshes.glob("lamp/*/*.off"):
        path.write_text("OFF\n")
    records = list(render(config(meshes)))
    assert "class 'lamp' has no shapes; it stays in the list of classes" in notes(records)
    assert read_shapes(meshes.parent / "views.h5").classes == list(CLASSES)


def test_no_shape_at_all_is_an_error(meshes: Path) -> None:
    for path in meshes.glob("*/*/*.off"):
        path.write_text("OFF\n")
    with pytest.raises(DataError, match=r"none of its 12 shapes can be drawn; the first: .*chair"):
        run(config(meshes))
    assert not (meshes.parent / "views.h5").exists()


def test_strict_stops_and_keeps_what_is_drawn(meshes: Path) -> None:
    bad = meshes / "table/train/table_0002.off"
    bad.write_text("OFF\n")
    with pytest.raises(DataError, match=r"table_0002\.off: .*\(--strict; without it the rest"):
        run(config(meshes, strict=True))
    assert not (meshes.parent / "views.h5").exists()
    result = run(config(meshes))
    assert (result["drawn"], result["kept"]) == (0, 11)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_renderer_that_breaks_its_contract_ends_the_run(meshes: Path, workers: int) -> None:
    message = (
        r"'toy_renderers:wrong' breaks its contract: .*\(12, 32, 32\) uint8, got \(12, 3\) float32"
    )
    with pytest.raises(PluginError, match=message):
        run(config(meshes, renderer="toy_renderers:wrong", workers=workers))


def test_unknown_names_fail_before_anything_is_drawn(meshes: Path) -> None:
    with pytest.raises(PluginError, match="no renderer named 'rastre'; did you mean 'raster'"):
        run(config(meshes, renderer="rastre"))
    with pytest.raises(UsageError, match="no rig named 'ring'"):
        run(config(meshes, rig="ring"))
    with pytest.raises(PluginError, match="no option 'colour'"):
        run(config(meshes, renderer_options={"colour": "red"}))
    with pytest.raises(
        UsageError, match="600 views of 2048 x 2048 pixels are too much for one shape"
    ):
        run(config(meshes, rig="sphere:600", image_size=2048))
    with pytest.raises(DataError, match="not a picture format"):
        run(config(meshes, preview=meshes.parent / "sheet.txt"))
    with pytest.raises(DataError, match=r"sheet\.png: .* is not a folder; name another folder"):
        run(config(meshes, preview=meshes / "chair/train/chair_0000.off/sheet.png"))
    assert leftovers(meshes.parent) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"renderer": "rastre"}, "did you mean 'raster'"),
        ({"renderer_options": {"colour": "red"}}, "no option 'colour'"),
        ({"rig": "ring"}, "no rig named 'ring'"),
        ({"format": "png"}, "needs a folder for the pictures: --out DIR"),
        (
            {"rig": "sphere:600", "image_size": 2048},
            "too much for one shape: use a smaller --image",
        ),
        ({"preview": Path(__file__) / "sheet.png"}, "is not a folder; name another folder"),
    ],
)
def test_what_was_typed_is_read_before_the_source(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(PointCMTError, match=message):
        run(config(tmp_path / "nowhere", **wrong))


def test_a_deadly_shape_costs_itself_alone(meshes: Path) -> None:
    toy = {"renderer": "toy_renderers:deadly", "renderer_options": {"name": "lamp/lamp_0002"}}
    records = list(render(config(meshes, workers=2, **toy)))
    assert any("a worker process died; trying again one by one:" in text for text in notes(records))
    assert isinstance(records[-1], Result)
    [failure] = records[-1].values["failures"]
    assert failure["name"] == "lamp/lamp_0002"
    assert "lamp_0002.off: its worker process died twice (out of memory?)" in failure["reason"]
    assert records[-1].values["drawn"] == 11


def test_a_worker_that_is_killed_once_costs_nothing(meshes: Path) -> None:
    options = {"name": "lamp/lamp_0002", "once": str(meshes.parent / "killed")}
    toy = {"renderer": "toy_renderers:deadly", "renderer_options": options}
    result = run(config(meshes, workers=2, **toy))
    assert result["failures"] == []
    run(config(meshes, out=meshes.parent / "1.h5", **toy))
    assert (meshes.parent / "views.h5").read_bytes() == (meshes.parent / "1.h5").read_bytes()


def test_a_damaged_shard_is_drawn_again(meshes: Path) -> None:
    (meshes / "table/train/table_0002.off").write_text("OFF\n")
    typed = command(meshes, "--workers", "1", "--strict")
    assert subprocess.run(typed, env=environment(), capture_output=True).returncode == 1
    _, second, *_ = shards(meshes.parent)
    content = bytearray(second.path.read_bytes()[:-100])  # the last one was not written to its end
    content[second.start + 7] ^= 1
    second.path.write_bytes(content)
    assert run(config(meshes))["kept"] == 9


def test_a_source_that_changed_under_a_killed_run_is_the_one_that_counts(meshes: Path) -> None:
    bad, changed = meshes / "table/train/table_0002.off", meshes / "chair/train/chair_0000.off"
    whole = bad.read_text()
    bad.write_text("OFF\n")
    for seed in (7, 8):
        write_mesh(changed, seed)
        with pytest.raises(DataError):
            run(config(meshes, strict=True))
    bad.write_text(whole)
    assert run(config(meshes))["drawn"] == 1
    run(config(meshes, out=meshes.parent / "fresh.h5"))
    fresh = (meshes.parent / "fresh.h5").read_bytes()
    assert (meshes.parent / "views.h5").read_bytes() == fresh


def test_shards_of_other_settings_are_not_used(meshes: Path) -> None:
    (meshes / "table/train/table_0002.off").write_text("OFF\n")
    with pytest.raises(DataError):
        run(config(meshes, strict=True))
    assert run(config(meshes, image_size=16))["kept"] == 0


def test_a_damaged_or_foreign_file_is_not_replaced_unasked(meshes: Path) -> None:
    out = meshes.parent / "views.h5"
    out.write_bytes(b"not HDF5")
    with pytest.raises(DataError, match=r"is not HDF5, or damaged; .*; --force replaces it"):
        run(config(meshes))
    assert run(config(meshes, force=True))["drawn"] == 12


def test_a_second_run_at_once_is_refused_and_a_left_lock_is_not_minded(meshes: Path) -> None:
    out = meshes.parent / "views.h5"
    with exclusive(out):
        message = r"another run is writing .*views\.h5: wait for its end"
        with pytest.raises(DataError, match=message):
            run(config(meshes))
    (meshes.parent / ".views.h5.lock").write_text("1\n")
    assert run(config(meshes))["drawn"] == 12
    assert leftovers(meshes.parent) == []


def test_preview_also_of_a_file_that_is_up_to_date(meshes: Path) -> None:
    for name in ("first.png", "second.png"):
        run(config(meshes, preview=meshes.parent / name))
    first = (meshes.parent / "first.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    assert (meshes.parent / "second.png").read_bytes() == first


@pytest.mark.parametrize("force", [False, True])
def test_a_killed_run_goes_on_to_the_same_file(tmp_path: Path, force: bool) -> None:
    meshes = write_meshes(tmp_path / "meshes", 12)
    slow = slow_options(tmp_path)
    run(config(meshes, out=tmp_path / "whole.h5", **slow))
    if force:
        run(config(meshes, **slow))
    with slow_command(meshes, *(["--force"] if force else [])) as started:
        started.wait_for(lambda: len(shards(tmp_path)) >= 5)
        started.process.kill()
        started.process.wait()
        workers = [int(path.name) for path in (tmp_path / "log").iterdir()]
        assert len(workers) >= 2
        others = [number for number in workers if number != os.getpid()]
        wait_for(lambda: not any(is_running(number) for number in others))
    assert (tmp_path / "views.h5").exists() == force
    finished = len(shards(tmp_path))
    assert 5 <= finished < 36
    write_pace(tmp_path, 0)
    result = run(config(meshes, force=force, **slow))
    assert (result["kept"], result["drawn"]) == (finished, 36 - finished)
    assert (tmp_path / "views.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert leftovers(tmp_path) == []


def slow_options(folder: Path) -> dict[str, Any]:
    """Of a renderer that takes no time yet."""
    (folder / "log").mkdir()
    options = {"log": str(folder / "log"), "pace": write_pace(folder, 0)}
    return {"renderer": "toy_renderers:slow", "renderer_options": options}


def slow_command(meshes: Path, *more: str) -> AbstractContextManager[Running]:
    """That renderer by two workers, now at half a second for a shape."""
    folder = meshes.parent
    options = [f"log={folder / 'log'}", f"pace={write_pace(folder, 0.5)}"]
    words = [word for each in options for word in ("--option", each)]
    typed = command(meshes, "--workers", "2", *words, *more, renderer="toy_renderers:slow")
    return running(typed, folder / "said", env=environment())


def test_ctrl_c_says_how_to_go_on_and_leaves_nobody_behind(tmp_path: Path) -> None:
    meshes = write_meshes(tmp_path / "meshes", 12)
    slow = slow_options(tmp_path)
    with slow_command(meshes) as started:
        started.wait_for(lambda: len(shards(tmp_path)) >= 3)
        os.killpg(started.pid, signal.SIGINT)
        assert started.wait() == 130
        assert "interrupted; run the same command again to continue" in started.errors
        assert "Traceback" not in started.errors
        workers = [int(path.name) for path in (tmp_path / "log").iterdir()]
        wait_for(lambda: not any(is_running(number) for number in workers))
    write_pace(tmp_path, 0)
    assert 3 <= run(config(meshes, **slow))["kept"] < 36


@pytest.mark.parametrize(("room", "file"), [(1_000, ".parts"), (30_000, "views.h5")])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(
    meshes: Path, room: int, file: str
) -> None:
    """The largest size of a file stands in for the disk: first a shard does not fit, then only the whole file."""
    process = subprocess.run(
        command(meshes, "--workers", "1"),
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    assert process.returncode == 1
    last = process.stderr.splitlines()[-1]
    assert last.startswith("pointcmt: cannot write ")
    assert file in last
    assert last.endswith("File too large; make room and run the same command again")
    assert not (meshes.parent / "views.h5").exists()
    assert not list(meshes.parent.rglob("*.tmp"))
    result = run(config(meshes))
    assert result["kept"] == (0 if file == ".parts" else 12)
    run(config(meshes, out=meshes.parent / "fresh.h5"))
    fresh = (meshes.parent / "fresh.h5").read_bytes()
    assert (meshes.parent / "views.h5").read_bytes() == fresh


def test_a_folder_that_cannot_be_written_is_one_line(meshes: Path) -> None:
    (meshes.parent / "taken").write_text("a file")
    with pytest.raises(DataError, match=r"cannot write in .*taken: (Not a directory|File exists)"):
        run(config(meshes, work=meshes.parent / "taken"))


@pytest.mark.parametrize("named", [False, True])
def test_the_command_ends_in_a_summary(meshes: Path, named: bool) -> None:
    out = str(meshes.parent / "named.h5")
    typed, views = (["--out", out], f" --views {out}") if named else ([], "")
    (meshes / "chair/train/chair_0000.off").write_text("OFF\n")
    process = subprocess.run(
        command(meshes, "--workers", "1", "--preview", str(meshes.parent / "sheet.png"), *typed),
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0
    assert "left out: 1\n  chair/chair_0000: " in process.stdout
    assert "12 views a shape, " in process.stdout
    assert "11 drawn, 0 kept" in process.stdout
    assert f"next: pointcmt train-teacher{views} --work {meshes.parent}\n" in process.stdout
    assert "mesh tree, 3 classes, 12 meshes" in process.stderr


@pytest.mark.parametrize(
    "wrong",
    [["--image-size", "8"], ["--points", "0"], ["--test-fraction", "1.5"], ["--option", "gray"]],
)
def test_values_out_of_range_are_usage_errors(meshes: Path, wrong: list[str]) -> None:
    process = subprocess.run([*COMMAND, str(meshes), *wrong], capture_output=True, text=True)
    assert process.returncode == 2
    assert wrong[0] in process.stderr


@pytest.mark.slow
@pytest.mark.real_data
def test_real_meshes_end_to_end(meshes36: Path, tmp_path: Path) -> None:
    settings = RenderConfig(meshes36, work=tmp_path, preview=tmp_path / "sheet.png")
    result = run(settings)
    assert result["failures"] == []
    assert sum(result["counts"].values()) == 1210
    assert result["counts"]["test"] == 366
    shapes = read_shapes(tmp_path / "views.h5")
    radii = np.linalg.norm(shapes.points, axis=2).max(axis=1)
    np.testing.assert_allclose(radii, 1, atol=1e-5)
    with h5py.File(tmp_path / "views.h5") as file:
        covered = (file["views"][::10] < 255).mean(axis=(1, 2, 3))
    assert covered.min() > 0
    assert run(settings)["drawn"] == 0
    assert len(read_index(tmp_path / "views.h5").names) == 1210

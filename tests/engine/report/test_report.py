"""The report: what the document says stands in it, hostile names stay text, one file is all that a browser needs."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import toy_report
from pointcmt_cli.commands.evaluate import compare as command
from pointcmt_cli.config import EvaluateConfig
from pointcmt_cli.data.store.views import ShapeSet, read_images, read_shapes
from pointcmt_cli.engine.evaluation.naming import run_names
from pointcmt_cli.engine.report import figures as report_figures
from pointcmt_cli.engine.report import report as stage
from pointcmt_cli.engine.report import tables
from pointcmt_cli.engine.report.gallery import SHOWN, Answers, choose, gallery
from pointcmt_cli.errors import DataError, PointCMTError, UsageError
from pointcmt_cli.records import Result
from toy_student import CLASSES, POINTS, clouds


class Page(HTMLParser):
    """Text, tags and the data of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.content = path.read_text("utf-8")
        self.feed(self.content)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.words.append(data)

    def data(self) -> Any:
        """What the page's script reads."""
        found = re.search(r'id="report-data">(.*?)</script>', self.content, re.DOTALL)
        assert found
        return json.loads(found[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Page]:
    """One checkpoint of hostile class names, every robustness measure: folder, document and page."""
    work = tmp_path_factory.mktemp("report")
    toy_report.make(work, toy_report.HOSTILE, ("first", "second"))
    document, notes = toy_report.run(work, work / "out", votes=2, corrupt="all", typed=("a b",))
    assert notes[-3:] == [
        f"{work}/out/{name} written" for name in ("report.html", "evaluation.json", "MODEL_CARD.md")
    ]
    return work, document, Page(work / "out" / "report.html")


def test_what_the_document_says_stands_in_the_page(
    made: tuple[Path, dict[str, Any], Page],
) -> None:
    work, document, page = made
    found = document["runs"][0]["scores"]["test"]["single"]
    low, high = found["intervals"]["oa"]
    for text in (
        f"{100 * found['oa']:.1f} %",
        f"{100 * low:.1f}–{100 * high:.1f}",
        f"{100 * found['calibration']['ece']:.1f} %",
        "2 votes",
        "30 train, 30 held-out, 30 test, of 3 classes",
        "toy_student:tiny",
        "toy <i>teacher</i>",
        "Epoch kept 3",
        "'a b'",
        f"torch {document['versions']['torch']}",
        "drop-global",
        *document["protocol"]["sentences"],
        *toy_report.HOSTILE,
    ):
        assert text in page.text, text
    assert json.loads((work / "out" / "evaluation.json").read_text()) == document


def test_the_page_is_one_file_that_asks_for_nothing(
    made: tuple[Path, dict[str, Any], Page],
) -> None:
    page = made[2]
    assert len(page.content) < 5e6
    for _, attributes in page.tags:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "data:").startswith(("data:", "#")), attributes
    style = re.search(r"<style>(.*?)</style>", page.content, re.DOTALL)
    assert style
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    policy = next(attributes for _, attributes in page.tags if "http-equiv" in attributes)
    assert str(policy["content"]).startswith("default-src 'none'; img-src data: blob:; connect-src")
    assert "connect-src data:;" in str(policy["content"])


def test_hostile_names_stay_text(made: tuple[Path, dict[str, Any], Page]) -> None:
    work, _, page = made
    assert "<script>alert" not in page.content
    assert "</b>d" not in page.content
    data = page.data()
    assert data["classes"] == toy_report.HOSTILE
    card = (work / "out" / "MODEL_CARD.md").read_text()
    assert "<script>" not in card
    assert r"| a\|b \*c\* &amp; &lt;b&gt;d&lt;/b&gt; |" in card


def test_plotly_takes_every_figure_and_reads_no_markup_from_names(
    made: tuple[Path, dict[str, Any], Page],
) -> None:
    from plotly.graph_objects import Figure

    figures = made[2].data()["figures"]
    assert len(figures) == 6
    for figure in figures:
        Figure(data=figure["data"], layout=figure["layout"])
    run = {
        "label": "<b>x</b>",
        "selected_epoch": 1,
        "training": {"student": [{"epoch": 1, "loss": 1.0}]},
    }
    other = {
        "label": "y",
        "selected_epoch": 1,
        "training": {"student": [{"epoch": 1, "loss": 2.0}]},
    }
    (drawn,) = report_figures.training([run, other])
    assert drawn.title == "Student: loss"
    assert [each["name"] for each in drawn.data] == ["&lt;b&gt;x&lt;/b&gt;", "y"]
    assert drawn.columns == ["epoch", "<b>x</b>", "y"]


def test_every_loss_term_has_a_curve_and_its_numbers(
    made: tuple[Path, dict[str, Any], Page],
) -> None:
    run = {**made[1]["runs"][0], "label": "first"}
    loss, accuracy = report_figures.training([run])
    assert loss.columns == ["epoch", "cross entropy", "contrast"]
    assert loss.rows == [[1, 2.5, 300.0], [2, 1.5, 20.0], [3, 1.0, 1.0]]
    assert loss.layout["yaxis"]["type"] == "log"  # 300 and 1 in one figure
    assert accuracy.rows == [[1, 30.0, None], [2, 50.0, 40.0], [3, 60.0, 50.0]]
    assert accuracy.data[1]["x"] == [2, 3]
    assert [shape["x0"] for shape in loss.layout["shapes"]] == [3]
    assert "Epoch 3, the dotted line" in loss.caption


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    toy_report.make(tmp_path, CLASSES)
    for name in ("a", "b"):
        toy_report.run(tmp_path, tmp_path / name)
    for name in ("report.html", "MODEL_CARD.md", "evaluation.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def answers(label: str, guesses: list[int], sureness: list[float]) -> Answers:
    """Logits whose argmax and softmax are these, of three classes."""
    probabilities = np.array([[(1 - s) / 2] * 3 for s in sureness])
    probabilities[np.arange(len(guesses)), guesses] = sureness
    return Answers(label, np.log(probabilities).astype(np.float32))


def test_errors_come_class_by_class_the_surest_first() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2])
    one = answers("one", [1, 0, 2, 0, 1, 0, 2], [0.5, 0.9, 0.8, 0.6, 0.9, 0.4, 0.9])
    assert choose([one], labels).tolist() == [2, 3, 5, 0]
    two = answers("two", [1, 1, 2, 1, 1, 0, 0], [0.5, 0.7, 0.8, 0.6, 0.9, 0.4, 0.95])
    assert choose([one, two], labels).tolist() == [6, 1, 3]  # wrong alike is no disagreement


def shape_set(count: int) -> ShapeSet:
    labels = np.arange(count) % 3
    splits = np.array(["test"] * count)
    names = [f"shape{index}" for index in range(count)]
    return ShapeSet(clouds(count), labels, splits, names, CLASSES, {})


def test_the_gallery_holds_what_was_said_and_the_points() -> None:
    shapes = shape_set(60)
    rows = np.arange(30, 60)
    right = [int(each) for each in shapes.labels[rows]]
    wrong = [(each + 1) % 3 for each in right]
    found = gallery(
        shapes,
        rows,
        [answers("student", wrong, [0.7] * 30)],
        answers("teacher", right, [0.9] * 30),
        None,
        POINTS,
    )
    assert (found["total"], found["shapes"], len(found["items"])) == (30, 30, SHOWN)
    item = found["items"][0]
    assert (item["name"], item["label"], item["views"]) == ("shape30", "ball", None)
    assert item["kinds"] == {"student": False, "teacher": True}
    assert [each["who"] for each in item["says"]] == ["teacher", "student"]
    student = item["says"][1]["top"]
    assert [each["class"] for each in student] == ["box", "ball", "rod"]
    assert [each["probability"] for each in student] == pytest.approx([0.7, 0.15, 0.15], abs=1e-6)
    packed = np.frombuffer(base64.b64decode(item["points"]), "<i2").reshape(-1, 3)
    np.testing.assert_allclose(packed / 32767, shapes.points[30, :POINTS], atol=0.5 / 32767 + 1e-9)


def test_the_gallery_shows_the_views_of_the_shape(tmp_path: Path) -> None:
    toy_report.make(tmp_path, CLASSES)
    shapes = read_shapes(tmp_path / "views.h5")
    guesses = [int(each + 1) % 3 for each in shapes.labels]
    path = tmp_path / "views.h5"
    found = gallery(shapes, np.arange(90), [answers("x", guesses, [0.7] * 90)], None, path)
    sheet = found["items"][4]["views"]
    assert (sheet["shown"], sheet["of"], sheet["width"], sheet["height"]) == (2, 2, 192, 96)
    kind, _, content = sheet["address"].partition(",")
    assert kind == "data:image/webp;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content))).convert("L")
    shown: NDArray[np.float64] = np.asarray(image, np.float64).reshape(8, 12, 2, 8, 12)
    row = shapes.names.index(found["items"][4]["name"])
    expected = read_images(path, [row])[0].transpose(1, 0, 2)
    assert np.abs(shown.mean(axis=(1, 4)) - expected).mean() < 12  # noise, compressed


def test_classes_in_every_order() -> None:
    counts = np.array([[8, 0, 2, 0], [0, 9, 0, 1], [3, 0, 7, 0], [0, 5, 0, 5]])
    order = tables.alike(counts)
    assert sorted(order) == [0, 1, 2, 3]
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1
    assert tables.alike(np.eye(2, dtype=int)) == [0, 1]


def test_classes_stand_worst_first(made: tuple[Path, dict[str, Any], Page]) -> None:
    _, document, page = made
    per_class = document["runs"][0]["scores"]["test"]["single"]["per_class"]
    worst = sorted(per_class, key=lambda row: row["recall"])
    places = [
        page.text.rindex(row["name"], 0, page.text.index("A row is a label")) for row in worst
    ]
    assert places == sorted(places)
    confusion = page.data()["confusion"][0]
    assert confusion["counts"] == document["runs"][0]["scores"]["test"]["single"]["confusion"]
    assert {tuple(sorted(each)) for each in confusion["orders"].values()} == {(0, 1, 2)}


def test_several_checkpoints_stand_side_by_side(tmp_path: Path) -> None:
    toy_report.make(tmp_path, CLASSES, ("one/student", "two/student", "third"))
    names = ("one/student", "two/student", "third")
    document, _ = toy_report.run(tmp_path, tmp_path / "out", *names)
    page = Page(tmp_path / "out" / "report.html")
    named = [str(tmp_path / name) for name in names[:2]] + ["third"]
    assert all(label in page.text for label in named)
    compared = next(each for each in document["comparisons"] if each["split"] == "test")
    first, second, _ = (run["scores"]["test"]["single"]["oa"] for run in document["runs"])
    difference = f"{100 * (second - first):+.1f} points"
    row = f"{compared['only_a']} {compared['only_b']} {difference}"
    assert row in page.text
    said = np.array([each["kinds"] for each in page.data()["errors"]])
    assert len(said)
    assert page.data()["voices"] == ["teacher", *named]
    assert "They disagree about" in page.text
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"MODEL_CARD-third.md", "report.html", "evaluation.json"} < written
    assert len(written) == 5


def test_the_page_says_what_it_has_not_got_and_a_plain_student_has_no_teacher(
    tmp_path: Path,
) -> None:
    toy_report.make(tmp_path, CLASSES)
    (tmp_path / "first.metrics.csv").unlink()
    document, _ = toy_report.run(tmp_path, tmp_path / "out")
    assert document["runs"][0]["training"] == {}
    page = Page(tmp_path / "out" / "report.html")
    assert "No curves of first: first.metrics.csv is not beside it." in page.text
    assert "Teacher none" in page.text
    assert "Trained with pointcmt" in page.text
    assert "toy <i>teacher</i>" not in page.text.partition("Every setting")[0]


def test_robustness_over_seeds_has_a_table_of_its_own(tmp_path: Path) -> None:
    toy_report.make(tmp_path, CLASSES, ("one", "two"))
    document, _ = toy_report.run(tmp_path, tmp_path / "out", "one", "two", corrupt="modelnet-c")
    (group,) = document["groups"]
    clean, mce = (group["robustness"]["modelnet-c"][key] for key in ("clean", "mce"))
    assert mce["std"] > 0
    row = f"{100 * clean['mean']:.1f} ± {100 * clean['std']:.1f} % {mce['mean']:.2f} ± {mce['std']:.2f} "
    page = Page(tmp_path / "out" / "report.html")
    assert "The same over seeds" in page.text
    assert f"{group['name']} 2 {row}" in page.text


def test_checkpoints_that_differ_in_their_ending_alone_have_a_name_and_a_card_each(
    tmp_path: Path,
) -> None:
    toy_report.make(tmp_path, CLASSES, ("first", "second"))
    (tmp_path / "second.pt").rename(tmp_path / "first.ckpt")
    config = EvaluateConfig((Path("first.pt"), Path("first.ckpt")), work=tmp_path, device="cpu")
    *_, last = stage.report(config, tmp_path / "out")
    assert isinstance(last, Result)
    named = run_names(last.values["runs"])
    assert named == [str(tmp_path / "first.pt"), str(tmp_path / "first.ckpt")]
    assert len(list((tmp_path / "out").glob("MODEL_CARD-*.md"))) == 2


def test_little_data_makes_a_page_too(tmp_path: Path) -> None:
    toy_report.make(tmp_path, CLASSES)
    (tmp_path / "first.metrics.csv").unlink()
    (tmp_path / "features.h5").unlink()
    toy_report.write_data(tmp_path, 2, classes=CLASSES)  # one train, one held-out, no test
    (tmp_path / "views.h5").unlink()
    toy_report.run(tmp_path, tmp_path / "out")
    page = Page(tmp_path / "out" / "report.html")
    assert "the held-out split of" in page.text
    assert "is not the data that first was trained on" in page.text
    assert "Training curves" not in page.text
    assert "Robustness" not in page.text
    assert not [tag for tag, _ in page.tags if tag == "img"]


def test_what_cannot_be_is_said_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"compare takes two checkpoints or more; for a\.pt alone"):
        command.compare.__wrapped__(EvaluateConfig((Path("a.pt"),)))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is not a folder"):
        toy_report.run(tmp_path, tmp_path / "file" / "out")
    monkeypatch.setattr(stage, "find_spec", lambda name: None)
    with pytest.raises(PointCMTError, match=r"needs plotly: pip install 'pointcmt\[report\]'"):
        toy_report.run(tmp_path, tmp_path / "out")


def test_compare_writes_its_page_into_the_work_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy_report.make(tmp_path, CLASSES, ("first", "second"))
    command.compare.__wrapped__(
        EvaluateConfig((Path("first.pt"), Path("second.pt")), work=tmp_path)
    )
    assert "report.html written" in capsys.readouterr().err
    assert (tmp_path / "compare" / "report.html").exists()

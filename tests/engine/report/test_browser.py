"""The page in a real, headless Chromium: no complaint, answers to mouse and keyboard, on a phone, dark, printed."""

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops

import toy_report
from processes import HANGS, wait_for

pytestmark = pytest.mark.slow
SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
    "--window-size=1200,900",
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of a page of one checkpoint and of one of two."""
    work = tmp_path_factory.mktemp("browser")
    toy_report.make(work, toy_report.HOSTILE, ("first", "second"))
    toy_report.run(work, work / "one", corrupt="all")
    toy_report.run(work, work / "two", "first", "second")
    return {name: (work / name / "report.html").as_uri() for name in ("one", "two")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; the tests are skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    paths = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in paths:
        pytest.skip("needs chromium and chromedriver (apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = paths[0]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for switch in SWITCHES:
        options.add_argument(switch)
    service = webdriver.ChromeService(paths[1])
    try:
        with webdriver.Chrome(options=options, service=service) as driver:
            yield driver
    finally:
        service.stop()  # also where Chromium did not start


def wait(browser: Any, condition: str) -> Any:
    """What a JavaScript expression gives, once it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, HANGS).until(lambda it: it.execute_script(f"return {condition}"))


def show(browser: Any, address: str, width: int = 1200, scheme: str = "light") -> None:
    """Open a page, of this width and colour scheme, and wait for its charts."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    wait(browser, "document.body.dataset.ready")


def complaints(browser: Any) -> list[str]:
    """What the console holds against the page since it was last asked."""
    return [each["message"] for each in browser.get_log("browser") if each["level"] == "SEVERE"]


def picture(browser: Any, selector: str) -> Image.Image:
    """An element as it is seen."""
    element = browser.find_element("css selector", selector)
    return Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB")


def differ(before: Image.Image, after: Image.Image) -> int:
    """Pixels that have changed."""
    return int((np.asarray(ImageChops.difference(before, after)).max(axis=2) > 24).sum())


def cloud_when(browser: Any, fits: Callable[[Image.Image], bool]) -> Image.Image:
    """The points once they look so, drawn and at rest."""
    wait(browser, "document.querySelector('#cloud canvas')")
    seen = [picture(browser, "#cloud")]

    def at_rest() -> Image.Image | None:
        seen.append(picture(browser, "#cloud"))
        before, after = seen[-2:]
        empty = not differ(after, Image.new("RGB", after.size, "white"))
        return after if not differ(before, after) and not empty and fits(after) else None

    found: Image.Image = wait_for(at_rest)
    return found


def texts(browser: Any, selector: str) -> list[str]:
    return [each.text for each in browser.find_elements("css selector", selector)]


@pytest.mark.parametrize("name", ["one", "two"])
def test_the_console_stays_clean_and_every_chart_is_drawn(
    browser: Any, pages: dict[str, str], name: str
) -> None:
    show(browser, pages[name])
    charts = browser.find_elements("css selector", ".chart")
    drawn = browser.find_elements("css selector", ".chart .trace path")
    assert len(charts) >= 4
    assert len(drawn) >= len(charts)
    assert not browser.find_elements("css selector", "[role=alert]")
    assert complaints(browser) == []


def test_the_table_of_classes_sorts(browser: Any, pages: dict[str, str]) -> None:
    show(browser, pages["one"])
    names = "#classes tbody th"
    worst = texts(browser, names)
    recall, label = (
        browser.find_element("css selector", f"#classes th:nth-child({place}) button")
        for place in (3, 1)
    )
    recall.click()  # it was ascending
    values = [float(text.split()[0]) for text in texts(browser, "#classes td:nth-child(3)")]
    assert values == sorted(values, reverse=True)
    label.send_keys(" ")  # by the keyboard
    assert texts(browser, names) == sorted(worst)
    heading = browser.find_element("css selector", "#classes th:nth-child(1)")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert recall.find_element("xpath", "..").get_attribute("aria-sort") == "none"


def test_the_confusion_matrix_is_sorted_pointed_at_and_walked_through(
    browser: Any, pages: dict[str, str]
) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.support.ui import Select

    show(browser, pages["two"])
    order = Select(browser.find_element("id", "matrix-order"))
    order.select_by_value("stored")
    assert texts(browser, "#matrix tbody th") == toy_report.HOSTILE
    order.select_by_value("name")
    assert texts(browser, "#matrix tbody th") == sorted(toy_report.HOSTILE)
    cell = browser.find_element("css selector", "#matrix tbody tr:nth-child(2) td:nth-child(3)")
    ActionChains(browser).move_to_element(cell).perform()
    pointed = browser.find_element("id", "matrix-readout").text
    assert pointed.startswith("a|b *c* & <b>d</b> (10): ")
    first = browser.find_element("css selector", "#matrix td[tabindex='0']")
    first.send_keys("\ue015")  # arrow down
    walked = browser.switch_to.active_element
    walked.send_keys("\ue014")  # arrow right
    assert browser.find_element("id", "matrix-readout").text == pointed
    Select(browser.find_element("id", "matrix-unit")).select_by_value("share")
    rows = browser.find_elements("css selector", "#matrix tbody tr")
    for row in rows:
        shares = [int(each.text or 0) for each in row.find_elements("css selector", "td")]
        assert abs(sum(shares) - 100) <= 2
    before = texts(browser, "#matrix td")
    Select(browser.find_element("id", "matrix-run")).select_by_value("1")
    assert texts(browser, "#matrix td") != before
    assert complaints(browser) == []


def test_the_points_turn(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    def changed(before: Image.Image) -> Image.Image:
        return cloud_when(browser, lambda now: differ(before, now) > 500)

    show(browser, pages["one"])
    browser.execute_script("document.querySelector('.errors').scrollIntoView()")
    still = cloud_when(browser, lambda now: True)
    cloud = browser.find_element("id", "cloud")
    ActionChains(browser).click_and_hold(cloud).move_by_offset(90, 40).release().perform()
    by_mouse = changed(still)
    cloud.send_keys("\ue012")  # arrow left
    by_key = changed(by_mouse)
    browser.find_element("css selector", "#viewer [data-key='+']").click()
    changed(by_key)
    cloud.send_keys("0")
    cloud_when(browser, lambda now: differ(still, now) < 50)  # back to the first view
    browser.execute_script("document.querySelectorAll('.errors .turn')[2].click()")
    changed(still)
    opened = browser.find_elements("css selector", ".errors article")[2]
    assert opened.find_element("id", "viewer").is_displayed()
    assert browser.switch_to.active_element.get_attribute("id") == "cloud"
    assert len(browser.find_elements("css selector", "canvas")) == 1
    assert complaints(browser) == []


def test_the_gallery_is_filtered(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.support.ui import Select

    show(browser, pages["one"])
    browser.execute_script("document.querySelectorAll('.errors .turn')[2].click()")
    articles = "[...document.querySelectorAll('.errors article')]"
    seen = f"return {articles}.filter(it => it.getClientRects().length).length"
    everything = browser.execute_script(seen)
    voices = Select(browser.find_element("id", "error-filter"))
    options = [each.text for each in voices.options[1:3]]
    assert options == ["where teacher is right", "where teacher is wrong"]
    counts = []
    for text in options:
        voices.select_by_visible_text(text)
        counts.append(browser.execute_script(seen))
    assert min(counts) > 0
    assert sum(counts) == everything


def test_the_keyboard_reaches_everything(browser: Any, pages: dict[str, str]) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    show(browser, pages["one"])
    browser.execute_script("document.querySelector('.errors').scrollIntoView()")
    wait(browser, "!document.getElementById('viewer').hidden")
    browser.execute_script(
        "window.reached = []; addEventListener('focusin', ({target: it}) => "
        "reached.push(it.closest('.matrix') ? 'cell' : it.id || it.dataset.key || it.className || it.tagName))"
    )
    ActionChains(browser).send_keys("\ue004" * 70).perform()  # tab
    reached = browser.execute_script("return reached")
    wanted = [
        "skip",
        "A",
        "scroll",
        "SUMMARY",
        "BUTTON",
        "matrix-order",
        "cell",
        "error-filter",
        "cloud",
        "0",
    ]
    places = [reached.index(each) for each in wanted]
    assert places == sorted(places)


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_phone_scrolls_down_only(browser: Any, pages: dict[str, str], name: str) -> None:
    show(browser, pages[name], width=375)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 375
    size = "parseFloat(getComputedStyle(document.querySelector('td')).fontSize)"
    assert browser.execute_script(f"return {size}") >= 14
    assert complaints(browser) == []


def test_dark_where_the_reader_wants_it(browser: Any, pages: dict[str, str]) -> None:
    colors = (
        "[document.body, document.querySelector('.chart .xtick text')]"
        ".map((it, i) => getComputedStyle(it)[i ? 'fill' : 'backgroundColor'])"
    )
    show(browser, pages["one"], scheme="dark")
    assert browser.execute_script(f"return {colors}") == ["rgb(20, 23, 26)", "rgb(232, 234, 237)"]
    show(browser, pages["one"])
    assert browser.execute_script(f"return {colors}") == ["rgb(255, 255, 255)", "rgb(27, 31, 36)"]


def test_it_prints_in_light_colours_and_nothing_is_cut(
    browser: Any, pages: dict[str, str], tmp_path: Path
) -> None:
    show(browser, pages["one"], scheme="dark")
    settings = {"printBackground": True, "paperWidth": 8.27, "paperHeight": 11.69}
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", settings)["data"])
    assert printed.startswith(b"%PDF")
    assert 3 <= printed.count(b"/Type /Page\n") <= 12
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.execute_script(f"return {ground}") == "rgb(255, 255, 255)"
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})

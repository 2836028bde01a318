"""The page at ``/`` in a real browser: what people see, by mouse and by keyboard, on a desk and on a phone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from http_rig import Place, Running, running

import keepfit
from keepfit.store import Store

if not os.environ.get("KEEPFIT_TEST_CHROMIUM"):
    pytest.skip("LOUD: no Chromium; run these by scripts/chromium.sh --install", allow_module_level=True)

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

#: Without the background's flags a browser looks for its maker's hosts at every start.
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--window-size=1200,1000",
)  # fmt: skip
MARKUP = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def chromium() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def searched(place: Place) -> Place:
    """The store with a search in it, and a model whose metadata is markup."""
    from sklearn.datasets import load_iris
    from sklearn.neighbors import KNeighborsClassifier

    models = {"neighbours": (KNeighborsClassifier(), {"n_neighbors": [1, 3, 5]})}
    keepfit.ModelSearchCV(models, store=place.path, cv=3, verbose=0).fit(*load_iris(return_X_y=True))
    with Store(place.path) as store:
        store.save("marked", place.models["line"], metadata={"note": MARKUP, "metrics": {MARKUP: 1}})
    return place


@pytest.fixture(scope="module")
def guarded_page(searched: Place) -> Iterator[Running]:
    with running(searched.path, "--tokens") as found:
        yield found


class Page:
    """The page in the browser, by what a person would look for."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver = driver
        driver.get("about:blank")  # so that another fragment is another page
        driver.get(url)

    def find(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def wait(self, selector: str, holds: Callable[[Any], object] = lambda _: True) -> Any:
        """The element, once it is shown and something holds of it."""

        def found(_: Any) -> Any:
            elements = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return next((one for one in elements if one.is_displayed() and holds(one)), None)

        return WebDriverWait(self.driver, 20, ignored_exceptions=[Exception]).until(found, f"{selector} is not there")

    def click(self, selector: str) -> None:
        """Click what is shown; again if it was replaced just then."""
        self.wait(selector, lambda one: one.click() or True)

    def sign_in(self, token: str) -> None:
        self.wait("#token").send_keys(token, Keys.ENTER)

    def choose(self, name: str) -> None:
        self.click(f"[data-model={name}]")
        self.wait("#model-title", lambda one: one.text == name)


@pytest.fixture
def page(chromium: webdriver.Chrome, guarded_page: Running, searched: Place) -> Iterator[Page]:
    chromium.set_window_size(1200, 1000)
    opened = Page(chromium, f"{guarded_page.url}/")
    opened.sign_in(searched.tokens["infer"])
    opened.wait("#health", lambda one: one.text == "ready")
    chromium.get_log("browser")  # before there was a token, the server refused
    yield opened
    assert chromium.get_log("browser") == []
    chromium.execute_script("sessionStorage.clear()")


def test_the_models_are_listed_with_their_class_version_and_metrics(page: Page) -> None:
    row = page.wait("[data-model=iris]").text
    assert "LogisticRegression" in row
    assert "version 2" in row
    assert "accuracy 0.9" in row
    assert not page.driver.find_elements(By.CSS_SELECTOR, '[data-model="ann.line"]')  # another's
    page.find("#filter").send_keys("forest")
    page.wait("#model-list", lambda one: one.text.startswith("forest") and "iris" not in one.text)


def test_a_prediction_is_tried_by_a_form_of_the_models_own_inputs(page: Page, searched: Place) -> None:
    page.choose("iris")
    row = [5.1, 3.5, 1.4, 0.2]
    for place, value in enumerate(row):
        field = page.find(f"#input-{place}")
        field.clear()
        field.send_keys(str(value))
    page.find("#try button").click()
    answer = page.wait("#answer .answer").text
    assert answer == searched.models["iris"].predict([row])[0] == "setosa"
    shown = page.find("#answer .bars").text
    assert f"{searched.models['iris'].predict_proba([row]).max():.4f}" in shown
    assert "curl" in page.find("#curl").get_attribute("textContent")


def test_columns_and_texts_have_fields_of_their_own(page: Page, searched: Place) -> None:
    page.choose("people")
    labels = [one.text for one in page.driver.find_elements(By.CSS_SELECTOR, "#inputs label")]
    assert labels == ["age", "city"]
    known = page.driver.find_elements(By.CSS_SELECTOR, "#inputs datalist option")
    assert [one.get_attribute("value") for one in known] == ["Bonn", "Ulm"]
    page.choose("words")
    page.find("#inputs textarea").send_keys("good fine")
    page.find("#try button").click()
    assert page.wait("#answer .answer").text == "up"


def test_an_older_version_can_be_asked(page: Page) -> None:
    page.choose("iris")
    page.find("#version").send_keys("1")
    page.wait("#model-facts", lambda one: "RandomForestClassifier" in one.text)
    page.find("#try button").click()
    assert "version 1," in page.wait("#answer .hint:last-child").text


def test_what_the_model_refuses_is_explained(page: Page) -> None:
    page.choose("people")
    field = page.find("#inputs input[list]")
    field.clear()
    field.send_keys("Atlantis")
    page.find("#try button").click()
    assert "Atlantis" in page.wait("#answer .problem").text
    page.driver.get_log("browser")  # the browser notes the status 400


def test_it_is_used_by_the_keyboard_alone(page: Page) -> None:
    page.driver.execute_script("document.activeElement.blur()")
    active = page.driver.switch_to.active_element
    active.send_keys(Keys.TAB)
    seen = []
    for _ in range(40):
        active = page.driver.switch_to.active_element
        seen.append(active.get_attribute("data-model") or active.tag_name)
        if seen[-1] == "iris":
            active.send_keys(Keys.ENTER)
            break
        active.send_keys(Keys.TAB)
    assert seen[-1] == "iris"
    page.wait("#model-title", lambda one: one.text == "iris")
    assert page.driver.switch_to.active_element.get_attribute("id") == "model"
    page.find("#input-3").send_keys(Keys.ENTER)
    page.wait("#answer .answer")


def test_nothing_scrolls_sideways_on_a_phone_in_the_dark(page: Page) -> None:
    page.driver.set_window_size(500, 900)  # the narrowest that this browser makes
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        page.choose("iris")
        page.click("#search-list button")
        page.wait("#board tr")
        wide = "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > 360"
        wide += " && !e.closest('.wide')).map(e => e.outerHTML.slice(0, 200))"
        assert page.driver.execute_script(wide) == []
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 360
        ground = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(20, 23, 28)"
        heights = page.driver.execute_script("return [...document.querySelectorAll('button')].map(b => b.offsetHeight)")
        assert all(height == 0 or height >= 40 for height in heights)  # a finger is not a pointer
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_searches_are_shown_with_their_leaderboard_and_a_plot(page: Page) -> None:
    page.click("#search-list button")
    rows = page.wait("#board tr") and page.driver.find_elements(By.CSS_SELECTOR, "#board tr")
    assert len(rows) == 3
    assert "n_neighbors=" in rows[0].text
    assert page.find("#axis").get_attribute("value") == "n_neighbors"
    assert len(page.driver.find_elements(By.CSS_SELECTOR, "#plot circle")) == 3


def test_activity_counts_what_is_asked(page: Page) -> None:
    page.choose("iris")
    page.find("#try button").click()
    page.wait("#answer .answer")
    page.wait("#rate", lambda one: float(one.text) > 0)
    page.wait("#p50", lambda one: one.text.endswith("ms"))


def test_what_a_model_says_of_itself_is_text(page: Page) -> None:
    page.choose("marked")
    details = page.find("#model-details")
    assert MARKUP in details.get_attribute("textContent")
    assert not page.driver.find_elements(By.CSS_SELECTOR, "#model img")
    assert page.driver.title == "keepfit"


def test_a_file_is_uploaded_and_a_refusal_is_explained(
    chromium: webdriver.Chrome, guarded_page: Running, searched: Place, tmp_path: Path
) -> None:
    page = Page(chromium, f"{guarded_page.url}/")
    page.sign_in(searched.tokens["ann"])
    keepfit.dump(searched.models["scale"], tmp_path / "scale.safetensors")
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x02cos\nsystem\nX\x02\0\0\0id\x85R.")
    page.wait("#upload-name").send_keys("scale")
    page.find("#upload-file").send_keys(str(tmp_path / "scale.safetensors"))
    page.find("#upload-form button").click()
    assert page.wait("#upload-result", lambda one: one.text).text == "kept as ann.scale, version 1"
    page.wait("#model-title", lambda one: one.text == "ann.scale")
    page.find("#upload-file").send_keys(str(tmp_path / "bad.pkl"))
    page.find("#upload-form button").click()
    told = page.wait("#upload-result", lambda one: one.text.startswith("not kept")).text
    assert "pickle" in told
    chromium.execute_script("sessionStorage.clear()")


def test_a_wrong_token_is_told_and_another_can_be_given(
    chromium: webdriver.Chrome, guarded_page: Running, searched: Place
) -> None:
    page = Page(chromium, f"{guarded_page.url}/")
    page.sign_in("kf_wrong")
    page.wait("#health", lambda one: "token" in one.text)
    page.find("#token").clear()
    page.sign_in(searched.tokens["infer"])
    page.wait("[data-model=iris]")
    chromium.execute_script("sessionStorage.clear()")


def test_the_page_asks_for_nothing_from_elsewhere(guarded_page: Running) -> None:
    with guarded_page.client() as client:
        answer = client.get("/")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "://" not in answer.text.replace("http://www.w3.org", "")
        for name in ("page.js", "plots.js", "page.css"):
            assert client.get(f"/page/{name}").status_code == 200
        for name in ("..%2fapp.py", "../app.py", "app.py", "%2e%2e/app.py"):
            assert client.get(f"/page/{name}").status_code == 404


def test_searches_are_the_operators(guarded_page: Running, searched: Place) -> None:
    with guarded_page.client() as client:
        assert client.get("/api/searches").status_code == 401
    with guarded_page.client(searched.tokens["ann"]) as client:
        assert client.get("/api/searches").status_code == 404
        assert client.get("/api/server").json()["has_searches"] is False
    with guarded_page.client(searched.tokens["infer"]) as client:
        newest = client.get("/api/searches").json()[0]
        assert newest["scorer"] == "accuracy"
        assert len(client.get(f"/api/searches/{newest['id']}").json()) == 3
        assert client.get("/api/searches/999").status_code == 404


def test_of_many_models_some_are_shown_and_the_others_are_found(chromium: webdriver.Chrome, tmp_path: Path) -> None:
    from sklearn.dummy import DummyClassifier

    with Store(tmp_path / "state.db") as store:
        for number in range(230):
            store.save(f"m{number:03}", DummyClassifier().fit([[0.0]], [number]))
    with running(tmp_path / "state.db") as server:
        opened = Page(chromium, f"{server.url}/#m222")
        opened.wait("#model-title", lambda one: one.text == "m222")
        opened.wait("#more", lambda one: one.text == "Show more: 130 are left")
        assert len(chromium.find_elements(By.CSS_SELECTOR, "[data-model]")) == 100
        opened.click("#more")
        opened.wait("#more", lambda one: one.text == "Show more: 30 are left")
        opened.click("#more")
        opened.wait("[data-model=m229]")
        assert not opened.find("#more").is_displayed()
        opened.find("#filter").send_keys("22")
        opened.wait("#model-list", lambda one: len(one.find_elements(By.CSS_SELECTOR, "[data-model]")) == 12)
        opened.choose("m122")
        opened.find("#filter").send_keys("x")
        opened.wait("#model-list", lambda one: one.text == "No model has that in its name or class.")

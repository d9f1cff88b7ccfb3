"""The app in a real Chromium: it draws, downloads the command line's bytes, keeps a choice, and goes back.
That every page opens: test_pages_browser.py.
"""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import foreign
import numpy as np
import pytest
from browsing import AT_REST, PATIENCE, ROOT, choose, drag_around, needs_browser, open_page, served

from explorer.dashboard.streamlit_internals import SCRIPTS

pytestmark = [pytest.mark.slow, needs_browser]


def _colors(image: bytes) -> int:
    """How many different colors a picture has."""
    import io

    from PIL import Image

    return len(np.unique(np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).reshape(-1, 3), axis=0))


def test_the_first_page_has_an_address_of_its_own(page, address):
    page.goto(f"{address}/prompts?prompts=sentiment/random-1")
    page.get_by_role("heading", name="What did these prompts learn?", exact=True).wait_for()
    page.get_by_role("heading", name=re.compile("trained prompts to choose from$")).wait_for()
    assert page.get_by_text("Page not found").count() == 0


def test_a_chart_draws(page, address):
    open_page(page, address)
    chart = page.locator(".js-plotly-plot").filter(has_text="Accuracy during training")
    chart.locator(".scatterlayer .trace").first.wait_for()
    assert chart.locator(".scatterlayer .trace").count() >= 3
    assert _colors(chart.screenshot()) > 20


def test_the_small_map_of_the_first_page_is_a_picture_with_marks_and_needs_no_webgl(page, address):
    open_page(page, address)
    chart = page.locator(".js-plotly-plot").first
    chart.locator(".imagelayer image, .layer-below image").first.wait_for()
    assert chart.locator(".scatterlayer .point").count() > 3
    assert chart.locator("canvas").count() == 0
    assert _colors(chart.screenshot()) > 100


def test_the_map_draws_in_webgl(page, address):
    open_page(page, address, "map")
    canvas = page.locator(".js-plotly-plot canvas").first
    canvas.wait_for()
    drawn = page.locator(".js-plotly-plot").filter(has=page.locator("canvas"))
    assert drawn.locator(".scatterlayer .point").count() == 0, "points are not drawn as SVG"
    assert _colors(page.locator(".js-plotly-plot").first.screenshot()) > 100


def test_a_click_on_a_token_shows_its_neighbors(page, address):
    open_page(page, address, "map", "?prompts=sentiment/random-0&near=false")
    plot = page.locator(".js-plotly-plot").first
    plot.locator("canvas").first.wait_for()
    plot.scroll_into_view_if_needed()
    x, y = page.evaluate(
        """() => {
            const plot = document.querySelector('.js-plotly-plot'), layout = plot._fullLayout;
            const tokens = plot._fullData.find(trace => trace.customdata && Array.isArray(trace.customdata[0]) && trace.customdata[0][0] === 'prompt');
            return [layout.xaxis.l2p(tokens.x[0]) + layout.xaxis._offset, layout.yaxis.l2p(tokens.y[0]) + layout.yaxis._offset];
        }"""
    )
    box = plot.bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    plot.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.get_by_role("heading", name=re.compile("^Neighbors of token 0 of ")).wait_for()
    page.get_by_text("Token 0 of sentiment/random-0, began as").wait_for()
    assert "token=0" in page.url
    assert page.locator("[data-testid=stException]").count() == 0


def test_a_region_drawn_on_the_map_lists_its_words_and_tokens(page, address):
    open_page(page, address, "map", "?prompts=sentiment/random-0&near=false")
    page.locator(
        ".st-key-map .updatemenu-button", has_text="Lasso"
    ).click()  # a button on the map: it needs no new chart
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot')?._fullLayout?.dragmode === 'lasso'"
    )
    plot = page.locator(".js-plotly-plot").first
    plot.locator("canvas").first.wait_for()
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    drag_around(page, box["x"] + 40, box["y"] + 80, box["x"] + box["width"] - 60, 820)
    page.get_by_role("heading", name=re.compile(r"^[\d,]+ pieces in the region")).wait_for()
    page.get_by_text("Median frequency rank").wait_for()
    page.get_by_text(re.compile("Prompt tokens here: sentiment/random-0 ")).wait_for()
    assert page.locator("[data-testid=stException]").count() == 0


def test_the_report_downloads_what_the_command_line_writes(page, address, house, tmp_path):
    open_page(page, address, query="?prompts=sentiment/class-label-1&prompts=sentiment/random-0")
    page.get_by_role("button", name="Make the report").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report (zip)").click()
    assert download.value.suggested_filename == "sentiment-class-label-1-sentiment-random-0-report.zip"
    prompts = ["sentiment/class-label-1", "sentiment/random-0"]
    written = tmp_path / "written"
    command = [sys.executable, "-m", "explorer", "report", *prompts, "--out", str(written)]
    shell = house | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        command, cwd=house["EXPLORER_PROMPTS"], env=shell, check=True, capture_output=True, timeout=300
    )
    with zipfile.ZipFile(download.value.path()) as archive:
        assert sorted(archive.namelist()) == sorted(f"report/{file.name}" for file in written.iterdir())
        for file in written.glob("*.csv"):
            assert archive.read(f"report/{file.name}") == file.read_bytes(), file.name


def test_a_read_only_dashboard_below_a_path_takes_no_files_and_runs_no_model(page, house, tmp_path):
    with served(
        house | {"EXPLORER_READ_ONLY": "1"}, tmp_path / "log.txt", "--server.baseUrlPath", "soft/prompts"
    ) as address:
        open_page(page, address)
        assert page.url.endswith("/soft/prompts/")
        assert page.get_by_text("Open your own prompt").count() == 0
        links = page.get_by_test_id("stSidebar").get_by_role("link").all_inner_texts()
        assert [name.splitlines()[-1] for name in links][-2:] == ["Compare", "Domain shift"]
        open_page(page, address, "map")
        assert page.get_by_text("Ask the model").count() == 0
        page.get_by_test_id("stSidebar").get_by_text("Domain shift").click()
        page.get_by_text("This dashboard is read-only").wait_for()
        page.goto(f"{address}/playground")
        page.get_by_text("Page not found").first.wait_for()


@pytest.mark.parametrize(
    ("query", "options"), [("", []), ("&metric=l2&k=3", ["--metric", "l2", "-k", "3"])], ids=["cosine", "l2"]
)
def test_the_neighbor_table_downloads_what_the_command_line_writes(
    page, address, house, tiny_prompts, tmp_path, query, options
):
    open_page(page, address, "neighbors", f"?prompts=sentiment/class-label-1{query}")
    page.get_by_test_id("stPopover").get_by_role("button", name="CSV").click()
    button = page.get_by_role("button", name="One row each")
    button.wait_for()
    with page.expect_download() as download:
        button.click()
    metric, k = ("l2", 3) if options else ("cosine", 10)
    assert download.value.suggested_filename == f"sentiment-class-label-1-neighbors-{metric}-k{k}.csv"
    written = tmp_path / "cli.csv"
    prompt = str(tiny_prompts / "sentiment" / "class-label-1")
    command = [sys.executable, "-m", "explorer", "neighbors", prompt, *options, "--csv", str(written)]
    subprocess.run(command, cwd=ROOT, env=house, check=True, capture_output=True, timeout=120)
    assert Path(download.value.path()).read_bytes() == written.read_bytes()


def test_a_choice_stays_from_page_to_page_and_in_the_address(page, address):
    open_page(page, address, "neighbors", "?metric=csls")
    choose(page, "In detail", "sentiment/random-0")
    page.get_by_role("heading", name="Nearest pieces of sentiment/random-0").wait_for()
    assert "prompt=sentiment%2Frandom-0" in page.url
    page.get_by_test_id("stSidebar").get_by_text("Clusters").click()
    page.get_by_role("heading", name="Every token of sentiment/random-0 and its group").wait_for()
    page.get_by_test_id("stSidebar").get_by_text("Neighbors").click()
    page.get_by_role("heading", name="Nearest pieces of sentiment/random-0").wait_for()
    assert "metric=csls" in page.url


def test_a_click_on_a_token_in_a_chart_marks_it_on_every_page(page, address):
    open_page(page, address, "neighbors")
    page.locator(".js-plotly-plot .points path").nth(2).click(force=True)
    page.get_by_text("Token 2 of sentiment/class-label-0").wait_for()
    page.locator(".annotation-text", has_text="token 2").wait_for()
    assert "token=2" in page.url
    page.get_by_test_id("stMain").get_by_role("link", name="Clusters").click()
    page.get_by_role("heading", name="Clusters", exact=True).wait_for()
    page.get_by_text("Token 2 of sentiment/class-label-0").wait_for()
    page.locator(".annotation-text", has_text="token 2").first.wait_for()
    assert "token=2" in page.url
    page.get_by_role("button", name="Clear focus").click()
    page.get_by_text("Token 2 of").wait_for(state="detached")


def test_the_slider_moves_the_tokens_through_training(page, address):
    open_page(page, address, "training")
    page.locator(".js-plotly-plot .scatterlayer .point").first.wait_for()
    page.get_by_role("slider").first.focus()
    page.keyboard.press("Home")
    page.get_by_role("heading", name="Nearest words at step 0").wait_for()
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot').layout.title.text.includes('at step 0<')"
    )
    assert "at=0" in page.url


def _upload(page, address: str, *files: Path) -> None:
    open_page(page, address)
    page.get_by_text("Open your own prompt").click()
    page.set_input_files("input[type=file]", [str(file) for file in files])
    page.get_by_text(re.compile("opened in this session")).wait_for(timeout=PATIENCE)


def test_an_uploaded_zip_is_read_chosen_and_nobody_elses(browser, page, address, vocabulary, tmp_path):
    vectors = vocabulary.embedding[vocabulary.searchable_ids[300:304]]
    foreign.google(tmp_path, vectors)
    _upload(page, address, Path(shutil.make_archive(str(tmp_path / "mine"), "zip", tmp_path, "run")))
    page.get_by_text("3 steps, 1100000 to 1101000").first.wait_for(timeout=PATIENCE)
    assert "uploaded/mine/run" in page.locator('[data-testid="stSidebar"]').inner_text()
    page.get_by_role("link", name="Neighbors").click()
    page.get_by_text(re.compile("Nearest pieces of uploaded/mine/run")).wait_for(timeout=PATIENCE)
    stranger = browser.new_context().new_page()
    open_page(stranger, address)
    assert "uploaded" not in stranger.locator("body").inner_text()
    stranger.close()
    page.get_by_role("link", name="Prompts").click()
    page.get_by_text("Forget them").click()
    page.wait_for_function("() => !document.body.innerText.includes('uploaded/mine')", timeout=PATIENCE)


def test_a_bad_upload_is_told_and_the_page_lives(page, address, tmp_path):
    (tmp_path / "evil.pkl").write_bytes(b"\x80\x04.")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../outside.npy", b"x")
    np.save(tmp_path / "<img src=x onerror=alert(1)>.npy", np.ones((3, 768), np.float32))
    _upload(page, address, *sorted(tmp_path.iterdir()))
    page.wait_for_function(
        "() => document.querySelectorAll('[data-testid=stExpander] "
        "[data-testid=stAlertContentError]').length === 2",
        timeout=PATIENCE,
    )
    page.get_by_text(re.compile("it probably belongs to T5 base, by its width")).first.wait_for(
        timeout=PATIENCE
    )
    assert page.locator("h1").inner_text() == "What did these prompts learn?"
    assert page.locator('[data-testid="stException"]').count() == 0
    assert page.locator("img[src='x']").count() == 0


def test_a_checkbox_of_the_run_table_puts_a_prompt_into_the_choice(page, address):
    open_page(page, address, "prompts", "?prompts=sentiment/class-label-0")
    table = page.get_by_test_id("stDataFrame").first
    table.locator("canvas").first.wait_for()
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    page.mouse.click(box["x"] + 16, box["y"] + 35 * 1.5 + 35)  # the second row: the first is chosen already
    page.wait_for_function("() => location.search.split('prompts=').length === 3")
    page.wait_for_function(
        "() => document.querySelectorAll('[data-testid=stSidebar] span[title^=\"sentiment/\"]').length === 2"
    )
    chosen = page.get_by_test_id("stSidebar").locator("span[title^='sentiment/']").all_inner_texts()
    assert chosen[0] == "sentiment/class-label-0"


def test_an_address_of_a_prompt_that_is_gone_says_so(page, address):
    open_page(page, address, "neighbors", "?prompts=uploaded/gone&metric=manhattan")
    page.get_by_text("The address names uploaded/gone: not here").wait_for()
    page.get_by_text("asks for the metric manhattan").wait_for()
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_text("The address names uploaded/gone").wait_for(state="detached")


def test_k_and_metric_of_a_link_hold_over_pages(page, address):
    open_page(page, address, "neighbors", "?metric=csls&k=5")
    page.get_by_test_id("stSidebar").get_by_text("Clusters").click()
    page.get_by_role("heading", name="Clusters", exact=True).wait_for()
    page.get_by_test_id("stSidebar").get_by_text("Neighbors").click()
    page.get_by_role("heading", name="Neighbors", exact=True).wait_for()
    page.wait_for_function("() => location.search.includes('metric=csls') && location.search.includes('k=5')")


def test_a_chart_downloads_as_png_and_as_svg(page, address):
    open_page(page, address, "clusters")
    for kind, begins in (("png", b"\x89PNG"), ("svg", b"<svg")):
        if kind == "svg":
            choose(page, "Pictures", "SVG")
            page.wait_for_selector(AT_REST)
        plot = page.locator(".js-plotly-plot").first
        plot.locator(".main-svg").first.wait_for()
        plot.hover()
        with page.expect_download() as download:
            plot.locator(".modebar-btn[data-title^='Download plot']").click()
        assert download.value.suggested_filename.endswith(f".{kind}")
        assert Path(download.value.path()).read_bytes().startswith(begins)


def test_back_goes_back_one_page_whatever_was_changed_on_it(page, address):
    open_page(page, address, "neighbors", "?prompts=sentiment/class-label-0")
    page.locator(".js-plotly-plot .points path").nth(3).click(force=True)
    page.wait_for_function("() => location.search.includes('token=3')")
    page.get_by_test_id("stNumberInputStepUp").first.click()
    page.wait_for_function("() => location.search.includes('k=11')")
    _go(page, "Clusters")
    _go(page, "Words")
    entries = page.evaluate("history.length")
    for title in ("Clusters", "Neighbors"):
        page.go_back()
        page.get_by_role("heading", name=title, exact=True).wait_for()
        page.wait_for_selector(AT_REST)
    assert page.evaluate("history.length") == entries == 1 + 3, "the empty tab, and one entry a page"
    assert "token=3" in page.url
    page.go_forward()
    page.get_by_role("heading", name="Clusters", exact=True).wait_for()


def test_the_scripts_of_charts_and_tables_are_fetched_before_there_are_any(page, address):
    open_page(page, address, "compare", "?prompts=sentiment/class-label-0&scope=chosen+only")
    for script in SCRIPTS:
        page.wait_for_function(
            f"() => performance.getEntriesByType('resource').some(one => one.name.includes('/{script}.'))"
        )
    assert page.locator(".js-plotly-plot, [data-testid=stDataFrame]").count() == 0


def _go(page, title: str) -> None:
    page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click()
    page.get_by_role("heading", name=title, exact=True).wait_for()
    page.wait_for_selector(AT_REST)


def test_streamlits_toolbar_covers_no_button(page, address):
    open_page(page, address, "neighbors")
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    table.hover()
    toolbar = page.get_by_test_id("stElementToolbar").first
    toolbar.wait_for()
    bar = toolbar.bounding_box()
    for button in page.get_by_role("button", name="CSV").all():
        box = button.bounding_box()
        apart = (
            bar["x"] >= box["x"] + box["width"]
            or bar["x"] + bar["width"] <= box["x"]
            or bar["y"] >= box["y"] + box["height"]
        )
        assert apart or bar["y"] + bar["height"] <= box["y"]


def test_the_token_in_focus_stands_above_the_fold(page, address):
    open_page(page, address, "neighbors")
    for control in (
        page.get_by_role("combobox", name="In detail"),
        page.get_by_role("combobox", name="Token in focus"),
    ):
        box = control.bounding_box()
        assert box["y"] + box["height"] <= 900


def test_a_run_can_be_stopped_and_begun_again(page, address):
    open_page(page, address, "faithfulness", "?prompts=sentiment/class-label-0")
    page.get_by_role("button", name=re.compile("^Run: ")).click()
    page.get_by_test_id("stMainBlockContainer").get_by_role("button", name="Stop").click()
    page.get_by_role("button", name=re.compile("^Run: ")).wait_for()
    page.wait_for_selector(AT_REST)
    assert page.get_by_test_id("stDataFrame").count() == 0
    assert page.get_by_test_id("stException").count() == 0

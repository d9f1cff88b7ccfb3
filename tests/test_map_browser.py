"""The map in a real Chromium: a workspace that stays as the visitor left it, with a panel beside it so that
nothing moves under the cursor.
"""

import re

import pytest
from browsing import AT_REST, PATIENCE, drag_around, needs_browser, open_page

pytestmark = [pytest.mark.slow, needs_browser]

QUERY = "?prompts=sentiment/class-label-0&prompts=sentiment/random-0"
PLOT = "document.querySelector('.st-key-map .js-plotly-plot')"
STATE = f"""(() => {{
    const plot = {PLOT};
    if (!plot || plot.dataset.watched !== 'yes') return null;
    const {{xaxis, yaxis, dragmode, selections}} = plot._fullLayout;
    return {{x: [...xaxis.range], y: [...yaxis.range], drag: dragmode, regions: (selections || []).length}};
}})()"""
"""what is in view; null until the chart is drawn and the page hears of its zoom"""
TOKEN = f"""(() => {{
    const plot = {PLOT}, layout = plot._fullLayout, box = plot.getBoundingClientRect();
    const tokens = plot._fullData.find(trace => trace.customdata && Array.isArray(trace.customdata[0]) && trace.customdata[0][0] === 'prompt');
    const at = [...tokens.x.keys()].map(n => [layout.xaxis.l2p(tokens.x[n]) + layout.xaxis._offset, layout.yaxis.l2p(tokens.y[n]) + layout.yaxis._offset, n]);
    const [x, y, n] = at.find(([x, y]) => x > 20 && x < box.width - 20 && y > 60 && y < Math.min(box.height, innerHeight - box.top) - 20);
    return [box.left + x, box.top + y, tokens.customdata[n][1], tokens.customdata[n][2]];
}})()"""
"""the place on the screen of the first token that can be clicked, its prompt and its position"""


def _map(page, address, query: str = "") -> None:
    open_page(page, address, "map", QUERY + query)
    _settled(page)


def _settled(page) -> None:
    page.wait_for_selector(AT_REST)
    page.wait_for_function(f"() => {STATE} !== null")


def _state(page) -> dict:
    return page.evaluate(STATE)


def _zoom_in(page) -> dict:
    """Zoom with the wheel; what is in view then, once the page knows."""
    box = page.locator(".st-key-map .js-plotly-plot").bounding_box()
    before = _state(page)["x"]
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(3):  # plotly takes a tenth off the range at a time
        page.mouse.wheel(0, -300)
    page.wait_for_function(
        f"([low, high]) => {{ const now = {STATE}; return now && now.x[1] - now.x[0] < 0.8 * (high - "
        "low); }",
        arg=before,
    )
    _heard(page)
    return _state(page)


def _heard(page) -> None:
    """Wait until the server has heard what is in view."""
    page.wait_for_function(
        f"() => {PLOT}.dataset.told === JSON.stringify((({{x, y, drag}}) => ({{x, y, drag}}))({STATE}))"
    )
    _settled(page)


def _same_view(page, before: dict) -> None:
    _settled(page)
    page.wait_for_function(f"() => {STATE}.drag === '{before['drag']}'")
    now = _state(page)
    assert now["x"] == pytest.approx(before["x"], rel=1e-6)
    assert now["y"] == pytest.approx(before["y"], rel=1e-6)
    assert now["regions"] == before["regions"]


def _without_landmarks(page) -> None:
    """Switch the landmarks off, and wait for the chart that is drawn without them."""
    page.get_by_text("Landmarks", exact=True).click()
    page.wait_for_function(
        f"() => {STATE} && !({PLOT}._fullLayout.annotations || []).some(note => note.name === 'landmark')"
    )
    _settled(page)


def _press(page, name: str) -> None:
    page.locator(".st-key-map .updatemenu-button", has_text=name).click()


def _draw_region(page) -> None:
    _press(page, "Lasso")
    page.wait_for_function(f"() => {STATE}.drag === 'lasso'")
    _heard(page)
    box = page.locator(".st-key-map .js-plotly-plot").bounding_box()
    drag_around(page, box["x"] + 150, box["y"] + 150, box["x"] + box["width"] - 150, 800)
    page.get_by_role("heading", name=re.compile(r"^[\d,]+ pieces in the region")).wait_for()
    _settled(page)


def _go_away_and_back(page) -> None:
    links = page.get_by_test_id("stSidebar")
    links.get_by_text("Words", exact=True).click()
    page.get_by_role("heading", name="Words", exact=True).wait_for()
    links.get_by_text("Map", exact=True).click()
    page.get_by_role("heading", name="Map", exact=True).wait_for()
    page.wait_for_selector(".st-key-map .js-plotly-plot")
    _settled(page)


def test_the_plot_is_large_and_a_click_opens_the_token_beside_it_without_a_jump(page, address):
    _map(page, address, "&near=false")
    plot, panel = page.locator(".st-key-map .js-plotly-plot"), page.locator(".st-key-map-panel")
    before, block = (
        plot.bounding_box(),
        page.evaluate("document.querySelector('[data-testid=stVerticalBlock]:has(.st-key-map)').clientWidth"),
    )
    inner = page.evaluate(
        "(e => e.clientWidth - parseFloat(getComputedStyle(e).paddingLeft) * "
        "2)(document.querySelector('.stMainBlockContainer'))"
    )
    assert before["height"] >= 700
    assert before["width"] >= 0.75 * inner >= 0.75 * block * 0.9
    x, y, name, token = page.evaluate(TOKEN)
    page.mouse.move(x, y)
    page.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.click(x, y)
    panel.get_by_text(f"Token {token} of {name}, began as").wait_for()
    panel.get_by_role("heading", name=f"Neighbors of token {token} of {name}").wait_for()
    _settled(page)
    assert plot.bounding_box() == before, "nothing moves under the cursor"
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0
    assert panel.bounding_box()["x"] >= before["x"] + before["width"]


def test_zoom_holds_through_layers_clicks_and_pages(page, address):
    _map(page, address, "&near=false")
    zoomed = _zoom_in(page)
    _without_landmarks(page)
    _same_view(page, zoomed)
    x, y, _, token = page.evaluate(TOKEN)
    page.mouse.move(x, y)
    page.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.click(x, y)
    page.get_by_text(f"Token {token} of").first.wait_for()
    _same_view(page, zoomed)
    _go_away_and_back(page)
    _same_view(page, zoomed)
    assert "landmarks=false" in page.url, "so do the layers"


def test_region_and_drag_mode_hold_and_the_outline_covers_nothing(page, address):
    _map(page, address, "&near=false")
    _draw_region(page)
    drawn = _state(page)
    assert (drawn["drag"], drawn["regions"]) == ("lasso", 1)
    panel = page.locator(".st-key-map-panel")
    title = panel.get_by_role("heading", name=re.compile("in the region")).inner_text()
    fills = page.evaluate(
        f"[...{PLOT}.querySelectorAll('.selectionlayer path')].map(path => "
        "getComputedStyle(path)).map(s => [s.fill, s.fillOpacity])"
    )
    assert fills
    assert all(fill == "none" or float(opacity) == 0 or fill.endswith(", 0)") for fill, opacity in fills), (
        fills
    )
    sizes = page.evaluate(
        f"{PLOT}._fullData.slice(0, 1).map(trace => [trace.selected?.marker?.size ?? "
        "trace.marker.size, trace.marker.size])"
    )
    assert all(chosen == usual for chosen, usual in sizes), "what is selected is no larger"
    _without_landmarks(page)
    _same_view(page, drawn)
    assert panel.get_by_role("heading", name=title).count() == 1
    _go_away_and_back(page)
    _same_view(page, drawn)
    panel.get_by_role("heading", name=title).wait_for()
    panel.get_by_role("button", name="Remove the region").click()
    page.wait_for_function(f"() => {STATE}?.regions === 0")
    panel.get_by_role("heading", name=title).wait_for(state="detached")


def test_the_map_starts_at_the_middle_and_far_islands_are_one_click_away(page, address):
    _map(page, address)
    outside = f"""(() => {{
        const plot = {PLOT}, {{xaxis, yaxis}} = plot._fullLayout, {{x, y}} = plot._fullData[0];
        const out = [...x.keys()].filter(n => x[n] < xaxis.range[0] || x[n] > xaxis.range[1] || y[n] < yaxis.range[0] || y[n] > yaxis.range[1]);
        return out.length / x.length;
    }})()"""
    assert 0 < page.evaluate(outside) < 0.04, "the central 98 % along each axis, and a margin"
    start = _state(page)
    _press(page, "Whole map")
    page.wait_for_function(f"() => {outside} === 0")
    _press(page, "Center")
    page.wait_for_function(f"() => Math.abs({STATE}.x[0] - {start['x'][0]}) < 1e-6")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_are_text_with_a_halo_of_the_page_and_cover_no_star(browser, address, scheme):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    try:
        _map(page, address)
        page.locator(".st-key-map .annotation-text").first.wait_for()
        names = page.evaluate(
            f"""[...{PLOT}.querySelectorAll('.annotation')].map(note => {{
                const text = note.querySelector('.annotation-text'), box = text.getBoundingClientRect(), ground = note.querySelector('rect.bg');
                const ink = getComputedStyle(text.querySelector('tspan') ?? text).fill;
                const sides = [box.left, box.top, box.right, box.bottom];
                return {{box: sides, ink, halo: getComputedStyle(text).textShadow, ground: getComputedStyle(ground).fillOpacity}};
            }})"""
        )
        stars = page.evaluate(
            f"""(() => {{
                const plot = {PLOT}, {{xaxis, yaxis}} = plot._fullLayout, at = plot.getBoundingClientRect();
                return plot._fullData.filter(trace => trace.customdata?.[0]?.[0] === 'label').flatMap(trace => [...trace.x.keys()].map(n =>
                    [at.left + xaxis._offset + xaxis.l2p(trace.x[n]), at.top + yaxis._offset + yaxis.l2p(trace.y[n])]));
            }})()"""
        )
        assert len(stars) == 2
        ground = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}[scheme]
        ink = {"light": "rgb(31, 36, 48)", "dark": "rgb(231, 234, 239)"}[scheme]
        for name in names:
            assert float(name["ground"]) == 0
            assert ground in name["halo"]
            assert name["ink"] == ink
            left, top, right, bottom = name["box"]
            assert not any(left < x < right and top < y < bottom for x, y in stars)
    finally:
        context.close()


def test_a_searched_word_is_pointed_at_and_its_neighbors_stand_beside(page, address):
    _map(page, address)
    start = _state(page)
    page.get_by_role("textbox", name="Find a word").fill("good")
    page.get_by_role("textbox", name="Find a word").press("Enter")
    page.locator(".st-key-map-panel").get_by_role(
        "heading", name=re.compile("^Neighbors of the word “")
    ).wait_for()
    page.locator(".st-key-map .annotation-arrow-g").first.wait_for()
    _settled(page)
    now = _state(page)
    assert now["x"][0] <= start["x"][0] + 1e-6
    assert now["x"][1] >= start["x"][1] - 1e-6
    assert "find=good" in page.url


def test_a_typed_text_is_asked_prompt_by_prompt(page, address):
    _map(page, address)
    page.evaluate(
        """() => { window.told = []; new MutationObserver(() => {
            for (const bar of document.querySelectorAll('[data-testid=stProgress]')) window.told.push(bar.innerText);
        }).observe(document.body, {childList: true, subtree: true, characterData: true}); }"""
    )
    box = page.locator(".st-key-map .js-plotly-plot").bounding_box()
    page.get_by_role("button", name="Ask the model").click()
    page.get_by_role("textbox", name="A text").fill("a charming film " * 60)
    page.get_by_role("button", name="Answer").click()
    panel = page.locator(".st-key-map-panel")
    for name in ("sentiment/class-label-0", "sentiment/random-0"):
        panel.get_by_text(
            re.compile(rf"{name}: (negative|positive) \(\d+%\), most moved by token \d+")
        ).wait_for()
    _settled(page)
    said = " ".join(page.evaluate("window.told"))
    assert re.search(r"Prompt [12] of 2", said)
    assert page.locator(".st-key-map .js-plotly-plot").bounding_box() == box

"""Every page in a real Chromium, in both themes: it opens, calls nobody outside, and has no serious
accessibility fault.
"""

from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import PAGES, PATIENCE, needs_browser, open_page

pytestmark = [pytest.mark.slow, needs_browser]
GROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 22, 28)"}


@pytest.fixture(scope="module", params=GROUND)
def themed(browser, request):
    """A theme, and a browser whose visitor asks for it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=request.param)
    context.set_default_timeout(PATIENCE)
    yield request.param, context
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_in_its_theme_calls_nobody_and_has_no_serious_fault(themed, address, name):
    """Faults by axe-core, whose rules follow WCAG 2."""
    (theme, context), asked = themed, set()
    page = context.new_page()
    page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or ""))
    open_page(page, address, name)
    assert page.locator("[data-testid=stException]").all_inner_texts() == []
    assert page.locator("[data-testid=stAlertContentError]").all_inner_texts() == []
    assert asked - {""} == {"127.0.0.1"}
    assert (
        page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
        == GROUND[theme]
    )
    grounds = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot._fullLayout.paper_bgcolor)"
    )
    assert set(grounds) <= {"rgba(0,0,0,0)"}, "charts have no ground of their own"
    page.wait_for_timeout(300)  # what fades in has no contrast yet
    serious = [
        fault
        for fault in Axe().run(page).response["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
    assert [(fault["id"], [node["html"][:200] for node in fault["nodes"][:3]]) for fault in serious] == []
    page.close()

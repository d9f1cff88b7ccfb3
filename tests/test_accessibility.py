"""No page has a serious accessibility fault, in either theme, by axe-core, whose rules follow WCAG 2."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import PAGES, PATIENCE, needs_browser, open_page

pytestmark = needs_browser


@pytest.fixture(scope="module", params=["light", "dark"])
def themed(browser, request):
    """A tab whose visitor asks for this theme."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=request.param)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_no_page_has_a_serious_fault(themed, address, name):
    open_page(themed, address, name)
    themed.wait_for_timeout(300)  # what fades in has no contrast yet
    serious = [fault for fault in Axe().run(themed).response["violations"] if fault["impact"] in ("serious", "critical")]
    assert [(fault["id"], [node["html"][:200] for node in fault["nodes"][:3]]) for fault in serious] == []

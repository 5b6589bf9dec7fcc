"""A headless Chromium, and a JupyterLab on a copy of the notebooks, for the tests of this folder."""

from __future__ import annotations

import os

import pytest

from gholm_kit.pages.printed import GET_CHROMIUM, find_chromium
from tests.browser.lab import Lab
from tests.browser.pages import Tab


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium. Without one the test is skipped; in CI (environment variable CI) it fails."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        in_ci = os.environ.get("CI", "") not in ("", "0", "false")
        (pytest.fail if in_ci else pytest.skip)(f"browser tests need Chromium: {GET_CHROMIUM}")
    with sync_playwright() as playwright:
        # The sandbox cannot be set up by root, as whom containers run.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium):
    """A page without network, closed at the end."""
    page = Tab(chromium)
    yield page
    page.context.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running JupyterLab of its own, on loopback; ended with all its kernels, whatever happens in the tests."""
    running = Lab(tmp_path_factory.mktemp("lab"))
    try:
        running.start()
        yield running
    finally:
        running.stop()

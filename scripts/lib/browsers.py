"""A browser without a window."""

import contextlib
import shutil

from playwright.sync_api import sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "google-chrome")


def installed():
    """The path of the browser, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def launched():
    """The running browser, which is to be shown nothing but pages of this project: its sandbox is off, since that does not
    work for root in a container."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed(), args=["--no-sandbox"])
        yield browser
        browser.close()

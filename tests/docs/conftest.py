"""What the browser's tests use, too."""

from tests.browser.conftest import browser

__all__ = ["browser"]

import re

import pytest

from tests.support.browser import BROWSER, open_in_browser
from tests.support.reports import make_examples, sources_of, write
from tests.support.simulated import simulate

# Tells the page around the frame what is wider than the frame and may not be scrolled.
PROBE = """<script>
const width = document.documentElement.clientWidth;
const wide = [...document.querySelectorAll("body *")]
  .filter(e => e.getBoundingClientRect().right > width + 1 && !e.closest(".wide"));
const broken = [...document.images].filter(image => !image.naturalWidth);
const said = [...wide.map(e => "too wide: " + e.tagName), ...broken.map(i => "broken: " + i.alt)];
if (document.documentElement.scrollWidth > width) said.push("the page scrolls sideways");
parent.postMessage(said.join("; ") || "nothing", "*");
</script></body>"""
FRAME = """<iframe src="probe.html" width="{width}" height="900" style="border: 0"></iframe>
<script>onmessage = event => document.body.textContent = "FOUND " + event.data + " END";</script>"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("page")
    labels, shares = simulate((6, 9, 12, 3))
    sources = sources_of(labels)
    _, other = simulate((6, 9, 12, 3), skill=0.2)
    examples = make_examples(labels, sources=sources)
    write(directory, examples, train=(labels, sources), first=shares, second=other)
    page = (directory / "report.html").read_text()
    (directory / "probe.html").write_text(page.replace("</body>", PROBE))
    return directory


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [375, 1280])
def test_in_a_browser_nothing_is_cut_off_and_the_console_is_silent(width, directory, tmp_path):
    (directory / "frame.html").write_text(FRAME.format(width=width))
    shown, console = open_in_browser(directory / "frame.html", tmp_path)
    assert re.search("FOUND (.*) END", shown).group(1) == "nothing"
    assert console == []

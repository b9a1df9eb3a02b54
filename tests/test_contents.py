import html.parser

from markupsafe import Markup

from trainer.evaluation.contents import with_contents


class Headings(html.parser.HTMLParser):
    """The ids and texts of a page's headings, in their order."""

    def __init__(self, page):
        super().__init__()
        self.found, self.is_inside = [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag in ("h2", "h3"):
            self.found.append([tag, dict(attrs)["id"], ""])
            self.is_inside = True

    def handle_endtag(self, tag):
        self.is_inside = self.is_inside and tag not in ("h2", "h3")

    def handle_data(self, data):
        if self.is_inside:
            self.found[-1][2] += data


def test_every_heading_is_listed_once_under_its_own_anchor():
    body = Markup(
        "<h2>&lt;b&gt; a&amp;b</h2><h3>Curves</h3><p>x</p><h3>By <em>source</em></h3>"
        "<h2>&lt;b&gt; a&amp;b</h2>\n<h3>Curves</h3><h2>***</h2><h2>***</h2>"
    )
    page, contents = with_contents(body)
    listed = [
        [tag, heading.anchor, heading.title]
        for one in contents
        for tag, heading in [("h2", one), *(("h3", part) for part in one.parts)]
    ]
    assert listed == Headings(page).found
    assert [title for *_, title in listed] == [
        "<b> a&b", "Curves", "By source", "<b> a&b", "Curves", "***", "***",
    ]  # fmt: skip
    anchors = [anchor for _, anchor, _ in listed]
    assert len(set(anchors)) == len(anchors)
    assert anchors[:2] == ["b-a-b", "b-a-b-curves"]

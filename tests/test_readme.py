"""The README tells the truth about settings and routes."""

import re
from pathlib import Path

from app.bootstrap import Application
from app.settings import Settings
from tests.support.server import ROOT

README = ROOT / "README.md"


def settings_table() -> str:
    rows = ["| variable | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if hasattr(default, "get_secret_value"):
            default = default.get_secret_value()
        shown = f"`{default}`" if default not in ((), "", None) else "none"
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_code():
    text = README.read_text()
    shown = re.search(r"<!-- settings -->\n(.*?)\n?<!-- /settings -->", text, re.DOTALL)
    assert shown, "the table's markers are missing"
    assert shown[1] == settings_table(), f"put this into the README:\n{settings_table()}"


def test_every_route_is_in_the_readme(tmp_path: Path):
    app = Application(Settings(database_url=f"sqlite:///{tmp_path}/x.db")).quart
    text = README.read_text()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?\w+>", "{id}", rule.rule)
        if path.startswith(("/static", "/docs/", "/favicon")):
            continue
        if path == "/api/service/recovered":
            path = "/recovered"
        assert path in text, f"{path} is not in the README"


def test_links_lead_somewhere():
    for document in [README, *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"

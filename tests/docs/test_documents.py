"""The documents tell the truth: settings, figures, routes, commands, files, links."""

import re
from pathlib import Path

import click
import pytest

from app.__main__ import main
from app.bootstrap import Application
from app.chain.catalogue import SHAPES
from app.core.contract.parked import Why
from app.core.event import CAUSES
from app.settings import Settings
from tests.docs.generated import PARTS, Part
from tests.support.whole_run import ROOT

DOCS = ROOT / "docs"
README = ROOT / "README.md"
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob(".github/**/*.md")]
)
WIDTH = 120


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_what_is_made_from_the_code_is_the_code(part: Part):
    _, shown, _ = part.split()
    assert shown.strip() == part.text(), f"`make docs` puts this into {named(part.document)}:\n{part.text()}"


def test_every_route_is_in_the_reference(tmp_path: Path):
    app = Application(Settings(database_url=f"sqlite:///{tmp_path}/x.db")).quart
    text = (DOCS / "reference" / "http.md").read_text()
    paths = {re.sub(r"<(?:\w+:)?\w+>", "{id}", rule.rule) for rule in app.url_map.iter_rules()}
    shown = {path for path in paths if not path.startswith(("/static", "/docs/", "/favicon"))}
    missing = sorted(path for path in shown if not re.search(rf"(?<![\w}}]){re.escape(path)}[`?]", text))
    assert not missing, "put these into docs/reference/http.md"


def test_the_chain_s_document_has_every_topic_cause_and_reason():
    text = (DOCS / "chain.md").read_text()
    names = {*SHAPES, *(cause for cause in CAUSES), *Why}
    assert not sorted(name for name in names if f"`{name}`" not in text)


def test_every_command_is_in_the_reference():
    text = (DOCS / "reference" / "commands.md").read_text()
    assert isinstance(main, click.Group)
    assert not [name for name in main.commands if f"`fluxora {name}" not in text]
    # And nothing that is not there.
    shown = set(re.findall(r"`fluxora ([a-z][\w-]*)", "\n".join(each.read_text() for each in DOCUMENTS)))
    assert not shown - set(main.commands)


def test_every_file_has_its_line_in_the_architecture():
    text = (DOCS / "explanation" / "architecture.md").read_text()
    shown = set(re.findall(r"^\| `(app/[\w/]+\.py)` \|", text, re.MULTILINE))
    files = {named(path) for path in ROOT.glob("app/**/*.py")}
    # A package's own file is the heading of its table.
    packages = {path for path in files if path.endswith("/__init__.py") and path != "app/__init__.py"}
    missing = sorted(files - packages - shown)
    gone = sorted(shown - files)
    assert not missing, "give these a line in docs/explanation/architecture.md"
    assert not gone, "these are not there any more: take them out of docs/explanation/architecture.md"
    headings = set(re.findall(r"^### `(app[\w/]*)`", text, re.MULTILINE))
    directories = {str(Path(path).parent) for path in files if path not in packages}
    assert headings == directories


def test_every_setting_that_is_named_is_one():
    known = {name.upper() for name in Settings.model_fields}
    likely = {"_".join(name.split("_")[-1:]) for name in known}
    for document in DOCUMENTS:
        for name in re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", document.read_text()):
            ours = name.split("_")[-1] in likely and not name.startswith(("TCP_", "TEST_", "FLUXORA_"))
            assert name in known or not ours, f"{named(document)}: {name}"


def headings(document: Path) -> set[str]:
    text = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere():
    for document in DOCUMENTS:
        text = document.read_text()
        links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
        for link in links:
            if link.startswith(("http://", "https://")):
                continue
            path, _, heading = link.partition("#")
            target = document.parent / path if path else document
            assert target.exists(), f"{named(document)}: {link}"
            assert not heading or heading in headings(target), f"{named(document)}: {link}"


def test_every_document_can_be_found():
    """From docs/README.md, in one step."""
    index = (DOCS / "README.md").read_text()
    pages = {str(path.relative_to(DOCS)) for path in DOCS.glob("**/*.md")} - {"README.md"}
    assert not [page for page in pages if page not in index and not page.startswith("decisions/")]


def test_the_readme_is_short():
    lines = README.read_text().splitlines()
    assert len(lines) <= 110
    assert not [line for line in lines if len(line) > WIDTH]


def test_lines_are_no_longer_than_a_screen():
    for document in DOCUMENTS:
        if document.parent.name == "decisions":
            continue
        wide = [
            number
            for number, line in enumerate(document.read_text().splitlines(), 1)
            if len(line) > WIDTH and not line.startswith("|")
        ]
        assert not wide, f"{named(document)}: {wide}"


def test_every_decision_has_a_status_and_a_date():
    form = re.compile(
        r"# (\d+)\. .+\n\nStatus: (Proposed|Accepted|Replaced by \[decision \d+\]\([\w.-]+\))\b[^\n]*"
        r" Date: 20\d\d-\d\d-\d\d\.\n\n.*\*\*Decision\.\*\* ",
        re.DOTALL,
    )
    numbers = []
    for path in sorted((DOCS / "decisions").glob("*.md")):
        found = form.match(path.read_text())
        assert found, f"{path.name} has no line `Status: Accepted. Date: 2026-01-31.` under its title"
        assert path.name.startswith(f"{int(found[1]):04}-")
        numbers.append(int(found[1]))
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_changelog_has_its_form():
    """Keep a Changelog: an entry for what is to come, and each entry's lines under their kind."""
    text = (ROOT / "CHANGELOG.md").read_text()
    entries = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert entries[0].startswith("Unreleased\n")
    for entry in entries:
        kinds = re.findall(r"^### (.+)$", entry, re.MULTILINE)
        assert kinds
        assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
        assert entry.index("### ") < (entry.index("\n* ") if "\n* " in entry else len(entry))


def test_the_glossary_has_the_words():
    text = (DOCS / "glossary.md").read_text()
    words = (
        "epoch cursor head floor ring live behind round outlet detached batch session relay tail retention "
        "log event hub subscription drain"
    )
    assert not [word for word in words.split() if f"| **{word}** |" not in text]

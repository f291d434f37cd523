"""The parts of the documents that are made from the code: `make docs` writes them anew, and tests compare."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from app.settings import Settings
from tests.support import metrics

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
PEER = "Node ws"
LABELS = {
    "fluxora_http_request_seconds": ("method", "route", "status"),
    "fluxora_connections_closed": ("transport", "reason", "code"),
    "fluxora_task_failures": ("task",),
    "fluxora_chain_calls": ("node", "method", "outcome"),
    "fluxora_chain_items": ("outcome",),
}
"""Of those that have no value before something happened."""


class Part(NamedTuple):
    """Some lines of a document, between two comments of this name."""

    document: Path
    name: str
    text: Callable[[], str]

    def split(self) -> tuple[str, str, str]:
        """What stands before, between and after the comments."""
        whole = self.document.read_text()
        found = re.fullmatch(rf"(.*<!-- {self.name} -->\n)(.*?)(<!-- /{self.name} -->.*)", whole, flags=re.DOTALL)
        assert found, f"{self.document} has no <!-- {self.name} -->"
        return found[1], found[2], found[3]

    def write(self) -> None:
        before, _, after = self.split()
        self.document.write_text(f"{before}{self.text()}\n{after}")


def settings_table() -> str:
    rows = ["| variable | default | what |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        if hasattr(default, "get_secret_value"):
            default = default.get_secret_value()
        shown = f"`{default}`" if default not in ((), "", None) else "none"
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def figure(scenario: str, column: str, contender: str) -> float:
    """One median out of benchmarks/RESULTS.md."""
    section = RESULTS.read_text().split(f"### {scenario}\n", 1)[1].split("\n###", 1)[0]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    row = next(row for row in table if row[0] == contender)
    return float(row[table[0].index(column)].split(" (")[0].replace(",", ""))


def figures_table() -> str:
    """Three figures beside the peer's: the best, one about even, and the worst."""
    rows = [f"| | here | {PEER} | ratio |", "|---|---|---|---|"]
    for what, scenario, column in (
        ("1,000 WebSockets, bursts: deliveries/s", "bursts, 1,000 clients, ws", "deliveries/s"),
        ("10,000 WebSockets: KiB of memory each", "paced, 10,000 clients, 5 events/s, ws", "KiB/connection"),
        ("1,000 WebSockets: connects/s", "bursts, 1,000 clients, ws", "connects/s"),
    ):
        here, there = (figure(scenario, column, contender) for contender in ("fluxora", PEER))
        rows.append(f"| {what} | {_shown(here)} | {_shown(there)} | {here / there:.2g} x |")
    return "\n".join(rows)


def files_tables() -> str:
    """A table for each package: every file's first line, as its own author wrote it."""
    packages = sorted(path.parent for path in (ROOT / "app").rglob("__init__.py"))
    return "\n".join(_files_table(package) for package in packages).rstrip()


def _files_table(package: Path) -> str:
    names = sorted(path for path in package.glob("*.py") if path.name != "__init__.py" or package.name == "app")
    lines = [
        f"### `{package.relative_to(ROOT)}`: {_first_line(package / '__init__.py')}",
        "",
        "| file | what |",
        "|---|---|",
    ]
    lines += [f"| `{path.relative_to(ROOT)}` | {_first_line(path)} |" for path in names]
    return "\n".join([*lines, ""])


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n", 1)[0].rstrip(".").replace("|", "\\|")


def metrics_table() -> str:
    rows = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    for family in metrics.families():
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = LABELS.get(family.name) or sorted({label for each in family.samples for label in each.labels} - {"le"})
        shown = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {family.type} | {shown} | {family.documentation.rstrip('.')} |")
    return "\n".join(rows)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


PARTS = (
    Part(ROOT / "docs" / "reference" / "settings.md", "settings", settings_table),
    Part(ROOT / "README.md", "figures", figures_table),
    Part(ROOT / "docs" / "reference" / "metrics.md", "metrics", metrics_table),
    Part(ROOT / "docs" / "explanation" / "architecture.md", "files", files_tables),
)

if __name__ == "__main__":
    for part in PARTS:
        part.write()

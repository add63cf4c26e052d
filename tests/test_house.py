"""The plan of the house: rooms in order, imports one way, and a page that draws what is there."""

import ast
import importlib
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "house.md").read_text()
MAX_LINES = 400
# lowest first: a room imports from those before it
ORDER = (
    "kernels", "hamiltonians", "models", "states", "solvers", "measurement", "devices", "gradients", "expressions",
    "descent", "ridges", "runs", "training", "tasks", "figures", "configuration", "commands", "cli",
)  # fmt: skip
# none of these imports from another one, whatever their order
APART = ("descent", "ridges"), ("runs", "descent"), ("runs", "ridges")


def module_name(file):
    inside = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(("qep_tn", *inside) if inside[0] == "models" else inside).removesuffix(".__init__")


FILES = {module_name(file): file for place in ("qep_tn", "models") for file in sorted((ROOT / place).rglob("*.py"))}


@cache
def tree(module):
    return ast.parse(FILES[module].read_text())


def imported(tree):
    """Modules of the house that a file's code imports anywhere: at its top, in functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import that is not by the full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in FILES else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


IMPORTS = {module: {name for name in imported(tree(module)) if name in FILES} - {module} for module in FILES}


def room_of(module):
    return module.split(".")[1] if "." in module else ""


def rooms_used():
    """Room -> the rooms that its files import from; the package's own list of names is no room."""
    used = defaultdict(set)
    for module, names in IMPORTS.items():
        if module != "qep_tn":
            used[room_of(module)] |= {room_of(name) for name in names} - {room_of(module)}
    return dict(used)


def find_circle(graph):
    """A circle in a graph as the list of its nodes, the first one repeated; empty if there is none."""
    done = set()

    def visit(node, path):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        circle = next(filter(None, (visit(other, [*path, node]) for other in sorted(graph.get(node, ())))), [])
        done.add(node)
        return circle

    return next(filter(None, (visit(node, []) for node in graph)), [])


def test_imports_are_found_wherever_they_stand():
    text = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from qep_tn.runs.folder import RunFolder
def late():
    import qep_tn.cli
    from qep_tn.gradients import window
"""
    found = set(imported(ast.parse(text)))
    assert {"qep_tn.runs.folder", "qep_tn.cli", "qep_tn.gradients.window"} <= found


def test_a_circle_is_found():
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert find_circle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_the_top_holds_the_names_and_the_command_line():
    assert sorted(file.name for file in (ROOT / "qep_tn").glob("*.py")) == ["__init__.py", "cli.py"]
    assert {room_of(module) for module in FILES} - {""} == set(ORDER)


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_from_those_before_it(room):
    later = ORDER[ORDER.index(room) + 1 :]
    found = {
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        for name in names
        if room_of(module) == room
        and module != "qep_tn"
        and (not room_of(name) or room_of(name) in later or (room, room_of(name)) in APART)
    }
    assert not found


def test_no_circle_between_rooms_or_files():
    assert find_circle(rooms_used()) == []
    assert find_circle(IMPORTS) == []


def test_no_file_is_two_ideas_long():
    lines = {module: len(file.read_text().splitlines()) for module, file in FILES.items()}
    assert {module: count for module, count in lines.items() if count > MAX_LINES} == {}


def kinds_of_solvers_and_states():
    """Classes of solvers/ and states/, but for what any solve gives, a GroundState with its status."""
    return {
        node.name
        for module in FILES
        if room_of(module) in ("solvers", "states")
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ClassDef)
    } - {"GroundState", "SolveStatus"}


def kinds_asked_for(tree):
    """Names of the classes in isinstance, issubclass and patterns of match, and those compared with a type(...)."""
    for node in ast.walk(tree):
        asked = []
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
            asked = node.args[1:]
        elif isinstance(node, ast.MatchClass):
            asked = [node.cls]
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Call) and getattr(side.func, "id", "") == "type" for side in sides):
                asked = sides
        for part in (inner for expression in asked for inner in ast.walk(expression)):
            yield getattr(part, "id", getattr(part, "attr", ""))


def test_nobody_asks_which_solver_or_state_it_has():
    kinds = kinds_of_solvers_and_states()
    assert {"NumbaDMRG", "ExactDiagonalization", "MPS", "StateVector"} <= kinds
    text = "isinstance(s, NumbaDMRG | int)\nissubclass(s, (q.MPS,))\ntype(s) is StateVector"
    assert kinds & set(kinds_asked_for(ast.parse(text))) == {"NumbaDMRG", "MPS", "StateVector"}
    found = {
        f"{module} asks for {kind}"
        for module in FILES
        if room_of(module) not in ("solvers", "states")
        for kind in kinds & set(kinds_asked_for(tree(module)))
    }
    assert not found


def floors(used):
    """The rooms by floor, the ground floor first: a room stands right above the highest of those it imports from."""

    @cache
    def floor(room):
        return 1 + max(map(floor, used[room]), default=-1)

    rooms = sorted(used, key=ORDER.index)
    return [[room for room in rooms if floor(room) == level] for level in range(1 + max(map(floor, rooms)))]


def test_the_page_draws_every_room_where_its_imports_put_it():
    drawing = re.search(r"<!-- floors -->\n```text\n(.*?)```", PAGE, re.DOTALL).group(1)
    drawn = [re.findall(r"\w+", line) for line in drawing.splitlines() if re.search(r"\w", line)]
    assert drawn[::-1] == floors(rooms_used())


def test_the_page_says_what_stands_in_every_room():
    rows = re.findall(r"^\| `(\w+)/?(?:\.py)?` \|", PAGE, re.MULTILINE)
    assert rows == list(ORDER)


def test_what_the_page_names_exists():
    paths = set(re.findall(r"`([\w/]+/[\w./]*)`", PAGE))
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists() or (ROOT / "qep_tn" / path).exists(), path
    names = set(re.findall(r"`qep_tn((?:\.\w+)+)`", PAGE))
    assert len(names) > 5
    for name in names:
        parts = name.split(".")[1:]
        module = next(m for n in range(len(parts), -1, -1) if (m := ".".join(["qep_tn", *parts[:n]])) in FILES)
        thing = importlib.import_module(module)
        for part in name.split(".")[1 + module.count(".") :]:
            assert hasattr(thing, part), f"{name} in docs/house.md"
            thing = getattr(thing, part)


def test_the_way_of_theta_leads_through_files_that_a_gradient_reaches():
    way = re.search(r"<!-- theta -->\n```text\n(.*?)```", PAGE, re.DOTALL).group(1)
    drawn = {f"qep_tn.{path.replace('/', '.')}" for path in re.findall(r"(\w+/\w+)\.py", way)}
    reached, frontier = set(), {"qep_tn.gradients.gradient"}
    while frontier:
        reached |= frontier
        frontier = {name for module in frontier for name in IMPORTS[module]} - reached
    assert drawn <= reached
    # all that makes a gradient is on the way, but what `window` and `whole_chain` build from
    own = {module for module in FILES if room_of(module) == "gradients"} - {"qep_tn.gradients"}
    assert own - drawn == {"qep_tn.gradients.operator_bases"}

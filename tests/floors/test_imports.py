"""The floors: a file imports only from lower floors (CONTRIBUTING.md)."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "carnyx"

# From the ground up. A file may import from the rows above its own and from its own
# folder; on the ground, where all names are files of one folder, also from its row.
FLOORS = [
    """errors config configurable tree registry dtype_policies typing
    _reads _settings _spellings _strangers _tables _version _numbers""",
    """_core""",
    """_costs""",
    """ops random distribution""",
    """activations initializers regularizers constraints losses""",
    """layers metrics optimizers quantizers""",
    """_data callbacks saving""",
    """_checks""",
    """_training""",
    """models""",
    """utils""",  # below its floor's other folders: data sets and weights use its cache
    """applications datasets visualization wrappers export distillation _lowering""",
    """legacy compat cli backend mixed_precision preprocessing""",
]
FLOOR = {name: floor for floor, row in enumerate(FLOORS) for name in row.split()}
TOP = {"__init__", "__main__"}
EDGE = {"compat", "cli"}
EVERYWHERE = {"jax", "jaxlib", "numpy", "ml_dtypes"}

FILES = sorted(PACKAGE.rglob("*.py"))
each_file = pytest.mark.parametrize(
    "file", FILES, ids=lambda f: str(f.relative_to(PACKAGE))
)


def module_of(file):
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def unit(module):
    """`layers` for `carnyx.layers.core`, `__init__` for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def absolute(node, file):
    if not node.level:
        return node.module
    package = module_of(file).split(".")
    package = package if file.name == "__init__.py" else package[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def targets(node, file):
    """The modules that one import statement reads."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = absolute(node, file)
    names = [f"{base}.{alias.name}" for alias in node.names]
    return [name if name in MODULES else base for name in names]


@cache
def imports(file):
    """(module, line, inside a function?, only for type checking?) of each import."""
    found = []

    def visit(node, inside, typing):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.extend((t, node.lineno, inside, typing) for t in targets(node, file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside = True
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing = True
        for child in ast.iter_child_nodes(node):
            visit(child, inside, typing)

    visit(ast.parse(file.read_text()), False, False)
    return found


def ours(file):
    return [row for row in imports(file) if row[0].split(".")[0] == "carnyx"]


def may_import(user, used):
    if user in TOP:  # `python -m carnyx` is the command line
        return used not in EDGE or (user, used) == ("__main__", "cli")
    if used in TOP or used not in FLOOR:
        return False
    return user == used or FLOOR[used] < FLOOR[user] or FLOOR[used] == FLOOR[user] == 0


@each_file
def test_every_file_has_a_floor(file):
    name = unit(module_of(file))
    assert name in TOP or name in FLOOR, f"give {name!r} a floor in {__file__}"


@each_file
def test_imports_go_to_lower_floors(file):
    user = unit(module_of(file))
    wrong = [
        f"{file}:{line}: {module} is not below {user}"
        for module, line, _, _ in ours(file)
        if not may_import(user, unit(module))
    ]
    assert not wrong, "\n".join(wrong)


@each_file
def test_no_import_of_ours_hides_in_a_function(file):
    hidden = [f"{file}:{line}: {m}" for m, line, inside, _ in ours(file) if inside]
    assert not hidden, "\n".join(hidden)


# Classes that inherit from an extra's are in a file that is imported when asked for.
EXTRAS = {"wrappers/estimators.py": "sklearn"}


@each_file
def test_third_parties_are_imported_where_they_are_used(file):
    wrong = []
    allowed = {*EVERYWHERE, EXTRAS.get(file.relative_to(PACKAGE).as_posix())}
    for module, line, inside, typing in imports(file):
        name = module.split(".")[0]
        at_import = not inside and not typing
        known = name in allowed or name in sys.stdlib_module_names
        if at_import and not known and name != "carnyx":
            wrong.append(f"{file}:{line}: {module} belongs inside a function")
    assert not wrong, "\n".join(wrong)


@each_file
def test_private_parts_of_jax_are_left_alone(file):
    private = [f"{file}:{line}: {m}" for m, line, _, _ in imports(file) if "._src" in m]
    assert not private and "jax._src" not in file.read_text(), "\n".join(private)


def test_no_cycles():
    graph = {
        name: {module for module, _, _, typing in ours(file) if not typing}
        for name, file in MODULES.items()
    }
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done or name not in graph:
            return
        path.append(name)
        for used in sorted(graph[name]):
            visit(used)
        done.add(path.pop())

    for name in graph:
        visit(name)


@pytest.mark.parametrize(
    "user, used, allowed",
    [
        ("layers", "ops", True),
        ("layers", "layers", True),
        ("layers", "optimizers", False),
        ("ops", "layers", False),
        ("config", "_settings", True),
        ("losses", "activations", False),
        ("layers", "__init__", False),
        ("datasets", "utils", True),
        ("utils", "datasets", False),
        ("__init__", "models", True),
        ("__init__", "compat", False),
    ],
)
def test_the_rule_itself(user, used, allowed):
    assert may_import(user, used) is allowed

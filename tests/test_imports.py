"""Who may import whom: serving starts without torch, and the bundle is the only contract between both halves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dqmq_deploy"
FACTORY = {"nets", "quant", "policy", "quality", "train", "export"}
SERVICE = {"runtime", "serve", "report"}
COMMON = {"errors", "bits", "cpu", "kernels", "routing", "worth", "images", "degradations", "bundle"}
HEAVY = {"torch", "onnx"}

# {part: what no file of it may import, not even inside a function}
FORBIDDEN = {
    **{part: HEAVY | {"onnxruntime"} | {f"dqmq_deploy.{name}" for name in FACTORY | SERVICE} for part in COMMON},
    **{part: HEAVY | {f"dqmq_deploy.{name}" for name in FACTORY} for part in SERVICE},
    **{part: {f"dqmq_deploy.{name}" for name in SERVICE} for part in FACTORY},
}


def imports_of(path: Path, *, at_start: bool = False) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import in a file, or only of those that run when the file is imported."""
    package = ["dqmq_deploy", *path.relative_to(PACKAGE).parent.parts]
    nodes: list[ast.AST] = [ast.parse(path.read_text(), str(path))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield node.lineno, stem
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)
        elif at_start and (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"))
        ):
            continue
        nodes.extend(ast.iter_child_nodes(node))


def part_of(path: Path) -> str:
    """The part of the package a file belongs to: its first folder, or its own name at the top."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def is_below(name: str, forbidden: str) -> bool:
    """Whether a dotted name is ``forbidden`` or something inside it."""
    return name == forbidden or name.startswith(f"{forbidden}.")


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_part_may(path: Path) -> None:
    """No import anywhere in the file, lazy ones included, crosses the line drawn for its part."""
    forbidden = FORBIDDEN.get(part_of(path), set())
    crossing = {f"line {line}: {name}" for line, name in imports_of(path) for each in forbidden if is_below(name, each)}
    assert not crossing


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_reaches_for_openvino_or_pyarrow_before_it_needs_them(path: Path) -> None:
    """Extras are imported inside the function that uses them."""
    names = {name.split(".")[0] for _, name in imports_of(path, at_start=True)}
    assert not names & {"openvino", "pyarrow", "jinja2", "sklearn"}


def modules_after(code: str) -> set[str]:
    """Top-level modules, and those of the package, that a fresh interpreter has loaded after running ``code``."""
    script = f"import sys\n{code}\nprint(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import dqmq_deploy.cli",
        "from dqmq_deploy import Bundle, Dispatcher, Prediction",
        "import dqmq_deploy.serve.job",
        "import dqmq_deploy.report.bench",
        "from dqmq_deploy.cli import app; app(['serve', '--help'], standalone_mode=False)",
    ],
)
def test_the_service_starts_without_torch_and_onnx(code: str) -> None:
    """Neither is loaded by what a serving machine runs."""
    assert not modules_after(code) & HEAVY


def test_the_command_line_starts_light() -> None:
    """Help must not wait for the machinery: nothing heavy is loaded before a command runs."""
    loaded = modules_after("import dqmq_deploy.cli")
    assert not loaded & {"torch", "onnx", "onnxruntime", "numpy", "PIL", "rich"}


def test_the_checker_sees_relative_and_lazy_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule cannot be passed by writing the import differently."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    folder = tmp_path / "runtime"
    folder.mkdir()
    path = folder / "sneaky.py"
    path.write_text("def f():\n    from ..train import run\n    import torch.nn\n")
    names = {name for _, name in imports_of(path)}
    assert {"dqmq_deploy.train", "dqmq_deploy.train.run", "torch.nn"} <= names
    assert not list(imports_of(path, at_start=True))

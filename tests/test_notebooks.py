"""Notebooks run from top to bottom, and the two forms of each are the same notebook."""

import sys
from pathlib import Path

import jupytext
import nbclient
import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))

REFRESH = """{name}.py and {name}.ipynb differ; edit the .py, and make the other from it:
  jupytext --update --to ipynb notebooks/{name}.py && jupyter execute --inplace notebooks/{name}.ipynb"""


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def test_every_notebook_has_both_forms():
    assert SOURCES
    assert {path.stem for path in SOURCES} == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_two_forms_are_in_step(source):
    pair = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(pair)
    assert cells(jupytext.read(source)) == cells(pair), REFRESH.format(name=source.stem)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_runs(source, tmp_path, monkeypatch):
    for folder in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(folder, str(tmp_path / folder))  # nothing is left in the user's home
    # Whatever another test has asked of matplotlib: pictures go into the notebook.
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("JAX_DEBUG_KEY_REUSE", "1")  # as the suite has it: a key is used once
    # Without folders to look in, the manager offers the one kernel that is this interpreter's.
    manager = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = nbclient.NotebookClient(
        jupytext.read(source), manager, timeout=120, resources={"metadata": {"path": str(ROOT)}}
    )
    notebook = client.execute()
    assert manager.kernel_spec is not None
    assert manager.kernel_spec.argv[0] == sys.executable
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert pictures

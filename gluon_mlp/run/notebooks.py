"""The chapter's scripts as notebooks that have run.

A script in `chapters/` is a notebook in cells, which Jupytext reads. Above a
cell that uses the section's module comes a text with the source of what it
uses, so that the reader sees the mathematics.
"""
import ast
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat.sign import NotebookNotary
from nbformat.v4 import new_markdown_cell

from .. import sections
from ..errors import ChapterError
from ..files import written_whole

PACKAGE = Path(__file__).resolve().parents[1]


def build(slug, folder):
    """Write SLUG.ipynb, executed, into `folder`. Returns its path.

    Raises `ChapterError` if a cell fails. The notebook shows the error, too.
    """
    notebook, path, failed = read(slug), folder / f'{slug}.ipynb', None
    try:
        execute(notebook, folder)
    except ChapterError as error:
        failed = error
    with contextlib.suppress(OSError):  # of a home that takes no signature
        NotebookNotary().sign(notebook)  # or JupyterLab hides the figures
    with written_whole(path) as partial:
        nbformat.write(notebook, partial)
    if failed:
        raise ChapterError(f'{path}: {failed}') from failed
    return path


def execute(notebook, folder):
    """Run all cells, in `folder`. Raises `ChapterError` if one fails."""
    client = NotebookClient(  # the kernel would warn of a local connection
        notebook, timeout=None, extra_arguments=['--log-level=ERROR'],
        resources={'metadata': {'path': str(folder)}})
    try:  # in a thread: in the main one, nbclient would catch the signals
        ThreadPoolExecutor(1).submit(client.execute).result()
    except CellExecutionError as error:
        raise ChapterError(f'{error.ename}: {error.evalue}') from error
    except DeadKernelError as error:
        raise ChapterError(f'the kernel has died: {error}') from error


def read(slug):
    """The script of a section as a notebook that has not run."""
    notebook = jupytext.read(sections.script(sections.find(slug)))
    notebook.cells = list(_with_sources(notebook.cells, slug))
    notebook.metadata = {'kernelspec': {
        'name': 'python3', 'language': 'python',
        'display_name': 'Python 3 (ipykernel)'}}
    return notebook


def _with_sources(cells, slug):
    """The cells, with each definition of the module above its first use."""
    defined = _definitions((PACKAGE / f'{slug}.py').read_text('utf-8'))
    shown = set()
    for cell in cells:
        if cell.cell_type == 'code':
            before = set(shown)
            _add_used(cell.source, defined, shown)
            texts = [text for text in dict.fromkeys(defined.values())
                     if text in shown - before]
            if texts:
                yield new_markdown_cell(
                    f'From `gluon_mlp/{slug}.py`:\n\n```python\n'
                    + '\n\n'.join(texts) + '\n```')
        yield cell


def _definitions(source):
    """The names that a module defines, each with its statement's source."""
    lines, found = source.splitlines(), {}
    for node in ast.parse(source).body:
        text = '\n'.join(lines[node.lineno - 1:node.end_lineno])
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.name] = text
        elif isinstance(node, ast.Assign):
            found.update((name.id, text) for name in ast.walk(node.targets[0])
                         if isinstance(name, ast.Name))
    return found


def _add_used(source, defined, used):
    """Add to `used` the definitions that `source` uses, and what they use."""
    for node in ast.walk(ast.parse(source)):
        text = defined.get(getattr(node, 'id', getattr(node, 'attr', None)))
        if text and text not in used:
            used.add(text)
            _add_used(text, defined, used)

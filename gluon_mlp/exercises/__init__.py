"""Answers to the exercises of chapter 4. Each section has a file.

The file has a function for each exercise: `exercise_2a(quick=False)` for 2a.
The first line of its docstring is a title, and the rest is the answer, with
what was measured in a paragraph of its own. The function measures this. It
prints and plots the numbers, and returns them. With `quick` it takes little
data and few epochs, to show that it runs. `results.json` has the numbers of
the full runs. The docstring rounds them; settings stand in backticks there.
"""
import ast
import importlib
import re
from pathlib import Path
from typing import NamedTuple

from .. import sections


class Exercise(NamedTuple):
    """An exercise, such as '4.4.2a': its title, its answer, its function."""
    number: str
    title: str
    answer: str
    slug: str
    function: str

    def run(self, quick=False):
        """Measure what the answer claims. Imports MXNet."""
        module = importlib.import_module(f'.{self.slug}', __name__)
        return getattr(module, self.function)(quick=quick)


def exercises():
    """All exercises by number, in the chapter's order. Imports no MXNet."""
    found = {}
    for section in sections.SECTIONS:
        path = Path(__file__).with_name(f'{section.slug}.py')
        if not path.exists():
            continue  # a section without exercises
        for node in ast.parse(path.read_text('utf-8')).body:
            name = getattr(node, 'name', '')
            if name.startswith('exercise_'):
                number = f'{section.number}.{name[len("exercise_"):]}'
                title, _, answer = ast.get_docstring(node).partition('\n')
                found[number] = Exercise(number, title, answer.strip(),
                                         section.slug, name)
    return found


def matching(name):
    """The exercises that `name` stands for, in the chapter's order.

    It is the number of one ('4.4.2a'), of several ('4.4.2') or of a section
    ('4.4'). The section's slug may take the place of its number.
    """
    first, dot, rest = name.partition('.')
    for section in sections.SECTIONS:
        if first == section.slug:
            name = section.number + dot + rest
    pattern = re.escape(name) + r'(\.\d+)?[a-z]?'
    return [exercise for number, exercise in exercises().items()
            if re.fullmatch(pattern, number)]

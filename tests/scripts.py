"""Ways to run a script: in the test's own process, or in one of its own."""
import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
from unittest import mock

import typer
from conftest import ROOT
from gluon_mlp.__main__ import app
from gluon_mlp.run import ending, options


def script_here(path, *args):
    """Run a script in this process, which takes no time to start.

    Returns its exit code, and its globals if it came to its last line. Its
    closing word is not heard.
    """
    argv = [str(path), *map(str, args)]
    with mock.patch.object(sys, 'argv', argv), mock.patch.object(
            options, 'take_over', lambda: None):
        try:
            return 0, runpy.run_path(argv[0], run_name='__main__')
        except (Exception, SystemExit) as error:
            return ending.tell(error), None
        finally:
            with contextlib.redirect_stderr(io.StringIO()):
                ending.opened.close()


def command_here(*args):
    """Run `python -m gluon_mlp ARGS` in this process; its exit code."""
    command = typer.main.get_command(app)
    try:
        with command.make_context('gluon_mlp', [*map(str, args)]) as context:
            return command.invoke(context) or 0
    except (Exception, SystemExit) as error:
        return ending.tell(error)


def start(*command, **more):
    """Start a command with text pipes, from the root of the project.

    It hears all signals, also where these tests run under nohup or in the
    background of a shell.
    """
    return subprocess.Popen(
        [*map(str, command)], text=True, preexec_fn=_hear_signals, **{
            'cwd': ROOT, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE,
            **more})


def script_environment(**changes):
    """The environment of a script in a temporary folder."""
    path = f'{ROOT}:{ROOT / "tests"}'
    return {**os.environ, 'PYTHONPATH': path, **changes}


def _hear_signals():
    for number in ending.SIGNALS:
        signal.signal(number, signal.SIG_DFL)

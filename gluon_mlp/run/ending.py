"""How a script or a command ends: one line, an exit code, its figures.

Scripts import it first. From then on Ctrl-C is told in one line, also while
they are still importing MXNet.
"""
import atexit
import contextlib
import os
import signal
import sys
import time
import traceback
from functools import partial
from pathlib import Path

import click

from ..errors import ChapterError, printable

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

STARTED = time.monotonic()
opened = contextlib.ExitStack()  # what the script's run has opened
early = []  # signals before `take_over`, which may have been swallowed


class Interrupted(KeyboardInterrupt):
    """A signal has arrived, one of `SIGNALS`."""

    def __init__(self, number):
        super().__init__()
        self.number = number


def run(command):
    """Run a click `command`, and end the process with its exit code."""
    take_over()
    try:
        with command.make_context('gluon-mlp', sys.argv[1:]) as ctx:
            code = command.invoke(ctx) or 0
    except BaseException as error:
        _ignore_signals()
        _leave(tell(error))
    sys.exit(code)


def take_over():
    """Let this process end with one line and an exit code, whatever ends it.

    A log or a pipe gets each line at once. In IPython, where %run has started
    the script, the run ends with the cell, and nothing else is changed.
    """
    ipython = sys.modules.get('IPython')
    if ipython and ipython.get_ipython():
        ipython.get_ipython().events.register('post_run_cell', _close)
        return
    for name in ('stdout', 'stderr'):  # None where the shell closed them
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, 'w'))
    sys.stdout.reconfigure(line_buffering=True, errors='backslashreplace')
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.excepthook = _excepthook
    atexit.register(_finish)
    if early:
        _interrupt(early[0], None)


def _close(result):
    """Called by IPython after each cell."""
    opened.close()


def end(error):
    """Tell `error` and end the process with its exit code.

    After a signal, save the open figures.
    """
    _ignore_signals()  # one more must not stop this
    code = tell(error)
    if isinstance(error, KeyboardInterrupt):
        try:
            _save_open_figures()
        except OSError as full:
            tell(full)
        except Exception:  # the signal came while it was drawn
            pass
    _leave(code)


def tell(error):
    """Tell `error` in one line on standard error. Returns its exit code.

    A defect of this program is told with its traceback.
    """
    if isinstance(error, click.exceptions.Exit):  # after --help
        return error.exit_code
    if isinstance(error, SystemExit) and isinstance(error.code or 0, int):
        return error.code or 0
    if isinstance(error, KeyboardInterrupt):
        say('interrupted')
        return 128 + getattr(error, 'number', signal.SIGINT)
    if isinstance(error, click.ClickException):
        say('error: ' + printable(error.format_message()))
        return error.exit_code
    if isinstance(error, (ChapterError, OSError)):
        if not isinstance(error, BrokenPipeError):  # `| head`
            lines = error.args if isinstance(error, ChapterError) else [error]
            say('error: ' + '\n'.join(printable(str(x)) for x in lines))
    elif isinstance(error, SystemExit):
        say(error.code)
    elif isinstance(error, ModuleNotFoundError) and error.name:
        say(f'error: {error.name} is not installed: make env brings all, or '
            "pip install '.[compare,bench,notebook]' what this one needs")
    else:
        say(''.join(traceback.format_exception(
            type(error), error, error.__traceback__)).rstrip())
    return 1


def say(text):
    """Say it on standard error, if anybody can hear it."""
    with contextlib.suppress(OSError):  # standard error is full, or closed
        print(text, file=sys.stderr)


def _interrupt(number, frame):
    sys.unraisablehook = partial(_unraisable, number)
    while frame and 'importlib' not in frame.f_code.co_filename:
        frame = frame.f_back
    if frame:  # a module in C that imports another may swallow it
        _send_again(number)
    raise Interrupted(number)


def _unraisable(number, unraisable):
    """Raise a signal's exception again if a destructor has swallowed it.

    Python may raise it inside any `__del__`, such as that of MXNet's arrays,
    and then only prints it. Other errors in destructors are dropped: the
    signal may have left an object half made.
    """
    if isinstance(unraisable.exc_value, Interrupted):
        _send_again(number)


def _send_again(number):
    """Raise the exception again in a moment, unless it is handled just then.

    The user's own SIGALRM is lost.
    """
    def again(_, frame):
        error = sys.exc_info()[1]
        while error and not isinstance(error, Interrupted):
            error = error.__context__
        if not error:
            _interrupt(number, frame)
    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _excepthook(kind, error, trace):
    end(error)


def _finish():
    """What comes after a script's last line."""
    try:
        opened.close()  # with --show, once the windows are closed
    except BaseException as error:
        end(error)
    _ignore_signals()
    _flush()


def _ignore_signals():
    for number in (*SIGNALS, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def _leave(code):
    """End the process at once. MXNet's threads could abort Python's own end.
    """
    _flush()
    os._exit(code)


def _flush():
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:  # Python would try again when it ends, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _save_open_figures():
    plotting = sys.modules.get('gluon_mlp.d2l.plotting')
    for number in plotting.plt.get_fignums() if plotting else ():
        plotting.plt.figure(number)
        plotting.save_figure(f'{Path(sys.argv[0]).stem}_interrupted_{number}')


def _note(number, frame):
    early.append(number)
    raise KeyboardInterrupt


def _until_taken_over(kind, error, trace):
    if kind is KeyboardInterrupt:
        print('interrupted', file=sys.stderr, flush=True)
        os._exit(130)
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _until_taken_over
with contextlib.suppress(ValueError):  # another thread imports this
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)

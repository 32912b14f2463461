"""Run a chapter script in several processes, or on several machines.

A scheduler, servers and workers find each other by the DMLC_* variables of
MXNet's parameter server. `workers` has what the workers then share. Each
process ends when its standard input ends. So none outlives this one, whatever
ends it and wherever they run.
"""
import contextlib
import ctypes
import itertools
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy
import psutil

from ..errors import ChapterError
from ..machine import compat

LOOPBACK = '127.0.0.1'
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
# What a shell on another machine would not know.
PASSED = ('PYTHONPATH', 'MPLBACKEND', 'MXNET_', 'OMP_', 'GOMP_', 'PS_',
          'OPENBLAS_')


class Started(NamedTuple):
    """A process of ours, and the file of its errors (None: our own)."""
    name: str
    popen: subprocess.Popen
    log: object

    def failed(self):
        """Whether it has ended, unless it is a worker that did its part."""
        code = self.popen.poll()
        return code is not None and not (code == 0 and 'worker' in self.name)


def launch(command, num_workers, num_servers=1, hosts=()):
    """Run `command`, a script and its arguments, in `num_workers` processes.

    They run on this machine, or over ssh on `hosts` ('name' or
    'user@name:port') in turn. Only the first worker prints. When a process
    fails, its error is told and all end. Returns the exit code. Raises
    `ChapterError`.
    """
    if not Path(command[0]).is_file():
        raise ChapterError(f'{command[0]} is no script')
    nodes = resolve(hosts)
    env = _environment(nodes, num_workers, num_servers)
    here = None, env['DMLC_PS_ROOT_URI']
    started = []
    try:
        for role, number, places in (('scheduler', 1, [here]),
                                     ('server', num_servers, nodes),
                                     ('worker', num_workers, nodes)):
            for i in range(number):
                started.append(_start(role, i, places[i % len(places)], env,
                                      command))
        return _wait(started, started[-num_workers:])
    except KeyboardInterrupt as error:
        if not _interrupt(started):
            raise
        return 128 + getattr(error, 'number', signal.SIGINT)
    finally:
        for process in started:
            with contextlib.suppress(OSError):  # nothing is left of it
                os.killpg(process.popen.pid, signal.SIGKILL)
            process.popen.wait()


def read_hosts(text):
    """The hosts in `text`: a file with one a line, or names with commas.

    Raises `ChapterError` if there are none.
    """
    if Path(text).is_file():
        lines = Path(text).read_text(errors='replace').splitlines()
        lines = [line.split('#')[0] for line in lines]
    else:
        lines = text.split(',')
    hosts = [line.strip() for line in lines if line.strip()]
    if not hosts:
        raise ChapterError(f'no host in {text!r}')
    return hosts


def resolve(hosts):
    """Pairs of a host, None for this machine, and its IPv4 address."""
    nodes = []
    for host in hosts:
        name = host.split('@')[-1].split(':')[0]
        try:
            nodes.append((host, socket.gethostbyname(name)))
        except (OSError, ValueError, TypeError) as error:  # 'a..b', NUL
            raise ChapterError(f'no address for host {name}: {error}'
                               ) from error
    if len({address.startswith('127.') for _, address in nodes}) > 1:
        raise ChapterError('some hosts are on the loopback, where the others '
                           f'cannot reach them: {nodes}; give addresses')
    return nodes or [(None, LOOPBACK)]


def own_address(other):
    """This machine's address on the way to the address `other`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((other, 9))  # sends nothing
        return s.getsockname()[0]


def free_port(address):
    """A TCP port on which nothing listens at `address`."""
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


def _environment(nodes, num_workers, num_servers):
    """The variables that are the same in all processes."""
    root = own_address(nodes[0][1])
    return {'DMLC_PS_ROOT_URI': root,
            'DMLC_PS_ROOT_PORT': str(free_port(root)),
            'DMLC_NUM_WORKER': str(num_workers),
            'DMLC_NUM_SERVER': str(num_servers),
            # `compat` gives each worker its part of the processors.
            'GLUON_MLP_WORKERS': str(-(-num_workers // len(nodes)))}


def _start(role, number, node, env, command):
    host, address = node
    # It listens at this address, and nowhere else.
    env = {**env, 'DMLC_ROLE': role, 'DMLC_WORKER_ID': str(number),
           'DMLC_NODE_HOST': address}
    # Nothing of MXNet's own launcher: each would change where they meet.
    inherited = {name: value
                 for name, value in compat.users_environment().items()
                 if not name.startswith('DMLC_')}
    run = [sys.executable, '-m', 'gluon_mlp.run.launch', *command]
    if host:
        run, env = _over_ssh(host, run, inherited, env), {}
    first = (role, number) == ('worker', 0)
    log = None if first else tempfile.TemporaryFile()
    popen = subprocess.Popen(run, env={**inherited, **env}, stderr=log,
                             stdin=subprocess.PIPE,  # never written to
                             stdout=None if first else subprocess.DEVNULL,
                             start_new_session=True)  # deaf to our Ctrl-C
    return Started(f'{role} {number}', popen, log)


def _over_ssh(host, run, inherited, env):
    """The ssh command that runs `run` in this folder of `host`."""
    env = {**{name: value for name, value in inherited.items()
              if name.startswith(PASSED)}, **env}
    pairs = [f'{name}={value}' for name, value in env.items()]
    name, _, port = host.partition(':')
    return ['ssh', '-o', 'BatchMode=yes',
            '-o', 'ServerAliveInterval=15',  # ends if the machine is gone
            *(['-p', port] if port else []), name,
            f'cd {shlex.quote(os.getcwd())} && exec '
            + ' '.join(map(shlex.quote, ['env', *pairs, *run]))]


def _wait(started, workers):
    """Wait until all workers are done, or any process fails."""
    told = set()
    for turn in itertools.count(1):
        if any(process.failed() for process in started):
            return _tell(started, workers[0])
        if all(worker.popen.poll() == 0 for worker in workers):
            return 0
        if turn % 20 == 0:  # each second
            _tell_stopped(started, told)
        time.sleep(0.05)


def _tell_stopped(started, told):
    """Say, once, that a process here is stopped by a signal."""
    for name, popen, _ in started:
        if name not in told and popen.poll() is None and (
                psutil.Process(popen.pid).status() == psutil.STATUS_STOPPED):
            told.add(name)
            print(f'{name} is stopped, and all wait for it: kill -CONT '
                  f'{popen.pid} lets it go on', file=sys.stderr)


def _tell(started, first):
    """Tell the error of the process that failed. Returns its exit code."""
    failed = next(process for process in started if process.failed())
    # Mostly all workers have the same error, and the first tells it.
    with contextlib.suppress(subprocess.TimeoutExpired):
        first.popen.wait(2)
    if first.failed():
        failed = first
    code = failed.popen.returncode
    if failed.log:
        failed.log.seek(0)
        text = failed.log.read().decode(errors='replace')
        why = re.search('Check failed: .*\n', text)  # MXNet's stack follows
        sys.stderr.write(why[0] if why and 'worker' not in failed.name
                         else text)
    if failed.log or code < 0:
        how = f'exit code {code}' if code >= 0 else f'signal {-code}'
        print(f'error: {failed.name} ended with {how}, and so do all',
              file=sys.stderr)
    return code if code > 0 else 1


def _interrupt(started):
    """Let the first worker save its figure. Returns whether it said so."""
    for process in started:
        if process.name == 'worker 0':
            process.popen.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.popen.wait(10) == 130
    return False


def _end_with_stdin():
    """End this process, and what its script has started, with its input.

    When the launcher is killed, the system wakes it if it was stopped.
    """
    with contextlib.suppress(AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def _run(command):
    """Run a script as Python would, as a worker; never returns.

    Python's own end is left out: there MXNet would wait for all workers, and
    one that waits for this one would never end.
    """
    from .. import experiment
    from .ending import end, opened
    from .workers import Workers
    signal.signal(signal.SIGINT, signal.default_int_handler)  # `_interrupt`'s
    sys.argv = command
    sys.path.insert(0, str(Path(command[0]).resolve().parent))
    workers = Workers()
    with experiment.use(workers=workers, epochs=workers.epochs):
        try:
            _run_script(command[0], workers)
            opened.close()
        except BaseException as error:
            end(error)
        end(SystemExit())


def _run_script(path, workers):
    try:
        runpy.run_path(path, run_name='__main__')
    except SystemExit as error:
        if error.code:
            raise  # or else it is the end of the book's listings
    if not workers.epochs_shared:
        raise ChapterError(f'{path} trains nothing that workers can share: '
                           'run it alone')


if __name__ == '__main__':
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    if os.environ['DMLC_ROLE'] == 'worker':
        # Where the script does not seed the shuffle, the same in all.
        numpy.random.seed(int(os.environ['DMLC_PS_ROOT_PORT']))
        _run(sys.argv[1:])
    import mxnet  # noqa: F401  (serves, and does not come back)

"""Run a chapter script in several processes, or on several machines.

A scheduler, servers and workers find each other by the DMLC_* variables, as
MXNet's parameter server wants it; `workers` has what the workers then share.
Each process ends when its standard input does, so none outlives this one,
whatever ends it and wherever it runs.
"""
import math
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy

from ..errors import ChapterError
from ..machine import compat

LOOPBACK = '127.0.0.1'
PATIENCE = 60  # seconds, from the first worker's end on
# What a shell on another machine would not know.
PASSED = ('PYTHONPATH', 'MPLBACKEND', 'MXNET_', 'OMP_', 'GOMP_', 'PS_')


class Started(NamedTuple):
    """A process of ours, and where its errors go (None: to our own)."""
    name: str
    popen: subprocess.Popen
    log: object

    def failed(self):
        """Whether it has ended, as only a worker may, with its part done."""
        code = self.popen.poll()
        return code is not None and not (code == 0 and 'worker' in self.name)


def launch(command, num_workers, num_servers=1, hosts=()):
    """Run `command`, a script and its arguments, in `num_workers` processes.

    On this machine, or over ssh on `hosts` ('name', 'user@name:port') in
    turn. Only the first worker prints. When a process fails all end and its
    error is told. Returns the exit code. Raises `ChapterError`.
    """
    check_script(command[0])
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
    except KeyboardInterrupt:
        return _interrupt(started)
    finally:
        for process in started:
            process.popen.kill()
            process.popen.wait()


def check_script(path):
    """Raise `ChapterError` unless workers can share the script's training."""
    try:
        source = Path(path).read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise ChapterError(f'{path} is no script: {error}') from error
    if 'train_ch3(' not in source:
        raise ChapterError(f'{path} does not train with train_ch3, the loop '
                           'whose batches workers can share')
    if 'dropout' in source.lower():
        raise ChapterError(f'{path} uses dropout: workers would draw other '
                           'masks than one process')


def read_hosts(text):
    """The hosts in `text`: a file with one a line, or names with commas.

    Raises `ChapterError` where there is none.
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
        except (OSError, UnicodeError) as error:  # UnicodeError for 'a..b'
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
    inherited = {name: value for name, value in os.environ.items()
                 if name not in compat.chosen}
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
    """The command that does `run` in this folder of `host`, as MXNet's."""
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
    deadline = time.monotonic() + PATIENCE
    while not any(process.failed() for process in started):
        busy = [w.name for w in workers if w.popen.poll() != 0]
        if not busy:
            return 0
        if len(busy) == len(workers):
            deadline = time.monotonic() + PATIENCE
        elif time.monotonic() > deadline:
            deadline = math.inf
            print(f'the others are done, but not {", ".join(busy)}: a script '
                  'that ends in one worker before another keeps that one '
                  'waiting for ever (Ctrl-C ends it)', file=sys.stderr)
        time.sleep(0.05)
    return _tell(started, workers[0])


def _tell(started, first):
    """Tell the error of the process that failed; its exit code."""
    failed = next(process for process in started if process.failed())
    try:  # the same in all workers, mostly: the first has told it then
        first.popen.wait(2)
    except subprocess.TimeoutExpired:
        pass
    if first.failed():
        failed = first
    code = failed.popen.returncode
    if failed.log:
        failed.log.seek(0)
        sys.stderr.write(failed.log.read().decode(errors='replace'))
    if failed.log or code < 0:
        how = f'exit code {code}' if code >= 0 else f'signal {-code}'
        print(f'error: {failed.name} ended with {how}, and so do all',
              file=sys.stderr)
    return code if code > 0 else 1


def _interrupt(started):
    """Let the first worker save its figure, as it does on Ctrl-C; 130."""
    for process in started:
        if process.name == 'worker 0':
            process.popen.send_signal(signal.SIGINT)
            try:
                process.popen.wait(10)
            except subprocess.TimeoutExpired:
                pass
    return 130


def _end_with_stdin():
    while os.read(0, 1024):
        pass
    os._exit(1)


def _run(command):
    """Run a script as Python would; never returns.

    At a usual end MXNet would wait for all workers, those too that wait for
    this one: where it fails, for ever.
    """
    sys.argv = command
    sys.path.insert(0, str(Path(command[0]).resolve().parent))
    code = 0
    try:
        runpy.run_path(command[0], run_name='__main__')
    except SystemExit as error:
        code = error.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
    except ChapterError as error:
        print(f'error: {error}', file=sys.stderr)
        code = 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == '__main__':
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    if os.environ['DMLC_ROLE'] == 'worker':
        # Where the script does not seed the shuffle, the same in all.
        numpy.random.seed(int(os.environ['DMLC_PS_ROOT_PORT']))
        _run(sys.argv[1:])
    import mxnet  # noqa: F401  (serves, and does not come back)

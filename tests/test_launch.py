"""Several processes train as one does, and none is left behind."""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from types import SimpleNamespace

import numpy as onp
import psutil
import pytest
from conftest import ROOT, without_mxnets_log
from gluon_mlp import (
    dropout,
    experiment,
    kaggle_house_price,
    mlp_concise,
)
from gluon_mlp.d2l import data, plotting, training
from gluon_mlp.d2l.data import ArrayIter, load_array
from gluon_mlp.errors import ChapterError
from gluon_mlp.machine import compat
from gluon_mlp.run import ending, launch
from gluon_mlp.run.workers import Workers
from mxnet import autograd, gluon, np
from scripts import command_here, script_environment, script_here, start

# Runs chapters' scripts on little data: SCRIPT FOLDER SECTIONS [OPTIONS].
# The last batch of the images is one of 4. Worker 1 is killed when it has as
# many rows as DIES says.
SCRIPT = '''
import json, os, runpy, sys
from pathlib import Path
import numpy as onp
from gluon_mlp import environment, experiment, kaggle_house_price
from gluon_mlp.d2l import data, plotting, training
from house_tables import make_table
from mxnet import gluon, np

def load(batch_size):
    rng = onp.random.default_rng(0)
    prototypes = rng.integers(0, 200, (10, 1, 28, 28))
    iters = []
    for n, shuffle in ((100, True), (50, False)):
        y = rng.integers(0, 10, n).astype('int32')
        X = prototypes[y] + rng.integers(0, 56, (n, 1, 28, 28))
        iters.append(data.ArrayIter([X.astype('uint8'), y], batch_size,
                                    shuffle))
    return iters

def load_houses():
    rng = onp.random.default_rng(1)
    test_data = make_table(rng, 1, 50).iloc[:, :-1]
    return make_table(rng, 51, 70), test_data

def append(curve, row):
    original(curve, row)
    if len(curve) == 1:
        histories.append([])
    histories[-1].append(row)
    if rank == 1 and sum(map(len, histories)) == dies:
        os.kill(os.getpid(), 9)

rank, dies = experiment.current.workers.rank, int(os.environ.get('DIES', 0))
data.load_data_fashion_mnist = load
kaggle_house_price.load_data = load_houses
original, plotting.Curve.append = plotting.Curve.append, append
folder, sections, *options = sys.argv[1:]
for section in sections.split(','):
    histories = []
    if section == 'environment':
        training.seed(0)
        X, y = environment.covariate_data((0, 0), 50)
        environment.train_weighted(
            gluon.nn.Dense(2), X, y, np.arange(50) / 50,
            gluon.loss.SoftmaxCrossEntropyLoss(), 3, 0.1, 16)
    else:
        path = str(Path('chapters', section + '.py').resolve())
        sys.argv = [path, '--output', folder, '--book-only',
                    '--format', 'svg', *options]
        if section == 'underfit_overfit':
            sys.argv += ['--num-epochs-overfit', '20']
        try:
            runpy.run_path(path, run_name='__main__')
        except SystemExit as end:
            assert not end.code
    Path(folder).mkdir(exist_ok=True)
    Path(folder, f'{section}.{rank}').write_text(json.dumps(histories))
'''
SECTIONS = ('mlp_scratch,mlp_concise,underfit_overfit,weight_decay,dropout,'
            'environment,kaggle_house_price')
OPTIONS = ['--num-epochs', 6, '--batch-size', 16]
DRAWS = ('the network draws by itself: each worker draws other numbers, and '
         'the history is not that of one process\n')

# Each worker takes part in the sums for ever, unless it does what is asked.
FAILING = '''
import os, sys, time
from gluon_mlp import experiment
workers = experiment.current.workers
exec(sys.argv[2])  # what all do first
workers.total(1)
print('ready', flush=True)
for step in range(10 ** 9):
    workers.total(1)
    if step == 20 and workers.rank == 1:
        exec(sys.argv[1])
'''


SLOW = pytest.mark.slow  # each process takes a second or two to start


def command(*args):
    return [sys.executable, '-m', 'gluon_mlp', 'launch', *map(str, args)]


def run(*args):
    return subprocess.run(command(*args), cwd=ROOT, text=True, timeout=200,
                          capture_output=True, check=False)


@pytest.fixture
def train_chapters(tmp_path, capsys, monkeypatch):
    """Run chapters on little data, `launch` being told `options`.

    Without options it is this process. Returns what is printed and the
    histories, by section a list for each worker.
    """
    script = tmp_path / 'little data.py'
    script.write_text(SCRIPT)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, 'path', [*sys.path, str(ROOT / 'tests')])
    monkeypatch.setenv('PYTHONPATH', f'{ROOT}:{ROOT / "tests"}')
    for module, name in ((data, 'load_data_fashion_mnist'),
                         (kaggle_house_price, 'load_data'),
                         (plotting.Curve, 'append')):  # as SCRIPT does
        monkeypatch.setattr(module, name, getattr(module, name))

    def train(sections, *options, own=OPTIONS, code=0):
        folder = tmp_path / f'run {len(list(tmp_path.iterdir()))}'
        tail = [script, folder, sections, *own]
        if options:
            done = run(*options, '--', *tail)
            out, err = done.stdout, done.stderr
            assert done.returncode == code, err
        else:
            assert script_here(*tail)[0] == 0
            out, err = capsys.readouterr()
        return out, err, {section: [
            json.loads(path.read_text())
            for path in sorted(folder.glob(f'{section}.[0-9]'))]
            for section in sections.split(',')}
    return train


@pytest.fixture
def failing(tmp_path):
    """Start FAILING under `launch`, with a statement for worker 1."""
    script = tmp_path / 'failing.py'
    script.write_text(FAILING)
    started = []

    def run(statement, *options, first='', where=()):
        options = options or ('--workers', 2)
        started.append(start(*where, *command(
            *options, '--', script, statement, first), cwd=tmp_path,
            env=script_environment()))
        return started[-1]
    yield run
    for process in started:
        process.kill()
        process.communicate()


def ready(process):
    """Wait until its workers train; the processes that it has started."""
    assert process.stdout.readline() == 'ready\n'
    return psutil.Process(process.pid).children(recursive=True)


def left_of(processes):
    """Which of the processes still run, after 10 seconds at most."""
    return psutil.wait_procs(processes, timeout=10)[1]


def assert_same(histories, reference):
    """A training's rows are the same in each worker, to 1e-5."""
    for history in histories:
        onp.testing.assert_allclose(history, reference, rtol=1e-5, atol=1e-5)


@pytest.mark.mxnet
@pytest.mark.parametrize('sections, num_workers', [
    ('mlp_scratch', 2), *(pytest.param(*case, marks=SLOW) for case in [
        (SECTIONS, 2), ('dropout,weight_decay', 1),
        ('dropout,weight_decay', 3), ('dropout,weight_decay', 4)])])
def test_workers_train_as_one_process(train_chapters, sections, num_workers):
    """The histories are those of one process, in every worker, told once.

    But for those with `nn.Dropout`, which are the same in all workers.
    """
    one, _, references = train_chapters(sections)
    together, err, histories = train_chapters(sections, '--workers',
                                              num_workers)
    assert err.count('; next: ') == len(set(sections.split(','))
                                        - {'environment'})
    assert err.count(DRAWS) == ('dropout' in sections)
    for section, (reference,) in references.items():
        assert len(histories[section]) == num_workers
        for i, rows in enumerate(reference):
            shared = [history[i] for history in histories[section]]
            if (section, i) == ('dropout', 1):
                rows = shared[0]
            assert_same(shared, rows)
            assert abs(rows[-1][1] - rows[0][1]) > 1e-3

    def without_numbers(text):  # some are times, with spaces before them
        return re.sub(r'[\de+ -]', '', text)
    assert without_numbers(together) == without_numbers(one)


@SLOW
@pytest.mark.mxnet
def test_a_launch_resumes_where_a_worker_was_killed(train_chapters, tmp_path,
                                                    monkeypatch):
    """It ends as one that was never killed, to the last bit.

    And without `nn.Dropout`, as one process that saves.
    """
    def own(name, *more):
        return [*OPTIONS, '--checkpoint', tmp_path / name, *more]
    _, _, whole = train_chapters('dropout', '--workers', 2, own=own('whole'))
    monkeypatch.setenv('DIES', '8')
    _, err, _ = train_chapters('dropout', '--workers', 2, own=own('killed'),
                               code=1)
    assert err.endswith('\nerror: worker 1 ended with signal 9, and so do '
                        'all\n')
    monkeypatch.delenv('DIES')
    out, _, resumed = train_chapters('dropout', '--workers', 2,
                                     own=own('killed', '--resume'))
    assert re.search(r'^resumed after epoch [12] of training 2$', out, re.M)
    assert resumed == whole
    _, _, alone = train_chapters('dropout', own=own('alone'))
    assert_same([history[0] for history in whole['dropout']],
                alone['dropout'][0][0])


def test_parts_together_are_the_batches():
    """The workers' parts, joined, are the batches; none is much larger."""
    X, y = onp.arange(255), onp.arange(255) % 7
    for batch_size, n in [(8, 2), (9, 3), (128, 5), (255, 4), (300, 3)]:
        passes = []
        for k in [None, *range(n)]:
            data_iter = ArrayIter([X, y], batch_size, shuffle=True)
            if k is not None:
                data_iter.part = k, n
            onp.random.seed(3)
            passes.append([[a.asnumpy() for a in batch]
                           for _ in range(2) for batch in data_iter])
        whole, *parts = passes
        for batch, *own in zip(whole, *parts):
            sizes = [len(x) for x, _ in own]
            assert max(sizes) - min(sizes) <= 1
            for a, *pieces in zip(batch, *own):
                assert (onp.concatenate(pieces) == a).all()


def test_without_launch_nothing_is_shared():
    """One process goes on with the very iterator and updater it has."""
    train_iter, workers = object(), experiment.current.workers
    updater = training.Updater([], 0.1)
    assert workers.share(None, train_iter, updater) == (train_iter, updater)
    assert workers.part(train_iter) is train_iter
    assert workers.total(1.5, 2) == (1.5, 2)
    assert (workers.rank, workers.shared) == (0, False)


@pytest.mark.mxnet
@pytest.mark.parametrize('statement, code, message', [
    ('raise MemoryError("no more")', 1, 'MemoryError: no more\n'),
    *(pytest.param(*case, marks=SLOW) for case in [
        ('os.kill(os.getpid(), 9)', 1, 'worker 1 ended with signal 9'),
        ('sys.exit("so it ends")', 1, 'so it ends\n'),
        ('os._exit(7)', 7, 'worker 1 ended with exit code 7')])])
def test_a_worker_that_dies_ends_all(failing, statement, code, message):
    """Its error and exit code are told, and no process is left."""
    process = failing(statement)
    processes = ready(process)
    out, err = process.communicate(timeout=60)
    assert left_of(processes) == []
    assert (process.returncode, out) == (code, '')
    assert message in err and 'error: worker 1 ended with' in err


@SLOW
@pytest.mark.mxnet
def test_a_server_that_dies_ends_all(failing):
    """No worker waits for its answers for ever."""
    process = failing('pass', '--servers', 2)
    processes = ready(process)
    servers = [p for p in processes
               if p.environ()['DMLC_ROLE'] == 'server']
    assert len(servers) == 2
    servers[1].kill()
    _, err = process.communicate(timeout=60)
    assert left_of(processes) == []
    assert process.returncode == 1
    assert without_mxnets_log(err) == (
        'error: server 1 ended with signal 9, and so do all\n')


CHILD = 'import subprocess; subprocess.Popen(["sleep", "600"])'


def test_no_process_outlives_a_killed_launcher(failing):
    """Until then all listen at 127.0.0.1, at ports of their own only.

    A worker's own child ends, too, and so does a worker that is stopped.
    """
    process = failing('pass', '--workers', 1, first=CHILD)
    processes = ready(process)
    assert len(processes) == 1 + 1 + 1 + 1
    listening = [c.laddr for p in processes
                 for c in p.net_connections('inet') if c.status == 'LISTEN']
    assert {address.ip for address in listening} == {'127.0.0.1'}
    assert len({address.port for address in listening}) >= 1 + 1 + 1
    for worker in processes:
        if 'sleep' not in worker.cmdline():
            worker.suspend()
    process.kill()
    assert left_of(processes) == []


def test_a_stopped_server_is_told(failing):
    """All wait for it, and it may be a mistake."""
    process = failing('pass', '--workers', 1)
    server = next(p for p in ready(process)
                  if p.environ()['DMLC_ROLE'] == 'server')
    server.suspend()
    said = ''
    while not without_mxnets_log(said):
        said = process.stderr.readline()
    assert said == ('server 0 is stopped, and all wait for it: kill -CONT '
                    f'{server.pid} lets it go on\n')


@pytest.mark.parametrize('how', [
    signal.SIGTERM, *(pytest.param(how, marks=SLOW) for how in (
        signal.SIGINT, signal.SIGHUP))])
def test_a_stopped_launcher_keeps_the_first_workers_figure(failing, tmp_path,
                                                           how):
    """It says so once, by its exit code, too, and no process is left.

    Ctrl-C does not reach what a shell has started in the background.
    """
    deaf = ['sh', '-c', 'trap "" INT; exec "$@"', 'sh']
    process = failing('pass', '--workers', 1, first='from gluon_mlp.d2l '
                      'import plot; plot([1, 2], [1, 4])',
                      where=deaf if how == signal.SIGTERM else ())
    processes = ready(process)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, without_mxnets_log(err)) == (
        128 + how, 'interrupted\n')
    assert out == 'figure: figures/failing_interrupted_1.png\n'
    assert (tmp_path / 'figures' / 'failing_interrupted_1.png').exists()
    assert left_of(processes) == []


LATE = """
import time
from pathlib import Path
from gluon_mlp import experiment
from gluon_mlp.run import workers
workers.PATIENCE = 1
begun = Path(__file__).with_name('begun')
if experiment.current.workers.rank == 0:
    begun.touch()
else:
    while not begun.exists():
        time.sleep(0.1)
    time.sleep(4)
print(experiment.current.workers.total(2))
experiment.current.workers.epochs_shared += 1  # or it would be refused
"""


@SLOW
def test_a_worker_that_does_not_join_is_waited_for_aloud(tmp_path):
    """As behind a firewall: the first says where they all should meet."""
    (tmp_path / 'late.py').write_text(LATE)
    done = run('--', tmp_path / 'late.py')
    assert (done.returncode, done.stdout) == (0, '[4.0]\n')
    assert re.fullmatch('still waiting for all servers and workers to join: '
                        r'can each machine reach 127\.0\.0\.1:\d+, and the '
                        r'others\?\n', without_mxnets_log(done.stderr))


@SLOW
def test_two_launches_at_once_do_not_meet(failing):
    """Each has a port of its own."""
    both = [failing('pass') for _ in range(2)]
    ports = [{p.environ()['DMLC_PS_ROOT_PORT'] for p in ready(process)}
             for process in both]
    assert len(ports[0]) == len(ports[1]) == 1 and ports[0] != ports[1]


PREFIX = f'gluon{os.getpid()}-'  # of our network namespaces
FAKE_SSH = '''#!/bin/sh
# As ssh: a shell with an environment of its own runs the last word, on the
# host before it.
printf '%s\\n' "$*" >> {log}
for word; do host=$last; last=$word; done
[ -e "/run/netns/{prefix}$host" ] && enter="ip netns exec {prefix}$host"
cd / && exec $enter env -i PATH="$PATH" HOME="$HOME" sh -c "$last"
'''


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """An `ssh` that stays on this machine; the file of what it was asked."""
    log = tmp_path / 'ssh.log'
    path = tmp_path / 'bin' / 'ssh'
    path.parent.mkdir()
    path.write_text(FAKE_SSH.format(log=log, prefix=PREFIX))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{path.parent}:{os.environ["PATH"]}')
    return log


@SLOW
def test_hosts_train_as_one_process(train_chapters, ssh, tmp_path):
    """Servers and workers start over ssh, in turn, in the same folder."""
    hosts = tmp_path / 'hosts'
    hosts.write_text('127.0.0.1  # here\n\nme@localhost:2222\n')
    _, _, one = train_chapters('mlp_concise')
    _, _, together = train_chapters('mlp_concise', '--hosts', hosts)
    assert_same(together['mlp_concise'], one['mlp_concise'][0])
    asked = ssh.read_text().splitlines()
    assert len(asked) == 1 + 2
    options = '-o BatchMode=yes -o ServerAliveInterval=15 '
    assert all(line.startswith(options) for line in asked)
    assert sum('-p 2222 me@localhost cd ' in line for line in asked) == 1
    assert sum('DMLC_ROLE=worker' in line for line in asked) == 2
    assert all(f'cd {ROOT} && ' in line for line in asked)


@SLOW
def test_hosts_end_with_the_launcher(failing, ssh):
    """What ssh has started ends, too, when its connection does."""
    process = failing('pass', '--hosts', '127.0.0.1,localhost')
    processes = ready(process)
    process.kill()
    assert left_of(processes) == []


SSHD = shutil.which('sshd', path=f'{os.environ["PATH"]}:/usr/sbin')
SSHD_CONFIG = """
HostKey {0}
AuthorizedKeysFile {0}.pub
StrictModes no
UsePAM no
"""
SSH = """#!/bin/sh
exec {1} -i {0} -o UserKnownHostsFile=/dev/null \\
    -o StrictHostKeyChecking=no -o LogLevel=ERROR "$@"
"""


def start_sshd(addresses, folder):
    """A real one in each network; the `ssh` in our PATH knows its keys."""
    key = folder / 'key'
    subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key],
                   check=True)
    (folder / 'sshd_config').write_text(SSHD_CONFIG.format(key))
    os.makedirs('/run/sshd', exist_ok=True)
    client = shutil.which('ssh', path=os.environ['PATH'].partition(':')[2])
    (folder / 'bin' / 'ssh').write_text(SSH.format(key, client))
    return [subprocess.Popen(
        ['ip', 'netns', 'exec', name, SSHD, '-D', '-f',
         folder / 'sshd_config', '-o', f'ListenAddress={address}'])
        for address, name in addresses.items()]


@pytest.fixture
def two_machines(ssh, tmp_path):
    """Two network namespaces with a cable between: {address: namespace}.

    With a real sshd in each, where there is one.
    """
    names, servers = {a: PREFIX + a for a in ('10.77.0.1', '10.77.0.2')}, []
    try:
        for name in names.values():
            subprocess.run(['ip', 'netns', 'add', name], check=True,
                           capture_output=True)
        a, b = names.values()
        ip = ['ip', '-n', a]
        subprocess.run([*ip, 'link', 'add', 'cable', 'type', 'veth', 'peer',
                        'name', 'cable', 'netns', b], check=True,
                       capture_output=True)
        for address, name in names.items():
            for what in (f'addr add {address}/24 dev cable',
                         'link set cable up', 'link set lo up'):
                subprocess.run(['ip', '-n', name, *what.split()], check=True)
        if SSHD and os.getuid() == 0:
            servers += start_sshd(names, tmp_path)
        yield names
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no network namespaces here: {error}')
    finally:
        for server in servers:
            server.kill()
            server.wait()
        for name in names.values():
            subprocess.run(['ip', 'netns', 'del', name], check=False,
                           capture_output=True)


def ours_in(namespace):
    """The processes of a launch there: (role, address), sorted."""
    out = subprocess.run(['ip', 'netns', 'pids', namespace], check=True,
                         capture_output=True, text=True).stdout
    found = []
    for pid in out.split():
        with contextlib.suppress(psutil.Error):  # it has just ended
            p = psutil.Process(int(pid))
            if 'gluon_mlp.run.launch' in p.cmdline() and p.name() != 'ssh':
                env = p.environ()
                found.append((env['DMLC_ROLE'], env['DMLC_NODE_HOST']))
    return sorted(found)


@SLOW
def test_machines_reach_each_other_by_their_addresses(
        failing, two_machines):
    """In two networks of their own, and each hears at its address only.

    With the launcher, all end on both.
    """
    a, b = two_machines
    process = failing('pass', '--workers', 4, '--hosts', f'{a},{b}',
                      where=['ip', 'netns', 'exec', two_machines[a]])
    ready(process)
    for address, name in two_machines.items():
        out = subprocess.run(['ip', 'netns', 'exec', name, 'ss', '-Hltn'],
                             check=True, capture_output=True, text=True)
        ports = [line.split()[3] for line in out.stdout.splitlines()]
        assert len(ports) >= {a: 4, b: 2}[address]  # sshd's are more
        assert all(port.startswith(address + ':') for port in ports)
    assert ours_in(two_machines[a]) == [
        ('scheduler', a), ('server', a), ('worker', a), ('worker', a)]
    assert ours_in(two_machines[b]) == [('worker', b), ('worker', b)]
    clients = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert left_of(clients) == []
    assert not any(map(ours_in, two_machines.values()))


# What cannot be shared is refused before anything is summed, so one process
# can be the second of two workers.

@pytest.fixture
def worker(monkeypatch):
    """The second of two workers, whose turn it is."""
    monkeypatch.setenv('DMLC_WORKER_ID', '1')
    monkeypatch.setenv('DMLC_NUM_WORKER', '2')
    worker = Workers()
    with experiment.use(workers=worker, epochs=worker.epochs):
        yield worker


X = onp.random.default_rng(0).random((20, 784), 'float32')
y = onp.arange(20, dtype='int32') % 10


def train(net, updater=None, data_iter=None):
    if updater is None:
        net.initialize()
        updater = gluon.Trainer(net.collect_params(), 'sgd')
    data_iter = data_iter or load_array((X, y), 10)
    training.train_ch3(net, data_iter, data_iter,
                       gluon.loss.SoftmaxCrossEntropyLoss(), 2, updater)


def test_a_loop_that_shares_nothing_is_refused(worker):
    with pytest.raises(ChapterError, match='trains by a loop of its own'):
        for _ in experiment.current.epochs(2, [], training.Updater([], 1)):
            pass


@pytest.fixture
def workers(monkeypatch):
    """Three workers, each in its turn: a function is called for each."""
    monkeypatch.setenv('DMLC_NUM_WORKER', '3')

    def call(function):
        results = []
        for rank in range(3):
            monkeypatch.setenv('DMLC_WORKER_ID', str(rank))
            training.seed(7)
            with experiment.use(workers=Workers()):
                results.append(function(experiment.current.workers))
        return results
    return call


def test_drawing_is_refused_where_a_worker_has_no_row_of_the_last_batch(
        workers):
    """It would draw less than the others, and get out of step: 20 by 19."""
    def refused(of):
        batches = of.part(load_array((X, y), 19))
        batch, _ = next(batches)
        with pytest.raises(ChapterError, match='a batch of 1 cannot be'):
            dropout.dropout_layer(batch, 0.5)
        return True
    assert workers(refused) == [True] * 3


def test_a_loop_may_evaluate_before_it_steps(worker):
    """The part of the outer batch is known again behind the inner loop."""
    data_iter = load_array((X, y), 10)
    for batch, _ in worker.part(data_iter):
        for _ in worker.part(data_iter):
            pass
        assert len(worker._rows()) == len(batch) == 5
    assert worker._size is None


def test_masks_from_scratch_are_those_of_one_process(workers):
    """Each worker has its part of them, also of a smaller last batch."""
    def drop(of):
        return [dropout.dropout_layer(a, 0.5).asnumpy()
                for a, _ in of.part(load_array((1 + X, y), 11))]
    training.seed(7)
    whole = drop(experiment.current.workers)
    for batch, *parts in zip(whole, *workers(drop)):
        assert (batch == 0).any() and (onp.concatenate(parts) == batch).all()
    ends = workers(lambda worker: (drop(worker), np.random.uniform()))
    assert len({float(number) for _, number in ends}) == 1


def test_noise_on_a_whole_batch_is_the_same_in_all(workers):
    """Where no batch is shared, as when it is predicted under dropout."""
    drawn = workers(lambda worker: dropout.dropout_layer(
        np.ones((2, 50)), 0.5).asnumpy().tobytes())
    assert len(set(drawn)) == 1


def test_masks_of_gluon_are_each_workers_own(workers, capsys):
    """Behind the epoch all draw the same again. The first tells of it."""
    def epoch(worker):
        net = gluon.nn.Dropout(0.5)
        batches, _ = worker.share(net, load_array((X, y), 12),
                                  training.Updater([], 1))
        with autograd.train_mode():
            masks = [net(np.ones((2, 64))).asnumpy() for _ in batches]
        return masks, float(np.random.uniform())
    masks, behind = zip(*workers(epoch))
    for two in zip(*masks):
        assert len({mask.tobytes() for mask in two}) == 3
        # A stream that runs ahead of another has pieces of its masks.
        pieces = [piece for mask in two for piece in mask.reshape(-1, 16)]
        assert len({piece.tobytes() for piece in pieces}) == len(pieces)
    assert len(set(behind)) == 1
    assert capsys.readouterr().err == DRAWS


def test_what_the_first_worker_tells_all(workers, monkeypatch):
    """Any bytes arrive whole."""
    told = onp.random.RandomState(0).bytes(12345)
    sent = []

    def add(self, arrays, what):
        if self.rank == 0:
            sent.append(arrays[0].copy())
        else:
            arrays[0][:] += sent[0 if what == 'total' else 1]
    monkeypatch.setattr(Workers, '_sum', add)
    assert workers(lambda worker: worker.tell(
        told if worker.rank == 0 else b'')) == [told] * 3


@pytest.mark.parametrize('size, given, told', [
    (30, 10, 30), (29, 9, 29), (10, 3, 10), (10, 64, 64)])
def test_a_step_is_told_the_size_of_the_whole_batch(workers, monkeypatch,
                                                    size, given, told):
    """Or the number of 4.10, which is the same for a smaller batch."""
    steps = []
    monkeypatch.setattr(Workers, '_sum', lambda *args: None)
    updater = SimpleNamespace(params=[], step=steps.append)

    def train(worker):
        batches, step = worker.share(
            lambda X: X, load_array((onp.ones((size, 2)),), size), updater)
        for a, in batches:
            step(given if worker.rank == 2 else len(a))
    workers(train)
    assert steps == [size, size, told]


@pytest.mark.parametrize('updater, data_iter, message', [
    (print, None, 'the parameters of the updater: give train_ch3 a d2l.Upd'),
    (None, gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), 10),
     'batches of an ArrayIter, not of a DataLoader: use load_array'),
    (None, load_array((X[:11], y[:11]), 10),
     'a batch of 1 cannot be shared by 2 workers: choose another batch size'),
    (None, load_array((X, y), 1), 'a batch of 1 cannot be shared')])
def test_what_would_train_wrongly_is_refused(worker, updater, data_iter,
                                             message):
    with pytest.raises(ChapterError, match=message):
        train(mlp_concise.get_net(), updater, data_iter)


def test_shapes_that_do_not_fit_are_told_as_in_one_process(worker):
    net = gluon.nn.Dense(10, in_units=7)
    with pytest.raises(training.DataError, match='cannot take X of shape'):
        train(net)


@pytest.fixture
def ends(worker, monkeypatch):
    """How a script ends in `launch._run`, which would end this process."""
    ends = []
    monkeypatch.setattr(ending, 'end', ends.append)
    monkeypatch.setattr(signal, 'signal', lambda *args: None)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(sys, 'argv', sys.argv)
    return ends


def test_a_script_that_trains_nothing_is_refused(ends, tmp_path):
    """A comment with train_ch3( in it is no training."""
    script = tmp_path / 'nothing.py'
    script.write_text('# train_ch3(net, train_iter, ...)\nran = True\n')
    launch._run([str(script)])
    assert str(ends[0]) == (f'{script} trains nothing that workers can '
                            'share: run it alone')


def test_a_script_that_ends_with_the_book_is_closed(ends, tmp_path):
    """With --book-only, too, it writes its history and its closing word.

    And 4.1, which trains nothing, is refused with it, too.
    """
    closed = []
    ending.opened.callback(closed.append, 'history')
    script = tmp_path / 'book.py'
    trains = 'experiment.current.workers.epochs_shared = 1\n'
    script.write_text('import sys\nfrom gluon_mlp import experiment\n'
                      f'{trains}sys.exit()\n')
    launch._run([str(script)])
    assert closed == ['history'] and repr(ends) == '[SystemExit()]'
    ends.clear()
    script.write_text('import sys\nsys.exit()\n')
    launch._run([str(script)])
    assert 'trains nothing' in str(ends[0])


def test_what_has_failed(monkeypatch):
    """A worker may end with 0, and nothing else may end."""
    for name, code, failed in [
            ('worker 1', None, False), ('worker 1', 0, False),
            ('worker 1', 1, True), ('worker 1', -9, True),
            ('server 0', None, False), ('server 0', 0, True),
            ('scheduler 0', 0, True)]:
        process = SimpleNamespace(poll=lambda code=code: code)
        assert launch.Started(name, process, None).failed() is failed


def test_the_first_worker_tells_of_an_error_that_all_have(tmp_path, capfd):
    """The logs of the others, which have it too, are not told."""
    started = []
    for name in ('server 0', 'worker 0', 'worker 1'):
        log = None if name == 'worker 0' else open(tmp_path / name, 'w+b')
        started.append(launch.Started(name, subprocess.Popen(
            ['sh', '-c', 'echo wrong >&2; exit 2'], stderr=log), log))
    for process in started:
        process.popen.wait()
    assert launch._tell(started[1:], started[1]) == 2
    assert capfd.readouterr().err == 'wrong\n'
    assert launch._tell(started[::2], SimpleNamespace(
        popen=started[1].popen, failed=lambda: False)) == 2
    assert capfd.readouterr().err == (
        'wrong\nerror: server 0 ended with exit code 2, and so do all\n')


@pytest.mark.parametrize('args, message', [
    (['--workers', 0, '--', 'x.py'], '--workers'),
    (['--servers', 'two', '--', 'x.py'], '--servers'), ([], 'SCRIPT'),
    (['--workers', 65, '--', 'x.py'], '--workers'),
    (['--', '/dev/stdin'], '/dev/stdin is no script'),
    (['--hosts', ' ,', '--', 'x.py'], "no host in ' ,'"),
    (['--', 'x.py'], 'x.py is no script')])
def test_wrong_options_are_one_line(args, message, capsys):
    assert command_here('launch', *args) in (1, 2)
    out, err = capsys.readouterr()
    assert out == '' and len(err.splitlines()) == 1 and message in err


@SLOW
@pytest.mark.parametrize('options, code, message', [
    (['--lr', 'abc'], 2, "error: Invalid value for '--lr': 'abc' is not a "
     'number from 1e-30 to 1e+30.\n'),
    (['--batch-size', 3], 1, 'error: a batch of 1 cannot be shared by 2 '
     'workers: choose another batch size, or fewer workers\n')])
def test_an_error_of_all_workers_is_told_once(train_chapters, options, code,
                                              message):
    _, err, _ = train_chapters('mlp_concise', '--workers', 2, own=options,
                               code=code)
    assert without_mxnets_log(err) == message


def test_a_taken_port_is_one_line(tmp_path, monkeypatch, capfd):
    """MXNet's scheduler says so in 44 lines, of its own stack."""
    (tmp_path / 'x.py').write_text('import time\ntime.sleep(60)\n')
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        monkeypatch.setattr(launch, 'free_port',
                            lambda address: taken.getsockname()[1])
        assert launch.launch([str(tmp_path / 'x.py')], 1) == 1
    why, so = without_mxnets_log(capfd.readouterr().err).splitlines()
    assert 'bind' in why
    assert so.startswith('error: scheduler 0 ended with ')


def test_mxnets_own_variables_do_not_reach_a_launch(monkeypatch):
    """They are left over from another: a wrong network, files in /tmp."""
    monkeypatch.setenv('DMLC_INTERFACE', 'no-such-network')
    monkeypatch.setenv('DMLC_LOCAL', '1')
    env = {}
    monkeypatch.setattr(launch.subprocess, 'Popen',
                        lambda *args, **more: env.update(more['env']))
    launch._start('worker', 0, (None, '127.0.0.1'), {}, ['x.py'])
    assert {name for name in env if name.startswith('DMLC_')} == {
        'DMLC_ROLE', 'DMLC_WORKER_ID', 'DMLC_NODE_HOST'}


OWN = """
import numpy as onp
from gluon_mlp import d2l, experiment
from mxnet import gluon, init

rng = onp.random.default_rng(0)
X = rng.normal(size=(64, 4)).astype('float32')
y = (X[:, 0] > 0).astype('int32')
train_iter = d2l.load_array((X, y), 16)
net = gluon.nn.Dense(2)
net.initialize(init.Normal(sigma=0.01))
d2l.train_ch3(net, train_iter, train_iter,
              gluon.loss.SoftmaxCrossEntropyLoss(), 1,
              gluon.Trainer(net.collect_params(), 'sgd', {}))
drawn = onp.random.randint(10 ** 6)  # the same in all, as nobody has seeded
print([total / 2 == drawn
       for total in experiment.current.workers.total(drawn)])
"""


@SLOW
def test_a_script_of_ones_own(tmp_path):
    """Where it does not seed the shuffle, the workers share one anyway."""
    (tmp_path / 'own.py').write_text(OWN)
    done = run('--', tmp_path / 'own.py')
    assert (done.returncode, without_mxnets_log(done.stderr)) == (0, '')
    assert done.stdout.endswith('[True]\n')


@SLOW
def test_a_launch_without_standard_output(tmp_path):
    """Nobody reads what it prints: that is no error."""
    (tmp_path / 'own.py').write_text(OWN)
    done = subprocess.run(
        ['sh', '-c', '"$@" >&-', 'sh', *command('--', tmp_path / 'own.py')],
        cwd=ROOT, text=True, timeout=200, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, without_mxnets_log(done.stderr)) == (0, '')


def test_hosts_must_reach_each_other(monkeypatch):
    """A name that means the loopback cannot stand beside another machine."""
    addresses = {'here': '127.0.1.1', 'there': '192.0.2.7'}
    monkeypatch.setattr(socket, 'gethostbyname', addresses.__getitem__)
    assert launch.resolve(['a@there:22']) == [('a@there:22', '192.0.2.7')]
    assert launch.resolve([]) == [(None, '127.0.0.1')]
    with pytest.raises(ChapterError, match='here.*127.0.1.1.*give addresses'):
        launch.resolve(['here', 'there'])


@pytest.mark.parametrize('host', ['no.invalid', 'a..b', 'a' * 64])
def test_unknown_host_is_named(host):
    with pytest.raises(ChapterError, match=f'no address for host {host}'):
        launch.resolve([host])


@pytest.mark.parametrize('content', [b'\x7fELF\xff\x00', b'a\0b\0'])
def test_a_file_that_is_no_list_of_hosts_is_named(tmp_path, content):
    """A program, or a list that Windows has saved in 16 bits a letter."""
    (tmp_path / 'hosts').write_bytes(content)
    with pytest.raises(ChapterError, match='no address for host'):
        launch.resolve(launch.read_hosts(str(tmp_path / 'hosts')))


@pytest.mark.parametrize('processors, num_workers, threads', [
    (8, 2, '4'), (8, 3, '2'), (2, 4, '1')])
def test_workers_share_the_processors(monkeypatch, processors, num_workers,
                                      threads):
    """Each has its part of them, unless the user has said otherwise."""
    monkeypatch.setattr(compat, 'usable_processors', lambda: processors)
    monkeypatch.setenv('GLUON_MLP_WORKERS', str(num_workers))
    monkeypatch.delenv('MXNET_OMP_MAX_THREADS', raising=False)
    monkeypatch.setenv('OMP_NUM_THREADS', '5')
    monkeypatch.delenv(compat.CHOSEN, raising=False)
    compat.prepare()
    assert os.environ['OMP_NUM_THREADS'] == '5'
    assert compat.users_environment()['OMP_NUM_THREADS'] == '5'
    monkeypatch.delenv('OMP_NUM_THREADS')
    compat.prepare()
    assert os.environ['OMP_NUM_THREADS'] == threads
    assert 'OMP_NUM_THREADS' not in compat.users_environment()


@SLOW
@pytest.mark.mxnet
def test_an_epoch_of_the_real_data_in_4_workers(real_data, tmp_path):
    """Every number that is printed is that of one process."""
    script = ROOT / 'chapters' / 'mlp_concise.py'
    options = [script, '--num-epochs', 1, '--output', tmp_path]
    one = subprocess.run([sys.executable, *map(str, options)], check=True,
                         cwd=ROOT, capture_output=True, text=True)
    numbers = [list(map(float, re.findall(r'\d\.\d+', done.stdout)))
               for done in (one, run('--workers', 4, '--', *options))]
    assert len(numbers[0]) == 3
    # Rounded to 4 digits: one digit more or less.
    onp.testing.assert_allclose(*numbers, rtol=0, atol=1.01e-4)

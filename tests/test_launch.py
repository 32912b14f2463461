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
import time

import numpy as onp
import psutil
import pytest
from conftest import ROOT, without_mxnets_log
from gluon_mlp.d2l.data import ArrayIter
from gluon_mlp.errors import ChapterError
from gluon_mlp.machine import compat
from gluon_mlp.run import launch, workers

# Runs a chapter's script on little data: SCRIPT CHAPTER HISTORY [OPTIONS].
# The last batches are of 100 - 3 * 32 = 4 and 50 - 32 = 18 examples.
SCRIPT = '''
import json, os, runpy, sys
import numpy as onp
from gluon_mlp.d2l import data, training
from gluon_mlp.run import workers

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

def train_ch3(*args):
    history = original(*args)
    with open(f'{path}.{workers.rank}', 'w') as file:
        json.dump(history, file)
    return history

data.load_data_fashion_mnist = load
original, training.train_ch3 = training.train_ch3, train_ch3
chapter, path, *sys.argv[1:] = sys.argv[1:]
runpy.run_path(chapter, run_name='__main__')
'''
OPTIONS = ['--batch-size', 32, '--lr', 0.05, '--num-epochs', 3]

# Each worker takes part in the sums for ever, unless it does what is asked.
FAILING = '''
import os, signal, sys, time
from gluon_mlp.run import workers
# train_ch3(
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


def run(*args, **env):
    return subprocess.run(command(*args), cwd=ROOT, text=True, timeout=200,
                          capture_output=True, check=False,
                          env={**os.environ, **env})


@pytest.fixture
def train(tmp_path):
    """Run a chapter on little data, `launch` being told `options`.

    Without options it is one process. Returns the finished process and the
    histories, one for each worker.
    """
    script = tmp_path / 'little data.py'
    script.write_text(SCRIPT)

    def train(section, *options, **env):
        folder = tmp_path / f'run {len(list(tmp_path.iterdir()))}'
        folder.mkdir()
        tail = [script, f'chapters/{section}.py', folder / 'history',
                '--figures', folder / 'figures', *OPTIONS]
        prefix = command(*options, '--') if options else [sys.executable]
        done = subprocess.run([*prefix, *map(str, tail)], cwd=ROOT, text=True,
                              timeout=200, capture_output=True, check=False,
                              env={**os.environ, **env})
        assert done.returncode == 0, done.stderr
        assert without_mxnets_log(done.stderr) == ''
        return done, [json.loads(path.read_text())
                      for path in sorted(folder.glob('history.*'))]
    return train


@pytest.fixture
def start(tmp_path):
    """Start FAILING under `launch`, with a statement for worker 1."""
    script = tmp_path / 'failing.py'
    script.write_text(FAILING)
    started = []

    def start(statement, *options, namespace=None):
        options = options or ('--workers', 2)
        where = ['ip', 'netns', 'exec', namespace] if namespace else []
        started.append(subprocess.Popen(
            [*where, *command(*options, '--', script, statement)], cwd=ROOT,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # A shell's background job, as this may be, is deaf to Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)))
        return started[-1]
    yield start
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


def assert_same_history(histories, reference):
    for history in histories:
        onp.testing.assert_allclose(history, reference, rtol=0, atol=1e-5)


@pytest.mark.parametrize('section, num_workers', [
    ('mlp_scratch', 2), *(pytest.param(*case, marks=SLOW) for case in [
        ('mlp_scratch', 1), ('mlp_scratch', 3), ('mlp_scratch', 4),
        ('mlp_concise', 1), ('mlp_concise', 2), ('mlp_concise', 4)])])
def test_workers_train_as_one_process(train, section, num_workers):
    """The history is that of one process, in every worker, told once."""
    one, (reference,) = train(section)
    together, histories = train(section, '--workers', num_workers)
    assert len(histories) == num_workers
    assert_same_history(histories, reference)
    assert reference[-1][0] < reference[0][0]

    def without_digits(text):
        return re.sub(r'\d', '', text)
    assert without_digits(together.stdout) == without_digits(one.stdout)


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
    train_iter, updater = object(), object()
    assert workers.share(train_iter, updater) == (train_iter, updater)
    assert workers.part(train_iter) is train_iter
    assert workers.total(1.5, 2) == (1.5, 2)
    assert workers.sum_gradients(iter([None])) is None


@pytest.mark.parametrize('statement, code, message', [
    ('raise MemoryError("no more")', 1, 'MemoryError: no more\n'),
    *(pytest.param(*case, marks=SLOW) for case in [
        ('os.kill(os.getpid(), 9)', 1, 'worker 1 ended with signal 9'),
        ('sys.exit("so it ends")', 1, 'so it ends\n'),
        ('os._exit(7)', 7, 'worker 1 ended with exit code 7')])])
def test_a_worker_that_dies_ends_all(start, statement, code, message):
    """Its error and exit code are told, and no process is left."""
    process = start(statement)
    processes = ready(process)
    out, err = process.communicate(timeout=60)
    assert left_of(processes) == []
    assert (process.returncode, out) == (code, '')
    assert message in err and 'error: worker 1 ended with' in err


@SLOW
def test_a_worker_that_is_left_alone_is_told_of(tmp_path):
    """The other has ended as if all were done, and it waits for that one."""
    (tmp_path / 'failing.py').write_text(FAILING)
    command = [str(tmp_path / 'failing.py'), 'os._exit(0)']
    process = subprocess.Popen(
        [sys.executable, '-c', 'from gluon_mlp.run import launch\n'
         f'launch.PATIENCE = 1\nlaunch.launch({command}, 2)'],
        cwd=ROOT, text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        processes = ready(process)
        line = next(filter(without_mxnets_log, process.stderr))
        assert line == ('the others are done, but not worker 0: a script that '
                        'ends in one worker before another keeps that one '
                        'waiting for ever (Ctrl-C ends it)\n')
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert left_of(processes) == []
    finally:
        process.kill()
        process.communicate()


@SLOW
def test_a_server_that_dies_ends_all(start):
    """No worker waits for its answers for ever."""
    process = start('pass', '--servers', 2)
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


@pytest.mark.parametrize('name', [
    'SIGKILL', *(pytest.param(name, marks=SLOW)
                 for name in ('SIGTERM', 'SIGINT'))])
def test_no_process_outlives_the_launcher(start, name):
    """Whatever ends it; Ctrl-C is told, with 130, and SIGTERM with 143."""
    process = start('pass')
    processes = ready(process)
    assert len(processes) == 1 + 1 + 2
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=60)
    assert left_of(processes) == []
    assert process.returncode == {'SIGKILL': -9, 'SIGINT': 130,
                                  'SIGTERM': 143}[name]


def test_only_the_loopback_hears(start):
    """All listen at 127.0.0.1, at ports of their own, and nowhere else."""
    process = start('pass')
    listening = [c.laddr for p in ready(process)
                 for c in p.net_connections('inet') if c.status == 'LISTEN']
    assert {address.ip for address in listening} == {'127.0.0.1'}
    assert len({address.port for address in listening}) >= 1 + 1 + 2


LATE = """
import time
from pathlib import Path
from gluon_mlp.d2l import training
from gluon_mlp.run import workers  # MXNet, too
# train_ch3(
workers.PATIENCE = 1
begun = Path(__file__).with_name('begun')
if workers.rank == 0:
    begun.touch()
else:
    while not begun.exists():
        time.sleep(0.1)
    time.sleep(4)
print(workers.total(2))
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
def test_two_launches_at_once_do_not_meet(start):
    """Each has a port of its own."""
    both = [start('pass') for _ in range(2)]
    ports = [{p.environ()['DMLC_PS_ROOT_PORT'] for p in ready(process)}
             for process in both]
    assert len(ports[0]) == len(ports[1]) == 1 and ports[0] != ports[1]


PREFIX = f'gluon{os.getpid()}-'  # of our network namespaces
FAKE_SSH = '''#!/bin/sh
# As ssh: a shell with an environment of its own runs the last argument.
printf '%s\\n' "$*" >> {log}
for last; do :; done
[ -e "/run/netns/{prefix}$3" ] && enter="ip netns exec {prefix}$3"
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
def test_hosts_train_as_one_process(train, ssh, tmp_path):
    """Servers and workers start over ssh, in turn, in the same folder."""
    hosts = tmp_path / 'hosts'
    hosts.write_text('127.0.0.1  # here\n\nme@localhost:2222\n')
    _, (reference,) = train('mlp_concise')
    _, histories = train('mlp_concise', '--workers', 2, '--hosts', hosts)
    assert_same_history(histories, reference)
    asked = ssh.read_text().splitlines()
    assert len(asked) == 1 + 2
    options = '-o BatchMode=yes -o ServerAliveInterval=15 '
    assert all(line.startswith(options) for line in asked)
    assert sum('-p 2222 me@localhost cd ' in line for line in asked) == 1
    assert sum('DMLC_ROLE=worker' in line for line in asked) == 2
    assert all(f'cd {ROOT} && ' in line for line in asked)


@SLOW
def test_hosts_end_with_the_launcher(start, ssh):
    """What ssh has started ends, too, when its connection does."""
    process = start('pass', '--workers', 2, '--hosts', '127.0.0.1,localhost')
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
        start, two_machines):
    """In two networks of their own, and each hears at its address only.

    With the launcher, all end on both.
    """
    a, b = two_machines
    process = start('pass', '--workers', 4, '--hosts', f'{a},{b}',
                    namespace=two_machines[a])
    ready(process)
    for address, name in two_machines.items():
        out = subprocess.run(['ip', 'netns', 'exec', name, 'ss', '-Hltn'],
                             check=True, capture_output=True, text=True)
        ports = [line.split()[3] for line in out.stdout.splitlines()]
        assert len(ports) > 2
        assert all(port.startswith(address + ':') for port in ports)
    assert ours_in(two_machines[a]) == [
        ('scheduler', a), ('server', a), ('worker', a), ('worker', a)]
    assert ours_in(two_machines[b]) == [('worker', b), ('worker', b)]
    clients = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert left_of(clients) == []
    assert not any(map(ours_in, two_machines.values()))


@pytest.mark.parametrize('script, message', [
    ('weight_decay', 'does not train with train_ch3'),
    ('underfit_overfit', 'does not train with train_ch3'),
    ('kaggle_house_price', 'does not train with train_ch3'),
    ('dropout', 'uses dropout'), ('no_such', 'is no script')])
def test_what_cannot_be_shared_is_refused(script, message):
    """In one line, before anything starts."""
    with pytest.raises(ChapterError, match=message):
        launch.launch([str(ROOT / f'chapters/{script}.py')], 2)


def test_dropout_of_gluon_is_refused_too(tmp_path):
    (tmp_path / 'own.py').write_text('train_ch3(nn.Dropout(0.5))')
    with pytest.raises(ChapterError, match='uses dropout'):
        launch.check_script(tmp_path / 'own.py')


@pytest.mark.parametrize('args, message', [
    (['--workers', 0, '--', 'x.py'], '--workers'),
    (['--servers', 'two', '--', 'x.py'], '--servers'), ([], 'SCRIPT'),
    (['--hosts', ' ,', '--', 'x.py'], "no host in ' ,'"),
    (['--', 'x.py'], 'x.py is no script')])
def test_wrong_options_are_one_line(args, message):
    done = run(*args)
    assert done.returncode in (1, 2) and done.stdout == ''
    assert len(without_mxnets_log(done.stderr).splitlines()) == 1
    assert message in done.stderr


@pytest.mark.parametrize('options, code, message', [
    (['--lr', 'abc'], 2, "error: Invalid value for '--lr': 'abc' is not a "
     'number from 1e-30 to 1e+30.\n'),
    pytest.param(
        ['--batch-size', 3], 1, 'error: a batch of 1 cannot be shared by 2 '
        'workers: choose another batch size, or fewer workers\n',
        marks=SLOW)])
def test_an_error_of_all_workers_is_told_once(tmp_path, options, code,
                                              message):
    script = tmp_path / 'little.py'
    script.write_text(SCRIPT)
    done = run('--', script, 'chapters/mlp_concise.py', tmp_path / 'history',
               '--figures', tmp_path, *options)
    assert (done.returncode, without_mxnets_log(done.stderr)) == (code,
                                                                 message)


OWN = """
import sys
import numpy as onp
from mxnet import gluon, init, np
from gluon_mlp.d2l import data, training
from gluon_mlp.run import workers

rng = onp.random.default_rng(0)
X = rng.normal(size=(64, 4)).astype('float32')
y = (X[:, 0] > 0).astype('int32')
if 'DataLoader' in sys.argv:
    train_iter = gluon.data.DataLoader(gluon.data.ArrayDataset(X, y), 16)
else:
    train_iter = data.load_array((X, y), 16)
net = gluon.nn.Dense(2)
net.initialize(init.Normal(sigma=0.01))

def updater(batch_size):
    for param in net.collect_params().values():
        param.data()[:] -= param.grad() / batch_size

if 'by hand' not in sys.argv:
    updater = gluon.Trainer(net.collect_params(), 'sgd', {})
training.train_ch3(net, train_iter, train_iter,
                   gluon.loss.SoftmaxCrossEntropyLoss(), 1, updater)
drawn = onp.random.randint(10 ** 6)  # the same in all, as nobody has seeded
print([total / 2 == drawn for total in workers.total(drawn)])
"""


@SLOW
@pytest.mark.parametrize('option, code, out, err', [
    ('unseeded', 0, '[True]\n', ''),
    ('by hand', 1, '', 'error: the updater does not sum the gradients of the '
     'workers: use training.sgd or a Trainer\n'),
    ('DataLoader', 1, '', 'error: workers share the batches of an ArrayIter, '
     'not of a DataLoader: use load_array\n')])
def test_a_script_of_ones_own(tmp_path, option, code, out, err):
    """It trains as one process would, or is refused in a line."""
    (tmp_path / 'own.py').write_text(OWN)
    done = run('--', tmp_path / 'own.py', option)
    lines = [line for line in without_mxnets_log(done.stderr).splitlines(True)
             if 'epoch' not in line]
    assert (done.returncode, ''.join(lines)) == (code, err)
    assert done.stdout.endswith(out)


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


def test_a_file_that_is_no_list_of_hosts_is_named(tmp_path):
    (tmp_path / 'hosts').write_bytes(b'\x7fELF\xff\x00')
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
    monkeypatch.setattr(compat, 'chosen', set())
    monkeypatch.setenv('OMP_NUM_THREADS', '5')
    compat.prepare()
    assert os.environ['OMP_NUM_THREADS'] == '5'
    assert 'OMP_NUM_THREADS' not in compat.chosen
    monkeypatch.delenv('OMP_NUM_THREADS')
    compat.prepare()
    assert os.environ['OMP_NUM_THREADS'] == threads
    assert 'OMP_NUM_THREADS' in compat.chosen


@SLOW
def test_an_epoch_of_the_real_data_in_4_workers(real_data, tmp_path):
    """Every number that is printed is that of one process."""
    script = ROOT / 'chapters' / 'mlp_concise.py'
    options = [script, '--num-epochs', 1, '--figures', tmp_path]
    one = subprocess.run([sys.executable, *map(str, options)], check=True,
                         cwd=ROOT, capture_output=True, text=True)
    numbers = [list(map(float, re.findall(r'\d\.\d+', done.stdout)))
               for done in (one, run('--workers', 4, '--', *options))]
    assert len(numbers[0]) == 3
    # Rounded to 4 digits: one digit more or less.
    onp.testing.assert_allclose(*numbers, rtol=0, atol=1.01e-4)

"""Faults, injected for real: each ends with a clear message, or goes on."""
import ast
import contextlib
import gzip
import hashlib
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as onp
import psutil
import pytest
from conftest import ROOT, without_closing, without_mxnets_log
from gluon_mlp import files, kaggle_house_price, mlp_concise, mlp_scratch
from gluon_mlp.bench import command as bench
from gluon_mlp.bench import report as bench_report
from gluon_mlp.bench.jobs import Job
from gluon_mlp.compare import command as compare
from gluon_mlp.compare import printings
from gluon_mlp.d2l import fashion_mnist, training
from gluon_mlp.d2l.data import load_array
from gluon_mlp.errors import DataError, FolderError
from gluon_mlp.run import options
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib import image
from mxnet import gluon, np
from scripts import script_environment, script_here, start

IMAGES, LABELS = 'train-images-idx3-ubyte.gz', 'train-labels-idx1-ubyte.gz'
ANY_TIME = settings(deadline=5000, derandomize=True, database=None,
                    suppress_health_check=list(HealthCheck))
MANY = pytest.mark.parametrize('cases', [
    500, pytest.param(6000, marks=pytest.mark.slow)])


def idx(array):
    """The bytes of an IDX file, as its description has them."""
    return (struct.pack(f'>4B{array.ndim}I', 0, 0, 8, array.ndim,
                        *array.shape) + array.tobytes())


# The data files

@pytest.fixture
def small():
    """Small files in the place of two: {name: [(edition, packed)]}."""
    draw, packed, known = onp.random.RandomState(0), {}, {}
    for name, shape in ((IMAGES, (4, 3, 5)), (LABELS, (40,))):
        old, new = (idx(draw.randint(0, 10, shape).astype('uint8'))
                    for _ in range(2))
        packed[name] = [('2017-08-26', gzip.compress(old)),
                        ('2017-08-31', gzip.compress(new))]
        known[name] = fashion_mnist.DataFile(
            shape, hashlib.sha1(packed[name][0][1]).hexdigest(),
            hashlib.sha256(new).hexdigest())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fashion_mnist, 'FILES', known)
        yield packed


def damages(packed, others):
    """Strategies of what may come in the place of the bytes `packed`."""
    at = st.integers(0, len(packed) - 1)
    content = gzip.decompress(packed)
    flips = st.lists(st.tuples(at, st.integers(1, 255)), max_size=4).map(
        lambda flips: flip(packed, flips))
    cuts = st.tuples(at, at, st.binary(max_size=30)).map(
        lambda cut: packed[:min(cut[:2])] + cut[2] + packed[max(cut[:2]):])
    repacked = st.tuples(
        st.integers(0, len(content)), st.integers(0, len(content)),
        st.binary(max_size=20), st.integers(0, 9)).map(
            lambda t: gzip.compress(content[:min(t[:2])] + t[2]
                                    + content[max(t[:2]):], t[3]))
    return st.one_of(
        flips, cuts, repacked, st.integers(0, len(packed)).map(
            lambda n: packed[:n]), st.sampled_from(others),
        st.binary(max_size=100), st.binary(max_size=60).map(gzip.compress),
        st.binary(max_size=60).map(lambda tail: packed + tail),
        st.binary(max_size=60).map(lambda head: gzip.compress(head) + packed),
        st.sampled_from([zlib.compress(content), content, packed * 2,
                         gzip.compress(packed), packed + bytes(9),
                         gzip.compress(content + bytes(10 ** 6))]))


def flip(packed, flips):
    packed = bytearray(packed)
    for i, mask in flips:
        packed[i] ^= mask
    return bytes(packed)


@MANY
def test_a_damaged_file_is_named_or_read_right(small, tmp_path, cases):
    """Cut, flipped, swapped, repacked, random: DataError or right data."""
    count = {'refused': 0, 'right': 0}
    others = [packed for pairs in small.values() for _, packed in pairs]
    any_file = st.one_of([
        st.tuples(st.just(name), damages(packed, others))
        for name, pairs in small.items() for _, packed in pairs])

    def check(file):
        name, damaged = file
        path = tmp_path / name
        path.write_bytes(damaged)
        try:
            array, found = fashion_mnist.read_file(path)
        except DataError as error:
            assert str(error).startswith(f'{path} is damaged (')
            assert len(str(error).splitlines()) == 1
            count['refused'] += 1
            return
        right = dict(small[name])[found]
        assert idx(array) == gzip.decompress(right)
        count['right'] += 1
    settings(ANY_TIME, max_examples=cases)(given(any_file)(check))()
    assert sum(count.values()) >= cases * 0.9 and all(count.values())


@MANY
def test_a_bomb_takes_no_more_memory_than_stated(small, tmp_path, cases):
    """Packed zeros, members without number, endless names: under the bound.

    It is that of `read_file`'s docstring.
    """
    megabyte = gzip.compress(bytes(2 ** 20), 9)  # 1 KB
    empty = gzip.compress(b'')
    bombs = {'zeros': megabyte, 'many members': empty,
             'bombs in a bomb': gzip.compress(megabyte * 200)}
    path, worst = tmp_path / LABELS, 0
    content = gzip.decompress(small[LABELS][1][1])

    @settings(ANY_TIME, max_examples=cases // 10)
    @given(st.sampled_from(sorted(bombs)), st.integers(1, 400),
           st.booleans(), st.booleans())
    def check(kind, times, right_start, named):
        packed = bombs[kind] * times
        if named:  # a file name that does not end, in the gzip header
            packed = packed[:3] + b'\x08' + packed[4:10] + b'a' * 70000
        if right_start:
            packed = gzip.compress(content) + packed
        path.write_bytes(packed)
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        try:
            array, _ = fashion_mnist.read_file(path)
            assert idx(array) == content
        except DataError:
            pass
        nonlocal worst
        worst = max(worst, tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.start()
    try:
        check()
    finally:
        tracemalloc.stop()
    assert worst < 5 * 40 + 1e6


LIMITED = """
import os, resource, sys
from pathlib import Path
from gluon_mlp.d2l import fashion_mnist as f
path = Path(sys.argv[1])
pages = int(Path('/proc/self/statm').read_text().split()[0])
limit = pages * os.sysconf('SC_PAGE_SIZE') + 5 * 60000 * 784 + 10 ** 6
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    f.read_file(path)
except f.DataError as error:
    print(error)
"""


@pytest.mark.parametrize('what', ['bomb', 'huge', 'zero', 'members'])
def test_the_largest_file_stays_within_the_memory_stated(tmp_path, what):
    """10 GB in a bomb, a file of 1 TB, a device without end: no more.

    The process may have no more memory than `read_file` states.
    """
    path = tmp_path / IMAGES
    if what == 'bomb':
        header = idx(onp.zeros((0, 28, 28), 'uint8'))[:4]
        path.write_bytes(gzip.compress(header + bytes(10 ** 8), 1) * 100)
        assert path.stat().st_size < 60000 * 784
    elif what == 'members':
        path.write_bytes(gzip.compress(b'') * 2_000_000)
    elif what == 'huge':
        path.touch()
        os.truncate(path, 2 ** 40)  # takes no place on the disk
    else:
        path.symlink_to('/dev/zero')
    ran = subprocess.run([sys.executable, '-c', LIMITED, path], text=True,
                         capture_output=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, '')
    assert f'{path} is damaged (' in ran.stdout


# Disks

SMALL, READ_ONLY = 'size=200k', 'ro'
TOOL = [sys.executable, '-m', 'gluon_mlp']
EACH = """
import sys
from pathlib import Path
from scripts import command_here, script_here
new = Path(sys.argv[1]) / 'new'
print(script_here('chapters/mlp.py', '--output', new)[0],
      script_here('chapters/kaggle_house_price.py', '--output', sys.argv[2],
                  '--submission', new / 'prices.csv')[0],
      command_here('exercise', '4.1.2', '--output', new),
      command_here('compare', '--output', new),
      command_here('bench', '--output', new))
"""


@pytest.mark.parametrize('options, what', [
    (SMALL, 'No space left on device'), (READ_ONLY, 'Read-only file system')])
def test_no_room_for_results_is_said_before_the_work(mounted, tmp_path,
                                                     options, what):
    """A disk that is full or read-only: one line, and nothing was run.

    `--submission` elsewhere than the figures is tried first, too.
    """
    ran = mounted(tmp_path / 'disk', options, sys.executable, '-c', EACH,
                  tmp_path / 'disk', tmp_path / 'figures',
                  env=script_environment())
    assert (ran.returncode, ran.stdout) == (0, '1 1 1 1 1\n')
    assert without_mxnets_log(ran.stderr) == 5 * (
        f'error: cannot write into {tmp_path / "disk/new"} ({what}): name '
        'another folder, or make room\n')


FULL_LATER = '''
from gluon_mlp.run.options import options
from gluon_mlp import d2l, experiment, mlp_scratch
options(mlp_scratch, '')
folder = experiment.current.figures
d2l.plot([1, 2], [3, 4])
d2l.save_figure('a')
before = (folder / 'a.png').read_bytes()
print('epoch 1')
d2l.plot([1, 2], [5, 4])
try:
    with open(folder / 'junk', 'wb', buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError:
    pass
try:
    d2l.save_figure('a')
finally:
    assert (folder / 'a.png').read_bytes() == before
    print(sorted(path.name for path in folder.iterdir()))
'''


def test_a_disk_that_fills_while_it_trains(mounted, tmp_path):
    """One line names the figure; an old one stays whole, nothing beside it.
    """
    (tmp_path / 'section.py').write_text(FULL_LATER)
    path = tmp_path / 'disk' / 'a.png'
    ran = mounted(tmp_path / 'disk', 'size=1200k', sys.executable,
                  tmp_path / 'section.py', '--output', tmp_path / 'disk',
                  env=script_environment())
    assert ran.returncode == 1
    assert ran.stdout == f"figure: {path}\nepoch 1\n['a.png', 'junk']\n"
    assert ran.stderr == ("error: [Errno 28] No space left on device: "
                          f"'{path}'\n")


def test_folder_that_takes_less_than_a_megabyte(tmp_path):
    """A limit on the size of files is found when the folder is tried."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10 ** 5, limits[1]))
    try:
        with pytest.raises(FolderError, match='File too large'):
            files.check_folder(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    files.check_folder(tmp_path / 'new' / 'folder')
    assert list((tmp_path / 'new' / 'folder').iterdir()) == []


def test_a_device_stays_a_device(tmp_path):
    """Writing to /dev/null, as a file for results, does not replace it."""
    link = tmp_path / 'null'
    link.symlink_to('/dev/null')
    with files.written_whole(link) as path:
        path.write_text('prices')
    assert link.is_char_device() and list(tmp_path.iterdir()) == [link]


def test_a_pipe_may_be_in_a_folder_that_takes_no_files():
    """As bash's `--history >(gzip >h.gz)`, or /dev/stdout of a plain user."""
    reads, writes = os.pipe()
    path = Path(f'/proc/self/fd/{writes}')
    files.check_file(path)
    with files.written_whole(path) as pipe:
        pipe.write_text('numbers')
    assert os.read(reads, 100) == b'numbers'
    for number in reads, writes:
        os.close(number)


def test_a_planted_link_is_not_written_through(tmp_path, monkeypatch):
    """Not even if somebody could guess the name of the file in the making."""
    names = []
    for _ in range(2):
        with files.written_whole(tmp_path / 'a.png') as path:
            names.append(path.name)
            path.touch()
    assert len({*names}) == 2
    monkeypatch.setattr(files.secrets, 'token_hex', lambda n: 'guessed')
    (tmp_path / 'secret').write_text('mine')
    (tmp_path / '.a.png.guessed').symlink_to(tmp_path / 'secret')
    with pytest.raises(FileExistsError, match='a.png'), files.written_whole(
            tmp_path / 'a.png') as path:
        path.write_text('a figure')
    assert (tmp_path / 'secret').read_text() == 'mine'


def test_what_killed_runs_left_is_removed(tmp_path):
    """Files of an hour ago, which nobody writes any more."""
    for name, age in (('.a.png.1', 4000), ('.a.png.2', 60),
                      ('.b.png.3', 4000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    with files.written_whole(tmp_path / 'a.png') as path:
        path.write_text('a figure')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        '.a.png.2', '.b.png.3', 'a.png']


@pytest.mark.parametrize('umask, mode', [(0o022, 0o644), (0o027, 0o640)])
def test_others_may_read_what_the_umask_lets_them(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with files.written_whole(tmp_path / 'a.png') as path:
            path.write_text('a figure')
    finally:
        os.umask(before)
    assert (tmp_path / 'a.png').stat().st_mode & 0o777 == mode


def test_compare_prints_its_table_where_the_report_cannot_be_kept(
        real_data, tmp_path, capsys):
    """The folder is gone after the comparison: its table is not lost."""
    (tmp_path / 'report').write_text('a file, by now')
    with pytest.raises(OSError, match='report'):
        compare.compare('mlp', 3, True, [printings.load('en-2021-03-19')],
                        False, tmp_path / 'report')
    assert [line.split()[:4] for line in capsys.readouterr().out.splitlines()
            if 'agrees' in line] == [['4.1', 'mlp', 'agrees', '229'],
                                     ['all', 'agrees', '229', '229']]


def test_bench_prints_its_table_where_the_files_cannot_be_kept(
        real_data, tmp_path, capsys, monkeypatch):
    """The folder is gone after the timing: what was measured is told."""
    (tmp_path / 'bench').write_text('a file, by now')
    monkeypatch.setattr(bench, 'jobs_of', lambda *args: [
        Job('epoch', 'w epoch', [])])
    monkeypatch.setattr(bench, 'run_job', lambda job, repeats, result: result[
        'results'].append(bench.row(job, 'ours', [9, 4, 4, 4])))
    with pytest.raises(OSError, match='bench'):
        bench.bench(None, 'cpu', 3, True, tmp_path / 'bench')
    assert 'w epoch' in capsys.readouterr().out


def test_a_closed_pipe_loses_no_report(real_data, tmp_path):
    """`compare | head -1` ends early, and leaves the report."""
    process = subprocess.Popen(
        [*TOOL, 'compare', '--section', 'mlp', '--output', tmp_path / 'r'],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert 'Traceback' not in process.stderr.read()
    assert process.wait(60) == 1
    assert sorted(p.name for p in (tmp_path / 'r').iterdir()) == [
        'compare.json', 'index.html']


@pytest.mark.parametrize('text', [
    '{"schema": 1}', '{"schema": 1, "about": {}, "results": [{}]}',
    '{"schema": 1, "about": [], "results": []}',
    '{"schema": 1, "about": {}, "results": [1]}', '[' * 100000])
def test_a_foreign_bench_json_is_refused_before_timing(tmp_path, text):
    """`--against` a file that cannot be compared with."""
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(bench_report.ChapterError, match='is no bench.json'):
        bench_report.read_json(tmp_path / 'x.json')


# Several at once

SAVE = """
import sys
from pathlib import Path
from gluon_mlp import experiment
from gluon_mlp.bench import report
from gluon_mlp.d2l import plotting
experiment.current.figures = folder = Path(sys.argv[1])
sys.stdin.readline()
for i in range(8):
    plotting.plot([0, 1], [i, int(sys.argv[2])])
    plotting.save_figure('same')
    report.write_json({'run': sys.argv[2] * 5000}, folder / 'x.json')
    assert plotting.plt.imread(folder / 'same.png').size > 0
    assert len((folder / 'x.json').read_text()) > 5000
"""


def test_runs_at_once_in_one_folder(tmp_path):
    """Each writes its figures and results, whole ones; nothing is left."""
    processes = [subprocess.Popen(
        [sys.executable, '-c', SAVE, tmp_path, str(i)], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE) for i in range(3)]
    for process in processes:
        process.stdin.write('\n')
        process.stdin.flush()
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert (process.returncode, err) == (0, '')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['same.png',
                                                          'x.json']


# What cannot be trained on

def train(net, X, y, batch_size=8):
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    data_iter = load_array((X, y), batch_size)
    return training.train_ch3(net, data_iter, data_iter, loss, 1,
                              lambda batch_size: None)


def scratch():
    params = mlp_scratch.init_params()
    return lambda X: mlp_scratch.net(X, params)


def concise():
    net = mlp_concise.get_net()
    net.initialize()
    return net


@pytest.mark.parametrize('make', [scratch, concise])
@pytest.mark.parametrize('wrong', [-1, 10, 2 ** 31 - 1])
def test_a_label_out_of_range_is_named(make, wrong):
    """MXNet's loss would take it for the nearest class without a word."""
    y = np.array([0, 9] * 10 + [wrong], dtype='int32')
    with pytest.raises(DataError, match=f'labels from .*{wrong}') as error:
        train(make(), np.ones((21, 784)), y)
    assert '10 outputs: 0 to 9' in str(error.value)


@pytest.mark.parametrize('make, shape', [
    (scratch, (16, 1, 20, 20)), (scratch, (16, 3)), (scratch, (98, 8)),
    (scratch, (16,))])
def test_a_shape_that_is_no_image_is_named(make, shape):
    """One line names the shapes that the network cannot take."""
    X, y = np.ones(shape), np.zeros(shape[0], dtype='int32')
    with pytest.raises(DataError, match='cannot take X of shape') as error:
        train(make(), X, y, batch_size=98)
    assert str(shape) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('shape, message', [
    ((8, 10), r'with y of \(8, 10\)'), ((8, 1), r'labels of shape \(8, 1\)')])
def test_labels_of_another_number_than_outputs_are_named(shape, message):
    """One-hot labels, which this loss does not take, or a column of them."""
    with pytest.raises(DataError, match=message):
        train(concise(), np.ones((8, 784)), np.zeros(shape, dtype='int32'))


def test_a_first_shape_that_a_network_cannot_take_is_named():
    """MXNet fails otherwise while it finds the weights' shapes."""
    net = gluon.nn.Conv2D(3, 3)
    net.initialize()
    with pytest.raises(DataError, match='cannot take X of shape'):
        train(net, np.ones((8, 5)), np.zeros(8, dtype='int32'))


SECTIONS = ['mlp_scratch', 'mlp_concise', 'underfit_overfit', 'weight_decay',
            'dropout', 'environment', 'kaggle_house_price']
TOO_MUCH = {'--lr': ['0', '-1', 'nan', 'inf', '1e39', '1e-46', '1e400'],
            '--batch-size': ['0', '-1', '1.5', 'nan', '9' * 400],
            '--num-epochs': ['0', '-5', '9' * 30],
            '--seed': ['-1', '9' * 30]}
WIDTHS = ['0', '-1', '2.5', '9' * 30]
OWN = {'mlp_scratch': {'--num-hiddens': WIDTHS},
       'mlp_concise': {'--num-hiddens': WIDTHS, '--num-gpus': ['0', 'two']},
       'weight_decay': {'--lambd': ['nan', 'inf', '-1', '1e300']},
       'dropout': {'--dropout1': ['1', 'nan', '-0.1', 'inf'],
                   '--dropout2': ['1', 'nan', '-0.1'],
                   '--num-hiddens1': WIDTHS, '--num-hiddens2': WIDTHS},
       'kaggle_house_price': {'--wd': ['nan', 'inf', '-1', '1e300'],
                              '--weight-decay': ['nan', '-1'],
                              '--k': ['0', '1', '1461', 'nan'],
                              '--submission': [str(ROOT)]},
       'underfit_overfit': {'--num-epochs-overfit': ['0', '9' * 30]},
       'mlp': {'--alpha': ['nan', 'inf', '1e300', 'x']}}


@pytest.mark.parametrize('section', ['mlp', *SECTIONS])
def test_values_that_cannot_be_are_refused_in_a_line(section, monkeypatch,
                                                     capsys):
    """Each script: zero, negative, not finite, beyond MXNet's 32 bits."""
    monkeypatch.setattr(options, '_begin', None)  # nothing shall be run
    shared = TOO_MUCH if section != 'mlp' else {'--seed': TOO_MUCH['--seed']}
    script = ROOT / 'chapters' / f'{section}.py'
    for option, values in {**shared, **OWN.get(section, {})}.items():
        for value in values:
            assert script_here(script, option, value)[0] == 2, option
            out, err = capsys.readouterr()
            assert out == '' and len(err.splitlines()) == 1
            assert err.startswith('error: ') and option in err


def skip_without_tables(section):
    """Skip the test of 4.10 where its script would not find its data."""
    if section == 'kaggle_house_price':
        try:
            kaggle_house_price.load_data()
        except DataError as error:
            pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize('lr', ['1e30', '1e-30'])
@pytest.mark.parametrize('section', SECTIONS)
def test_a_learning_rate_at_its_limits(section, lr, run_script, real_data):
    """The largest diverges, in one line; the smallest learns nothing."""
    skip_without_tables(section)
    short = [] if section != 'underfit_overfit' else [
        '--num-epochs-overfit', 1]
    ran = run_script(section, '--lr', lr, '--num-epochs', 1, *short)
    lines = ran.stderr.splitlines()
    assert 'Traceback' not in ran.stderr
    if lr == '1e30' or section == 'environment':
        assert ran.returncode == 1 and len(lines) == 1
        assert lines[0].startswith(('error: the training loss is',
                                    'error: the confusion matrix has no'))
    else:
        assert (ran.returncode, lines) == (0, [])


@pytest.mark.slow
@pytest.mark.parametrize('section', SECTIONS)
def test_a_batch_larger_than_the_data(section, run_script, real_data):
    """A batch of a thousand million is one of all the examples."""
    skip_without_tables(section)
    short = [] if section != 'underfit_overfit' else [
        '--num-epochs-overfit', 1]
    ran = run_script(section, '--batch-size', 10 ** 9, '--num-epochs', 1,
                     *short)
    if ran.returncode:  # 4.9 may have learned too little in a step or two
        assert section == 'environment'
        assert ran.stderr.startswith('error: the confusion matrix has no')
    else:
        assert ran.stderr == ''


# Streams, signals, homes, paths

# Without MXNet they start in a fifth of the time.
PLOT = """
from gluon_mlp.run.ending import take_over
from gluon_mlp.d2l import plotting
take_over()
plotting.plt.switch_backend('agg')
plotting.plot([1, 2], [3, 4])
plotting.save_figure('a')
"""
SCRIPTS = {'plots': PLOT, 'a section': PLOT.replace(
    'run.ending import take_over', 'run.options import options').replace(
        'take_over()', "from gluon_mlp import mlp\noptions(mlp, '')")}


@pytest.fixture
def plot(tmp_path):
    """Run a script that plots and prints and ends at once, by a shell."""
    def run(script, shell='"$@"', **env):
        (tmp_path / 'section.py').write_text(SCRIPTS[script])
        env = {**script_environment(), **env}
        return subprocess.run(
            ['sh', '-c', shell, 'sh', sys.executable, tmp_path / 'section.py'
             ], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            check=False, env={k: v for k, v in env.items() if v is not None})
    return run


@pytest.mark.parametrize('script, shell, code, err', [
    ('plots', '"$@" > /dev/full', 1,
     'error: [Errno 28] No space left on device\n'),
    ('plots', '"$@" >&-', 0, ''), ('a section', '"$@" 2>&-', 0, ''),
    ('plots', '"$@" <&-', 0, ''), ('a section', '"$@" <&- >&- 2>&-', 0, ''),
    ('plots', 'setsid -w "$@" < /dev/null', 0, ''),
    ('plots', '"$@" 2> /dev/full', 0, ''),
    ('plots', '"$@" > /dev/full 2> /dev/full', 1, '')])
def test_streams_that_are_closed_or_full(plot, tmp_path, script, shell, code,
                                         err):
    """No terminal, a log on a full disk: one line or none, the figure is."""
    ran = plot(script, shell)
    assert (ran.returncode, ran.stderr) == (code, err)
    assert image.imread(tmp_path / 'figures' / 'a.png').size > 0


@pytest.mark.parametrize('script, home', [
    ('a section', None), ('plots', '/proc/nobody'), ('plots', '/dev/null'),
    ('plots', '')])
def test_a_home_that_is_missing_or_cannot_be_written(plot, tmp_path, script,
                                                     home):
    """A section runs; what Matplotlib says of its own cache is all."""
    ran = plot(script, HOME=home, MPLCONFIGDIR=None, XDG_CONFIG_HOME=None,
               XDG_CACHE_HOME=None)
    assert ran.returncode == 0
    assert 'Traceback' not in ran.stderr and 'error' not in ran.stderr
    assert all('atplotlib' in line
               for line in without_closing(ran.stderr).splitlines())
    assert (tmp_path / 'figures' / 'a.png').exists()


def test_data_without_a_home_name_the_way_out():
    """A user who is in no list, as in containers: MXNET_HOME is named."""
    if os.getuid():
        pytest.skip('only root can be another user')
    code = ('import os; from gluon_mlp import doctor;'
            'from gluon_mlp.d2l import fashion_mnist as f;'
            'os.setuid(54321); os.environ.pop("HOME", 0);'
            'os.environ.pop("MXNET_HOME", 0);'
            'print(doctor.check_data().found)\n'
            'try: f.load()\nexcept f.DataError as error: print(error)')
    ran = subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True,
                         capture_output=True, timeout=60, check=False)
    assert ran.stderr == ''
    assert ran.stdout.splitlines() == [
        'there is no home directory to keep the data in: set MXNET_HOME to a '
        'folder'] * 2


ASCII = {'LC_ALL': 'C', 'LANG': 'C', 'PYTHONUTF8': '0',
         'PYTHONCOERCECLOCALE': '0', 'PYTHONIOENCODING': 'ascii'}


IN_ORDER = """
from scripts import command_here
if __name__ == '__main__':
    print([command_here(*command.split()) for command in (
        'exercise --list', 'exercise 4.1.1 --quick', 'compare --section mlp',
        'doctor')])
"""


@pytest.mark.slow
def test_tools_in_a_plain_locale(real_data, tmp_path):
    """Nothing that they print or read needs more than ASCII."""
    (tmp_path / 'tools.py').write_text(IN_ORDER)
    ran = subprocess.run(
        [sys.executable, 'tools.py'], cwd=tmp_path, capture_output=True,
        check=False, env=script_environment(**ASCII), timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == b'[0, 0, 0, 0]'
    assert ran.stdout.isascii() and b'Traceback' not in ran.stderr


@pytest.mark.slow
def test_checkout_home_and_figures_with_odd_names(tmp_path, real_data):
    """Spaces, quotes and letters of other scripts, in a plain locale."""
    odd = tmp_path / "a b é 图 'q\" $x"
    for folder in ('chapters', 'gluon_mlp'):
        shutil.copytree(ROOT / folder, odd / 'checkout' / folder)
    cache = odd / 'home' / '.mxnet' / 'datasets' / 'fashion-mnist'
    shutil.copytree(fashion_mnist.cache_folder(), cache)
    env = {**os.environ, **ASCII, 'HOME': str(odd / 'home'),
           'PYTHONPATH': str(odd / 'checkout')}
    env.pop('MXNET_HOME', None)
    ran = subprocess.run(
        [sys.executable, odd / 'checkout' / 'chapters' / 'mlp_concise.py',
         '--num-epochs', '1', '--output', odd / 'figures'], env=env,
        cwd=odd, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0 and 'Traceback' not in ran.stderr
    assert (odd / 'figures' / 'mlp_concise.png').exists()
    ran = subprocess.run(
        [*TOOL, 'compare', '--section', 'mlp', '--output', odd / 'report'],
        env=env, cwd=odd, capture_output=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert (odd / 'report' / 'index.html').exists()


COMPARE = ['compare', '--section', 'mlp_concise', '--output']
BENCH = ['bench', '--section', 'mlp_scratch', '--quick', '--output']


@pytest.mark.parametrize('command, how', [
    (COMPARE, signal.SIGINT), (BENCH, signal.SIGTERM),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in [
        (COMPARE, signal.SIGTERM), (BENCH, signal.SIGINT),
        (COMPARE, signal.SIGHUP)])])
def test_a_stopped_tool_says_so_in_a_line(real_data, tmp_path, command, how):
    """Stopped in the midst of it: one line, the exit code, no processes."""
    process = start(*TOOL, *command, tmp_path / 'out')
    while not (tmp_path / 'out').exists():  # made at its start
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(how)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (128 + how, 'interrupted\n')
    assert out == '' or out.startswith(('Fashion-MNIST, edition of ',
                                        'printings: '))


@pytest.mark.slow
def test_a_stopped_exercise_says_so_in_a_line(tmp_path):
    """MXNet's threads, at work in the same process, do not abort its end."""
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 2:
        process = start(*TOOL, 'exercise', '4.5.1', '--output', tmp_path)
        assert process.stdout.readline().startswith('4.5.1 ')
        time.sleep(2 + 2 * random.random())
        process.send_signal(how)
        _, err = process.communicate(timeout=120)
        assert (process.returncode, without_mxnets_log(err)) == (
            128 + how, 'interrupted\n')


@pytest.mark.slow
@pytest.mark.parametrize('how, code', [(signal.SIGTERM, 143),
                                       (signal.SIGKILL, -9)])
@pytest.mark.parametrize('command', [
    ['compare', '--section', 'underfit_overfit', '--output'],
    ['bench', '--section', 'mlp_concise', '--quick', '--output']], ids=str)
def test_no_process_outlives_a_tool(real_data, tmp_path, command, how, code):
    """Stopped while others train for it: they end, too, and soon."""
    with open(tmp_path / 'err', 'w') as err:
        process = subprocess.Popen(
            [*TOOL, *command, tmp_path / 'out'], cwd=ROOT, stderr=err,
            stdout=subprocess.DEVNULL)
    busy = False
    while not busy:
        assert process.poll() is None
        time.sleep(0.1)
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            busy = any(p.cpu_times().user > 8 for p in children)
    process.send_signal(how)
    assert process.wait(10) == code
    # A repetition of bench that is under way, and no more, comes to its end.
    wait = 60 if (command[0], code) == ('bench', -9) else 10
    assert psutil.wait_procs(children, timeout=wait)[1] == []
    if code == 143:
        assert without_mxnets_log((tmp_path / 'err').read_text()) == (
            'interrupted\n')


# No code from files

def test_nothing_is_read_that_could_run_code():
    """No module unpickles or evaluates what a file says.

    `load_states` of MXNet's trainers does, and NumPy's `allow_pickle=True`.
    """
    forbidden = {'pickle', 'dill', 'joblib', 'marshal', 'shelve', 'exec',
                 'set_states', 'load_states', 'read_pickle'}
    found = []
    for folder in ('gluon_mlp', 'chapters'):
        for path in (ROOT / folder).rglob('*.py'):
            for node in ast.walk(ast.parse(path.read_text('utf-8'))):
                names = {getattr(node, key, None) for key in (
                    'id', 'attr', 'arg', 'name', 'module')} & forbidden
                if getattr(node, 'id', None) == 'eval':  # torch has net.eval
                    names.add('eval')
                if getattr(node, 'arg', None) == 'allow_pickle' and getattr(
                        node.value, 'value', True) is not False:
                    names.add('allow_pickle')
                found += [(path.name, name) for name in names]
    assert found == []

"""What bench says of speed follows from the times, and from right results."""
import copy
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as onp
import psutil
import pytest
from gluon_mlp import underfit_overfit, weight_decay
from gluon_mlp.bench import (
    apart,
    book,
    command,
    jobs,
    ours,
    pytorch,
    report,
    tables,
    timing,
)
from gluon_mlp.bench.jobs import Job
from gluon_mlp.compare.quantities import FASHION_MNIST
from gluon_mlp.d2l.data import load_array
from gluon_mlp.errors import ChapterError
from mxnet import np, npx

ROOT = Path(__file__).resolve().parent.parent


def run_bench(*args):
    return subprocess.run(
        [sys.executable, '-m', 'gluon_mlp', 'bench', *map(str, args)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=580,
        env={**os.environ, 'COLUMNS': '200'})


def entry(what='an epoch of 4.3', who='ours', times=(1, 1, 1, 1),
          kind='epoch', **more):
    return command.row(Job(kind, what, []), who, list(times),
                       **{'peak_mb': 1, **more})


def made_up(*entries, **about):
    return {'schema': 2, 'about': about, 'results': list(entries),
            'missing': []}


@pytest.mark.slow
def test_quick_run_of_a_section(tmp_path, real_data):
    """Rivals, a checked accuracy, bench.json, tables; then against itself."""
    ran = run_bench('--section', 'mlp_scratch', '--quick', '--repeats', 1,
                    '--output', tmp_path)
    assert ran.returncode == 0, ran.stderr
    result = json.loads((tmp_path / 'bench.json').read_text())
    assert set(result) == {'schema', 'about', 'results', 'missing'}
    assert {'processor', 'mxnet', 'numpy', *timing.compat.THREADS, 'device',
            'repeats', 'date'} <= set(result['about'])
    found = {(r['part'], r['who']): r for r in result['results']}
    ours, book = found[None, 'ours'], found[None, jobs.BOOK]
    for r in (ours, book):
        assert len(r['times']) == 1 and len(r['accuracy']) == 2
        assert max(r['accuracy']) > 0.7
    for part in ('wall', 'Python', 'execution'):
        assert found[part, 'ours']['median'] > 0
    assert f'{book["median"] / ours["median"]:.2f} (' in ran.stdout
    assert (tmp_path / 'table.md').read_text() in ran.stdout
    report.print_against(result, report.read_json(tmp_path / 'bench.json'))


def test_median_and_quartiles_without_the_first_call():
    """Of 1 to 5, where the first call took 100."""
    assert timing.summary([100, 5, 1, 4, 2, 3]) == {
        'first': 100, 'times': [5, 1, 4, 2, 3], 'median': 3, 'q1': 2,
        'q3': 4}


ECHO = '''
import json, sys, time
who, error = json.loads(sys.argv[2]).values()
sys.stdin.readline()
print('{}', flush=True)
for line in sys.stdin:
    open(sys.argv[1], 'a').write(who)
    reply = {'seconds': 1, 'accuracy': 0.85, 'peak_mb': 1}
    time.sleep(0.5 if error == 'slow' else 0)
    print(json.dumps({'error': 'broken'} if error is True else reply),
          flush=True)
    if error == 'dies':
        sys.exit(9)
'''


@pytest.fixture
def echo(monkeypatch, tmp_path):
    """Rivals that write their names into a file, which is returned."""
    turns = tmp_path / 'turns'

    def start(rival):
        return subprocess.Popen(
            [sys.executable, '-c', ECHO, turns, json.dumps(rival.arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    monkeypatch.setattr(timing, 'start', start)
    return turns


def rival(who, repeats=None, error=False):
    return timing.Rival(who, '', {'who': who, 'error': error}, repeats)


def test_rivals_take_turns(echo):
    """A B A B; a slow one fewer times; after a first call of each."""
    a, b = timing.measure([rival('A'), rival('B', repeats=1)], 3)
    assert echo.read_text() == 'AB' + 'AB' + 'A' + 'A'
    assert [len(a), len(b)] == [4, 2]


def test_chapter_has_no_warm_up(echo, capsys):
    """Ours and the book's, as often as asked; the report says so."""
    job = jobs.chapter()
    rivals = [r._replace(arguments={'who': r.who[0], 'error': False})
              for r in job.rivals]
    result = made_up()
    command.run_job(job._replace(rivals=rivals), 2, result)
    assert echo.read_text() == 'ot' + 'ot'
    assert [(r['first'], r['times']) for r in result['results']] == [
        (None, [1, 1])] * 2
    report.print_result(result)
    assert ("| all of 4.2 to 4.6 | 1 s | the book's MXNet code | 1 s | 1.00 "
            '(1.00 to 1.00) | 2 | 5.5, missed |') in capsys.readouterr().out


def test_chapter_is_the_same_work_for_both(monkeypatch):
    """As many epochs and evaluations in ours as in the book's, as printed.

    Nothing is computed here but a batch in each 100 epochs of 4.4 and 4.5,
    which tells their networks the shapes.
    """
    from d2l import mxnet as d2l
    counts = Counter()

    def count(what, result):
        return lambda *args: counts.update([what]) or result

    class Batches:
        def __init__(self, arrays, batch_size, is_train=True):
            self.batch = [a[:batch_size] for a in arrays]

        def __iter__(self):
            counts['epochs'] += 1
            if counts['epochs'] % 100 == 0:
                yield self.batch

    for module in (d2l, underfit_overfit, weight_decay):
        monkeypatch.setattr(module, 'load_array', Batches)
        monkeypatch.setattr(module, 'evaluate_loss', count('losses', 1))
    for module in (d2l, ours.training):
        monkeypatch.setattr(module, 'train_epoch_ch3',
                            count('epochs', (0.4, 0.8)))
        monkeypatch.setattr(module, 'evaluate_accuracy',
                            count('accuracies', 0.8))
    for module in (d2l, ours.data):
        monkeypatch.setattr(module, 'load_data_fashion_mnist',
                            lambda batch_size: (None, None))
    monkeypatch.setattr(book.book, '_weights', lambda params: [])
    (job,) = jobs.jobs_of('chapter', 'cpu', False)
    for rival, module in zip(job.rivals, (ours, book)):
        counts.clear()
        run, _ = module.chapter(**rival.arguments)
        assert run() == {'accuracy': 0.8}
        assert counts == {'epochs': 4 * 10 + (400 + 400 + 1500) + 4 * 100,
                          'accuracies': 4 * 10,
                          'losses': 2 * (21 + 21 + 76 + 4 * 20)}


def test_a_turn_has_a_round_of_each_load(echo, monkeypatch):
    """All rivals beside none, then all beside one busy process, and again."""
    @contextmanager
    def busy(n):
        with echo.open('a') as file:
            file.write(str(n))
        yield
    monkeypatch.setattr(timing, 'busy', busy)
    a, b = timing.measure([rival('A'), rival('B')], 1, (0, 1))
    assert echo.read_text() == '0AB1AB' * 2 and len(a) == len(b) == 4


def test_loads_are_told_apart():
    """Two turns beside none and one: the first turn is the warm-up."""
    replies = [{'seconds': s, 'peak_mb': 1, 'accuracy': 0.8}
               for s in (9, 8, 1, 2)]
    alone, beside = command.rows(Job('load', 'w', [], loads=(0, 1)),
                                 rival('ours'), replies)
    assert (alone['beside'], alone['first'], alone['times']) == (0, 9, [1])
    assert (beside['beside'], beside['first'], beside['times']) == (1, 8, [2])


def busy_processes():
    return [p for p in psutil.Process().children()
            if timing.BUSY in p.cmdline()]


def test_busy_processes_compute_and_end():
    """Also if what they are beside is stopped."""
    with pytest.raises(KeyboardInterrupt), timing.busy(2):
        found = busy_processes()
        before = [p.cpu_times().user for p in found]
        time.sleep(0.5)
        assert len(found) == 2
        assert all(p.cpu_times().user > t for p, t in zip(found, before))
        raise KeyboardInterrupt
    assert psutil.wait_procs(found, 5)[1] == []


def test_a_busy_process_does_not_outlive_a_killed_one():
    """Nobody is left to end it."""
    process = subprocess.Popen(
        [sys.executable, '-c', 'import time\n'
         'from gluon_mlp.bench.timing import busy\n'
         'with busy(1): print(flush=True); time.sleep(60)'],
        cwd=ROOT, stdout=subprocess.PIPE)
    process.stdout.readline()
    found = psutil.Process(process.pid).children()
    process.kill()
    process.communicate()
    assert len(found) == 1 and psutil.wait_procs(found, 10)[1] == []


def test_a_gate_holds_mxnet_until_it_is_opened():
    a = np.zeros(1)
    npx.waitall()
    gate = apart.Gate()
    b = a + 1
    reader = threading.Thread(target=b.wait_to_read)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    gate.open()
    reader.join(60)
    assert not reader.is_alive() and float(b) == 1


def test_python_is_told_from_execution(monkeypatch):
    """MXNet executes once all steps of the loop's epoch have been pushed.

    A loss that computes in Python counts as the Python thread's time.
    """
    X, y = onp.zeros((40, 784), 'float32'), onp.zeros(40, 'int32')
    batches = load_array((X, y), 2)
    monkeypatch.setattr(apart.data, 'load_data_fashion_mnist',
                        lambda batch_size: (batches, batches))
    loss, losses, opened = ours.compiled_loss(), [], []

    def slow_loss(y_hat, y):
        end = time.thread_time() + 0.005
        while time.thread_time() < end:
            pass
        losses.append(y_hat.shape)
        return loss(y_hat, y)
    monkeypatch.setattr(apart, 'compiled_loss', lambda: slow_loss)
    open_gate = apart.Gate.open
    monkeypatch.setattr(apart.Gate, 'open', lambda gate: (
        opened.append(len(losses)), open_gate(gate)))
    run, _ = apart.step('mlp_concise', 'concise')
    seconds = run()['parts']
    assert losses == [(2, 10)] * 40 and opened == [40]
    assert min(seconds['Python'], seconds['wall']) >= 0.005
    assert seconds['execution'] > 0


@pytest.mark.parametrize('slug', jobs.SMALL)
def test_the_steps_of_small_sections_are_counted(slug, monkeypatch):
    """As many as the sections' own trainings take, in an epoch of each."""
    counts = Counter()
    backward = np.ndarray.backward
    monkeypatch.setattr(np.ndarray, 'backward', lambda l: (
        counts.update(['steps']), backward(l)))
    arguments = jobs.small_steps(slug).rivals[0].arguments
    num_steps = arguments['num_steps'] // arguments['num_epochs']
    run, _ = apart.small_step(slug, 1, num_steps)
    seconds = run()['parts']
    assert counts['steps'] == num_steps
    assert 0 < seconds['Python'] and 0 < seconds['wall']


def test_a_rival_that_fails_is_told_and_the_others_go_on(echo):
    a, b = timing.measure([rival('A', error=True), rival('B')], 2)
    assert a == 'broken' and len(b) == 3
    assert echo.read_text() == 'AB' + 'B' + 'B'


def test_a_rival_that_dies_before_its_turn_is_told(echo):
    a, b = timing.measure([rival('A', error='dies'),
                           rival('B', error='slow')], 2)
    assert a == 'its process ended with exit code 9' and len(b) == 3


def test_the_books_code_runs_as_published(monkeypatch):
    """With MXNet's own settings and those of the user, not with ours."""
    monkeypatch.setattr(timing.subprocess, 'Popen',
                        lambda *args, env, **kwargs: env)
    monkeypatch.delenv('GLUON_MLP_UNTUNED', raising=False)
    monkeypatch.setenv('GLUON_MLP_CHOSEN', 'OMP_NUM_THREADS')
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    monkeypatch.setenv('GOMP_SPINCOUNT', '7')
    ours, book = map(timing.start, jobs.chapter().rivals)
    assert ours['MPLBACKEND'] == book['MPLBACKEND'] == 'agg'
    assert ours['OMP_NUM_THREADS'] == '2' and 'GLUON_MLP_UNTUNED' not in ours
    assert 'OMP_NUM_THREADS' not in book and book['GLUON_MLP_UNTUNED']
    assert ours['GOMP_SPINCOUNT'] == book['GOMP_SPINCOUNT'] == '7'


def test_a_worker_says_why_it_cannot_run():
    """A real one, whose function is not there."""
    assert timing.measure([timing.Rival('?', 'pytorch:nothing', {})], 1) == [
        "AttributeError: module 'gluon_mlp.bench.pytorch' has no attribute "
        "'nothing'"]


def test_missing_rival_is_listed_and_our_fault_is_raised(monkeypatch):
    """Without PyTorch there is no rival; without us there is no bench."""
    result = made_up()
    monkeypatch.setattr(command, 'measure', lambda *args: ['no torch'])
    command.run_job(Job('epoch', 'w', [rival('PyTorch')]), 1, result)
    assert result['missing'] == [{'what': 'w', 'who': 'PyTorch',
                                  'why': 'no torch'}]
    with pytest.raises(timing.BenchError, match='w, ours: no torch'):
        command.run_job(Job('epoch', 'w', [rival('ours')]), 1, result)


@pytest.mark.parametrize('accuracies', [[0.1, 0.1], [0.7, 0.72],
                                        [0.99, 1.0], [onp.nan, onp.nan]])
def test_no_speed_for_a_wrong_result(accuracies):
    """The book has 0.805 after two epochs."""
    replies = [{'seconds': 1, 'accuracy': a, 'peak_mb': 1}
               for a in accuracies]
    job = Job('epoch', 'w', [], test_acc=jobs.published_test_acc(
        'mlp_concise', 'concise'))
    with pytest.raises(timing.BenchError, match='the book has 0.805'):
        command.rows(job, rival('ours'), replies)


def test_right_results_pass():
    """Ours of a fresh process, of each network; a late epoch may be bad."""
    for slug, whats in FASHION_MNIST.items():
        for what in whats:
            command.check_accuracy(what, [0.72, 0.80, 0.5],
                                   jobs.published_test_acc(slug, what))


@pytest.mark.parametrize('new, old, said', [
    ((9, 1, 1, 1), (9, 2, 2, 2), 'faster, 2.00 x'),
    ((9, 2, 2, 2), (9, 1, 1, 1), 'slower, 2.00 x'),
    ((9, 1.0, 1.1, 1.2, 1.3), (9, 1.1, 1.2, 1.3, 1.4),
     'the same within noise'),
    ((9, 1, 1), (9, 2, 2, 2), 'too few repeats to tell')])
def test_noise_is_told_from_a_change(new, old, said):
    """A change is beyond both runs' spreads; the first calls do not count."""
    assert report.verdict(entry(times=new), entry(times=old)) == said


def test_noise_counts_in_both_runs():
    """Medians 0.25 apart; spreads of 0.2 each say nothing, of 0.1 do."""
    def run(middle, spread):
        return entry(times=[9, *onp.linspace(middle - spread, middle + spread,
                                            5)])
    assert report.verdict(run(1, 0.2), run(1.25, 0.2)) == (
        'the same within noise')
    assert report.verdict(run(1, 0.1), run(1.25, 0.1)) == 'faster, 1.25 x'


def test_against_compares_what_both_have(tmp_path, capsys):
    """By name, rival and load; the settings that changed are told."""
    old = made_up(entry(), entry(who='book'), entry(kind='load', beside=1),
                  numpy='1.23.5', date='then')
    new = made_up(entry(times=(9, 2, 2, 2)), entry(kind='load', beside=2),
                  numpy='1.26.4', date='now')
    path = report.write_json(old, tmp_path / 'bench.json')
    assert report.read_json(path) == old
    assert [(a['who'], b['times']) for a, b in report.pairs(new, old)] == [
        ('ours', [1, 1, 1])]
    report.print_against(new, old)
    out = capsys.readouterr().out
    assert 'numpy: 1.23.5 then, 1.26.4 now' in out and 'date' not in out
    assert 'slower, 2.00 x' in out


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"schema": 1}', '\xff'])
def test_no_bench_json(tmp_path, text):
    (tmp_path / 'x.json').write_text(text, 'latin-1')
    with pytest.raises(ChapterError, match='is no bench.json'):
        report.read_json(tmp_path / 'x.json')


@pytest.mark.parametrize('change', [
    {'times': None, 'median': None, 'q1': None, 'q3': None}, {'median': 0},
    {'median': -1}, {'median': True}, {'median': '1'}, {'q1': float('nan')},
    {'q3': float('inf')}, {'median': 10 ** 400}, {'times': 5}, {'times': []},
    {'times': [0]}, {'times': 'abc'}, {'what': []}, {'what': None},
    {'kind': 1}], ids=str)
def test_entries_that_cannot_be_compared(tmp_path, change):
    """They are told before ten minutes of timing, not after them."""
    result = made_up({**entry(), **change})
    (tmp_path / 'x.json').write_text(json.dumps(result))
    with pytest.raises(ChapterError, match='is no bench.json'):
        report.read_json(tmp_path / 'x.json')


def test_settings_are_printed_as_they_are(capsys):
    """Also what a terminal or Rich would obey: escapes, and tags."""
    new, old = (made_up(entry(), OMP_WAIT_POLICY=name + '\x1b[2J[/b]')
                for name in ('new', 'old'))
    report.print_result(new)
    report.print_against(new, old)
    out = capsys.readouterr().out
    assert out.startswith('OMP_WAIT_POLICY new\\x1b[2J[/b]\n')
    assert ('OMP_WAIT_POLICY: old\\x1b[2J[/b] then, new\\x1b[2J[/b] now\n'
            in out) and '\x1b' not in out


def test_table_compares_each_rival_with_ours(capsys):
    """In the same rounds, as many as both have, and beside the target."""
    result = made_up(entry(times=(9, 1, 2, 4)),
                     entry(who=jobs.EAGER, times=(9, 2, 2, 8)),
                     entry(who=jobs.COMPILED, times=(9, 9, 9, 9)),
                     entry(who=jobs.BOOK, times=(9, 8)))
    result['missing'].append({'what': 'w', 'who': 'PyTorch', 'why': '[no]'})
    report.print_result(result)
    out = capsys.readouterr().out
    assert ('| an epoch of 4.3 | 2 s | PyTorch eager | 2 s | 2.00 (1.50 to '
            '2.00) | 3 | 1.1, met |') in out
    assert ("| an epoch of 4.3 | 2 s | the book's MXNet code | 8 s | 8.00 "
            '(8.00 to 8.00) | 1 | 9, missed |') in out
    assert out.count('| an epoch of 4.3 |') == 2
    assert 'not timed: w, PyTorch: [no]' in out


@pytest.mark.parametrize('execution, said', [
    (0.004, '75% are the products | 3 | 75%, met'),
    (0.005, '60% are the products | 3 | 75%, missed')])
def test_share_of_the_products(execution, said):
    """Three products that take 1 ms each by the faster rival."""
    products = [entry('product', who, (9, t, t, t), 'product', part=name)
                for name in tables.PRODUCTS
                for who, t in (('ours', 0.001), (jobs.EAGER, 0.002))]
    step = entry('a step of 4.3', times=(9, *[execution] * 3), kind='step',
                 part='execution')
    assert f'| 3 ms | {said} |' in tables.page(made_up(step, *products))
    assert 'are the products' not in tables.page(made_up(step))


@pytest.mark.parametrize('ours, said', [(600, 'met'), (601, 'missed')])
def test_memory_beside_the_smaller_pytorch(ours, said):
    result = made_up(entry(peak_mb=ours), entry(who=jobs.EAGER, peak_mb=600),
                     entry(who=jobs.COMPILED, peak_mb=700))
    assert (f'{ours} MB | PyTorch eager | 600 MB |  |  | no more, {said} |'
            in tables.page(result))


@pytest.mark.parametrize('seconds, binds', [
    ({'wall': 3, 'Python': 1, 'execution': 2}, '1 s | 2 s | 3 s | execution'),
    ({'wall': 3, 'Python': 2, 'execution': 1}, '2 s | 1 s | 3 s | Python'),
    ({'wall': 3, 'Python': 2}, '2 s |  | 3 s | Python'),
    ({'wall': 3, 'Python': 1}, '1 s |  | 3 s | execution')])
def test_what_binds_a_step(seconds, binds):
    """The longer one; without an execution, Python or the rest."""
    steps = [entry('a step', times=(9, t), kind='step', part=part)
             for part, t in seconds.items()]
    assert f'| a step | {binds} |' in tables.page(made_up(*steps))


def test_growth_under_load():
    """Of each round to the same round alone; --quick has no second one."""
    loads = [entry(kind='load', beside=n, times=(9, *times))
             for n, times in enumerate([(1, 2, 4), (2, 2, 8)])]
    assert ('| ours | 2 s | 2.00 (1.50 to 2.00) times as long |  |'
            in tables.page(made_up(*loads)))


def test_an_image_is_what_the_book_makes_of_it():
    """Of its PyTorch code: float32 in [0, 1], and the label a number."""
    pytest.importorskip('torch')
    from gluon_mlp.bench import torch_book
    images = onp.random.default_rng(0).integers(
        0, 256, (3, 28, 28)).astype('uint8')
    found = torch_book.FashionMNIST(images, onp.array([5, 6, 7], 'uint8'))
    X, y = found[1]
    assert (len(found), y, tuple(X.shape)) == (3, 6, (1, 28, 28))
    onp.testing.assert_array_equal(X[0], images[1].astype('float32') / 255)


@pytest.mark.parametrize('args, said', [
    (['--section', 'mlp'], 'section mlp is not timed; choose one of mlp_s'),
    (['--repeats', 0], "'0' is not an integer from 1 "),
    (['--section', 'chapter', '--device', 'gpu'], 'knows no --device gpu'),
    (['--section', 'chapter', '--quick'], 'cannot be timed with --quick'),
    (['--against', 'nowhere.json'], 'does not exist')])
def test_wrong_options(args, said, tmp_path):
    ran = run_bench(*args, '--output', tmp_path / 'out')
    assert ran.returncode == 2 and said in ran.stderr


@pytest.mark.parametrize('section, what', [
    ('mlp_scratch', 'scratch'), ('dropout', 'scratch'),
    ('dropout', 'concise')])
def test_pytorchs_network_is_the_same_function(section, what):
    """With its weights, NumPy gives its outputs, in evaluation."""
    torch = pytest.importorskip('torch')
    network = jobs.network(section, what)
    del network['lr']
    net = pytorch.network_of(**network).eval()
    X = onp.random.default_rng(0).random((5, 784), dtype='float32')
    H, (*params,) = X, (p.detach().numpy() for p in net.parameters())
    for W, b in zip(params[::2], params[1::2]):
        H = onp.maximum(H, 0) @ (W if what == 'scratch' else W.T) + b
    with torch.no_grad():
        y_hat = net(torch.tensor(X)).numpy()
        dropped = net.train()(torch.tensor(X)).numpy()
    onp.testing.assert_allclose(y_hat, H, rtol=1e-4, atol=1e-6)
    assert (onp.abs(dropped - y_hat).max() > 1e-4) == (section == 'dropout')


def test_schema_is_unchanged_by_a_round_trip(tmp_path):
    result = made_up(entry(), numpy='1')
    same = copy.deepcopy(result)
    assert report.read_json(report.write_json(
        result, tmp_path / 'b.json')) == same

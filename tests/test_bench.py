"""What bench says of speed follows from the times, and from right results."""
import copy
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from gluon_mlp import underfit_overfit, weight_decay
from gluon_mlp.bench import (
    book,
    command,
    jobs,
    ours,
    pytorch,
    report,
    timing,
)
from gluon_mlp.bench.jobs import Job
from gluon_mlp.compare.published import FASHION_MNIST
from gluon_mlp.d2l.data import load_array
from gluon_mlp.errors import ChapterError

ROOT = Path(__file__).resolve().parent.parent


def run_bench(*args):
    return subprocess.run(
        [sys.executable, '-m', 'gluon_mlp', 'bench', *map(str, args)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=580,
        env={**os.environ, 'COLUMNS': '200'})


def entry(what='mlp_concise concise epoch', who='ours', times=(1, 1, 1, 1),
          kind='epoch', **job):
    job = Job(kind, what, [], **{'images': 100, 'flop': 2e9, **job})
    return command.row(job, who, list(times))


def made_up(*entries, **about):
    return {'schema': 1, 'about': about, 'results': list(entries),
            'missing': []}


@pytest.mark.slow
def test_quick_run_of_a_section(tmp_path, real_data):
    """Rivals, a checked accuracy, bench.json, plots; then against itself."""
    ran = run_bench('--section', 'mlp_scratch', '--quick', '--repeats', 1,
                    '--output', tmp_path)
    assert ran.returncode == 0, ran.stderr
    result = json.loads((tmp_path / 'bench.json').read_text())
    assert set(result) == {'schema', 'about', 'results', 'missing'}
    assert {'processor', 'mxnet', 'numpy', *timing.compat.THREADS, 'device',
            'repeats', 'date'} <= set(result['about'])
    found = {(r['what'], r['who']): r for r in result['results']}
    ours = found['mlp_scratch scratch epoch', 'ours']
    book = found['mlp_scratch scratch epoch', 'book']
    for r in (ours, book):
        assert len(r['times']) == 1 and len(r['accuracy']) == 2
        assert r['images_per_s'] == pytest.approx(70000 / r['median'])
        assert max(r['accuracy']) > 0.7
    assert ('mlp_scratch scratch 20 steps', 'ours') in found
    assert f'{book["median"] / ours["median"]:.2f} x as fast' in ran.stdout
    assert (tmp_path / 'bench_epochs.png').stat().st_size > 0
    report.print_against(result, report.read_json(tmp_path / 'bench.json'))


@pytest.mark.parametrize('hybridize', [True, False])
def test_blocks_are_compiled_as_a_user_gets_them(monkeypatch, hybridize):
    """What is timed is the loss of `train_ch3`, compiled, or all of it eager.

    `lean.compiled` returns a function, so here it only compiles.
    """
    monkeypatch.setattr(ours.lean, 'compiled',
                        lambda loss: loss.hybridize() or loss)
    X, y = np.zeros((2, 784), 'float32'), np.zeros(2, 'int32')
    batches = load_array((X, y), 1)
    monkeypatch.setattr(ours.data, 'load_data_fashion_mnist',
                        lambda batch_size: (batches, batches))
    seen = []
    monkeypatch.setattr(ours.training, 'train_epoch_ch3',
                        lambda net, train_iter, loss, updater: seen.append(
                            [block._active for block in (net, loss)]))
    runs = [ours.sized_step(1, 4, 2, hybridize=hybridize)]
    if hybridize:
        runs += [ours.step('mlp_concise', 'concise', 2),
                 ours.epoch('mlp_concise', 'concise')]
    for run, _ in runs:
        run()
    assert seen == [[hybridize] * 2] * len(runs)


def test_flop_of_a_step():
    """Of the products by hand: three for each layer, but the first's two."""
    assert jobs.flop((784, 256, 10), train=False) == 2 * (
        784 * 256 + 256 * 10)
    assert jobs.flop((784, 256, 10)) == 2 * (
        2 * 784 * 256 + 3 * 256 * 10)


def test_the_parts_of_a_step_are_those_of_the_loop(monkeypatch):
    """The loop itself is timed, between its parts; all of them take time."""
    X, y = np.zeros((5, 784), 'float32'), np.zeros(5, 'int32')
    monkeypatch.setattr(ours.data, 'load_data_fashion_mnist', lambda _: (
        load_array((X, y), 2), None))
    seen, train_epoch_ch3 = [], ours.training.train_epoch_ch3
    monkeypatch.setattr(ours.training, 'train_epoch_ch3', lambda *args: (
        seen.append(train_epoch_ch3(*args))))
    run, _ = ours.parts('mlp_concise', 'concise', 3)
    seconds = run()['parts']
    assert list(seconds) == ['data', 'forward', 'backward', 'update',
                             'metrics']
    assert min(seconds.values()) > 0 and len(seen) == 1


def test_median_and_quartiles_without_the_first_call():
    """Of 1 to 5, where the first call took 100."""
    assert timing.summary([100, 5, 1, 4, 2, 3]) == {
        'first': 100, 'times': [5, 1, 4, 2, 3], 'median': 3, 'q1': 2,
        'q3': 4}


def test_speeds_follow_from_the_median():
    r = entry(times=(9, 0.5, 0.5, 2), images=100, flop=2e9)
    assert r['images_per_s'] == 200 and r['gflop_per_s'] == 4
    assert entry(images=None, flop=None)['gflop_per_s'] is None


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
    """Ours, the book's, and twice ours; the report says so."""
    job = jobs.chapter()
    rivals = [r._replace(arguments={'who': r.who[0], 'error': False})
              for r in job.rivals]
    result = made_up()
    command.run_job(job._replace(rivals=rivals), 7, result)
    assert echo.read_text() == 'ob' + 'o' + 'o'
    assert [(r['first'], r['times']) for r in result['results']] == [
        (None, [1, 1, 1]), (None, [1])]
    report.print_result(result)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()
            if 'all of 4.2 to 4.6' in line]
    assert [row[5:9] for row in rows] == [['ours', '3', '1', 's'],
                                          ['book', '1', '1', 's']]


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
    monkeypatch.setattr(command, 'measure', lambda rivals, n: ['no torch'])
    command.run_job(Job('epoch', 'w', [rival('PyTorch')]), 1, result)
    assert result['missing'] == [{'what': 'w', 'who': 'PyTorch',
                                  'why': 'no torch'}]
    with pytest.raises(timing.BenchError, match='w, ours: no torch'):
        command.run_job(Job('epoch', 'w', [rival('ours')]), 1, result)


@pytest.mark.parametrize('accuracies', [[0.1, 0.1], [0.7, 0.72],
                                        [0.99, 1.0], [np.nan, np.nan]])
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
        return entry(times=[9, *np.linspace(middle - spread, middle + spread,
                                            5)])
    assert report.verdict(run(1, 0.2), run(1.25, 0.2)) == (
        'the same within noise')
    assert report.verdict(run(1, 0.1), run(1.25, 0.1)) == 'faster, 1.25 x'


def test_against_compares_what_both_have(tmp_path, capsys):
    """By name, rival and size; the settings that changed are told."""
    old = made_up(entry(), entry(who='book'), entry('threads', x=1),
                  numpy='1.23.5', date='then')
    new = made_up(entry(times=(9, 2, 2, 2)), entry('threads', x=2),
                  numpy='1.26.4', date='now')
    path = report.write_json(old, tmp_path / 'bench.json')
    assert report.read_json(path) == old
    assert [(a['who'], b['times']) for a, b in report.pairs(new, old)] == [
        ('ours', [1, 1, 1])]
    report.print_against(new, old)
    out = capsys.readouterr().out
    assert 'numpy: 1.23.5 then, 1.26.4 now' in out and 'date' not in out
    assert 'slower, 2.00 x' in out


NULLS = json.dumps(made_up(
    {**entry(), 'times': None, 'median': None, 'q1': None, 'q3': None}))


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"schema": 2}', '\xff',
                                  NULLS])
def test_no_bench_json(tmp_path, text):
    (tmp_path / 'x.json').write_text(text, 'latin-1')
    with pytest.raises(ChapterError, match='is no bench.json'):
        report.read_json(tmp_path / 'x.json')


def test_share_of_the_products():
    """A step of 10 ms, whose fastest products take 1 ms each: 30%, 50%."""
    products = [entry(f'product: {name}', who, (9, t, t, t), 'product')
                for name in report.PRODUCTS
                for who, t in (('MXNet', 0.001), ('PyTorch', 0.002))]
    steps = entry('20 steps', times=(9, 0.2, 0.2, 0.2), kind='steps',
                  section='mlp_concise', steps=20)
    three, five = report.shares(made_up(steps, *products))
    assert '3 ms' in three and three.endswith(': 30%')
    assert '5 ms' in five and five.endswith(': 50%')
    assert report.shares(made_up(steps)) == []


def test_table_compares_each_rival_with_ours(capsys):
    result = made_up(entry(), entry(who='book', times=(9, 8, 8, 8)))
    result['missing'].append({'what': 'w', 'who': 'PyTorch', 'why': '[no]'})
    report.print_result(result)
    out = capsys.readouterr().out
    assert out.count('x as fast') == 1 and '8.00 x as fast' in out
    assert 'not timed: w, PyTorch: [no]' in out


def test_plots_of_a_sweep_have_log_axes(tmp_path, monkeypatch):
    """Each size is a tick; one plot a sweep."""
    drawn = []
    save = report._save
    monkeypatch.setattr(report, '_save', lambda name: drawn.append(
        report.plotting.plt.gcf().axes) or save(name))
    result = made_up(*(entry('batch size', x=x, times=(9, t, t, t),
                             kind='sweep')
                       for x, t in ((16, 4), (256, 2), (4096, 1))))
    paths = report.draw(result, tmp_path)
    assert [path.name for path in paths] == ['bench_batch_size.png']
    for axes in drawn[0]:
        assert (axes.get_xscale(), axes.get_yscale()) == ('log', 'log')
        assert list(axes.get_xticks()) == [16, 256, 4096]
    np.testing.assert_allclose(drawn[0][0].lines[0].get_ydata(),
                               [40000, 20000, 10000])


def test_threads_are_all_powers_of_two_and_all(monkeypatch):
    monkeypatch.setattr(jobs.compat, 'usable_processors', lambda: 6)
    assert jobs.thread_counts() == [1, 2, 4, 6]


@pytest.mark.parametrize('args, said', [
    (['--section', 'mlp'], 'section mlp is not timed; choose one of mlp_s'),
    (['--repeats', 0], '0 is not in the range'),
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
    net = pytorch._network(torch, **network).eval()
    X = np.random.default_rng(0).random((5, 784), dtype='float32')
    H, (*params,) = X, (p.detach().numpy() for p in net.parameters())
    for W, b in zip(params[::2], params[1::2]):
        H = np.maximum(H, 0) @ (W if what == 'scratch' else W.T) + b
    with torch.no_grad():
        y_hat = net(torch.tensor(X)).numpy()
        dropped = net.train()(torch.tensor(X)).numpy()
    np.testing.assert_allclose(y_hat, H, rtol=1e-4, atol=1e-6)
    assert (np.abs(dropped - y_hat).max() > 1e-4) == (section == 'dropout')


def test_schema_is_unchanged_by_a_round_trip(tmp_path):
    result = made_up(entry(), numpy='1')
    same = copy.deepcopy(result)
    assert report.read_json(report.write_json(
        result, tmp_path / 'b.json')) == same

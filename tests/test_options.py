"""The options of the chapter scripts, and how scripts end."""
import importlib
import random
import re
import signal
import sys
import time
from types import SimpleNamespace

import pytest
from conftest import ROOT, without_closing, without_mxnets_log
from gluon_mlp import mlp_scratch
from gluon_mlp.errors import NonFiniteLossError
from gluon_mlp.run import ending, options
from gluon_mlp.sections import SECTIONS
from matplotlib import image
from scripts import script_environment, script_here, start

# A script that trains nothing: it plots a point and prints a line an epoch.
SCRIPT = '''
from gluon_mlp.run.options import book_ends, options

from gluon_mlp import d2l, mlp_scratch

batch_size, lr, num_epochs = options(
    mlp_scratch, 'batch_size, lr, num_epochs')
animator = d2l.Animator(xlabel='epoch')
for epoch in range(1, num_epochs + 1):
    animator.add(epoch, lr)
    print(f'epoch {epoch}')
d2l.save_figure('section')
book_ends()
print('the end')
'''


@pytest.fixture
def script(tmp_path):
    """Start SCRIPT with arguments; a process with text pipes."""
    path = tmp_path / 'section.py'
    processes = []

    def run(*args, script=SCRIPT, **env):
        path.write_text(script)
        processes.append(start(sys.executable, path, *args, cwd=tmp_path,
                               env=script_environment(**env)))
        return processes[-1]
    yield run
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run SCRIPT in this process: its exit code, output, errors, globals."""
    def call(*args, script=SCRIPT):
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'section.py').write_text(script)
        code, found = script_here(tmp_path / 'section.py', *args)
        return code, *capsys.readouterr(), found
    return call


OWN = {'mlp': 'alpha', 'mlp_scratch': 'num_hiddens num_epochs lr batch_size',
       'mlp_concise': 'num_hiddens num_epochs lr batch_size num_gpus',
       'underfit_overfit': 'num_epochs num_epochs_overfit lr batch_size',
       'weight_decay': 'lambd num_epochs lr batch_size',
       'dropout': 'dropout1 dropout2 num_hiddens1 num_hiddens2 num_epochs lr '
                  'batch_size',
       'backprop': '', 'numerical_stability_and_init': '',
       'environment': 'num_epochs lr batch_size',
       'kaggle_house_price': 'k num_epochs lr weight_decay batch_size '
                             'submission'}


@pytest.mark.parametrize('slug', OWN)
def test_help_shows_the_sections_own_values(slug, capsys):
    """`--help` has each option once, with the value in the section's module.
    """
    code, _ = script_here(ROOT / 'chapters' / f'{slug}.py', '--help')
    out, err = capsys.readouterr()
    assert (code, err) == (0, '') and '\x1b' not in out
    section = importlib.import_module(f'gluon_mlp.{slug}')
    expected = {name: getattr(section, name, None)
                for name in OWN[slug].split()}
    expected.update(seed=0, device='cpu', output='figures', format='png',
                    lang='en', show=None, book_only=None, help=None)
    if 'num_epochs' in expected:
        expected.update(checkpoint=None, resume=None, durable=None,
                        history=None)
    title, *entries = re.split(r'\n  (?=-)', out)
    found = {}
    for entry in entries:
        name = re.search(r'--([a-z0-9-]+)', entry)[1].replace('-', '_')
        default = re.search(r'\[default:\s+(.*)\]', entry)
        found[name] = default and default[1]
    assert found == {name: None if value is None else str(value)
                     for name, value in expected.items()}
    number, _, words, *_ = next(s for s in SECTIONS if s.slug == slug)
    assert f'{number} {words}' in ' '.join(title.split())


def test_options_reach_the_script(call):
    """It gets its section's constants, or what was typed."""
    assert mlp_scratch.batch_size == 256
    for args, values in [
            ((), (256, 0.1, 10)),
            (('--lr', '1e-3', '--num-epochs', 2, '--batch-size', 64),
             (64, 0.001, 2))]:
        code, out, err, found = call(*args)
        assert (code, err) == (0, '') and out.endswith('the end\n')
        assert tuple(found[name] for name in (
            'batch_size', 'lr', 'num_epochs')) == values


def test_the_language_of_diagrams_reaches_the_experiment(call):
    script = ('from gluon_mlp.run.options import options\n'
              'from gluon_mlp import experiment, mlp_scratch\n'
              'options(mlp_scratch, "")\nprint(experiment.current.lang)\n')
    for args, lang in [((), 'en'), (('--lang', 'zh'), 'zh')]:
        assert call(*args, script=script)[:3] == (0, f'{lang}\n', '')


def test_a_notebook_gets_the_sections_values(monkeypatch, tmp_path):
    """Its kernel's command line is not read, and no run begins."""
    monkeypatch.setattr(sys, 'argv', ['kernel', '-f', 'connection.json'])
    for file in ({}, {'__file__': str(tmp_path / 'module.py')}):
        exec('from gluon_mlp.run.options import options\n'
             'from gluon_mlp import mlp_scratch\n'
             'values = options(mlp_scratch, "lr, num_epochs")', file)
        assert file['values'] == (0.1, 10)
    assert options.experiment.current.figures == options.Path('figures')


def test_book_only_ends_with_the_books_listings(call):
    code, out, err, _ = call('--book-only', '--num-epochs', 1)
    assert (code, err) == (0, '')
    assert out.splitlines() == ['epoch 1', 'figure: figures/section.png']


@pytest.mark.parametrize('option', ['--num-epochs', '--batch-size', '--lr',
                                    '--seed', '--device'])
@pytest.mark.parametrize('value', ['0', '-1', 'abc', 'nan', 'inf', '', 'GPU',
                                   '1e39', '9' * 40])
def test_wrong_value_is_one_line_and_2(call, option, value):
    """A wrong value names its option in one line, and nothing runs."""
    code, out, err, _ = call('--num-epochs', 1, option, value)
    if (option, value) == ('--seed', '0'):
        assert code == 0
        return
    assert (code, out) == (2, '')
    assert len(err.splitlines()) == 1 and option in err
    assert err.startswith('error: ')


@pytest.mark.parametrize('value', ['1', '1.5', '-0.1', 'nan'])
def test_a_probability_is_below_1(value):
    with pytest.raises(options.click.BadParameter,
                       match=r'is not a number from 0 to 0\.999'):
        options.PROBABILITY.convert(value, None, None)
    assert options.PROBABILITY.convert('0', None, None) == 0


@pytest.mark.parametrize('args', [['--no-such'], ['stray'], ['--lr'],
                                  ['--num-epoch', '1'], ['-x'],
                                  ['--output', __file__]])
def test_wrong_option_is_one_line_and_2(call, args):
    """Unknown options, stray arguments and missing values, too."""
    code, out, err, _ = call(*args)
    assert (code, out) == (2, '')
    assert len(err.splitlines()) == 1


def test_folder_below_a_file_is_one_line(call):
    """Figures that cannot be kept are told before training."""
    code, out, err, _ = call('--output', __file__ + '/below')
    assert (code, out) == (1, '')
    assert len(err.splitlines()) == 1 and 'Not a directory' in err


def test_a_history_that_cannot_be_kept_is_one_line(call):
    """It is told before training, as are figures."""
    code, out, err, _ = call('--history', __file__ + '/below/h.csv')
    assert (code, out) == (1, '')
    assert len(err.splitlines()) == 1 and 'Not a directory' in err


def test_figures_and_history_of_a_real_run(call, few_images, tmp_path):
    """As they are asked for."""
    code, out, err, _ = call(
        '--num-epochs', 2, '--format', 'svg', '--history', 'new/h.csv',
        '--output', 'o',
        script=(ROOT / 'chapters/mlp_concise.py').read_text('utf-8'))
    assert (code, err) == (0, '')
    assert out.endswith('figure: o/mlp_concise.svg\nhistory: new/h.csv\n')
    head, *rows = (tmp_path / 'new/h.csv').read_text().splitlines()
    assert head == 'training,epoch,train_loss,train_acc,test_acc'
    printed = re.findall(
        r'epoch (\d): train loss (\S+), train acc (\S+), test acc (\S+)', out)
    assert [(epoch, *(f'{float(x):.4f}' for x in row)) for _, epoch, *row in
            (row.split(',') for row in rows)] == printed
    assert len(printed) == 2


def test_absent_gpu_is_one_line(call, monkeypatch):
    """`--device gpu` without a GPU ends before training."""
    import mxnet as mx
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 0)
    code, out, err, _ = call('--device', 'gpu')
    assert (code, out) == (1, '')
    assert len(err.splitlines()) == 1 and 'sees no GPU' in err


NO_MXNET = '''
from types import SimpleNamespace
from gluon_mlp.run.options import options
options(SimpleNamespace(__name__='mlp_scratch'), '')
'''


def test_no_display_is_one_line(script, monkeypatch):
    """`--show` without a display ends before training."""
    for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'MPLBACKEND'):
        monkeypatch.delenv(name, raising=False)
    process = script('--show', script=NO_MXNET)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and out == ''
    assert len(err.splitlines()) == 1 and 'no display' in err


def test_a_defect_has_its_traceback(call):
    code, _, err, _ = call(script=SCRIPT.replace('book_ends()', '1 / 0'))
    assert code == 1 and err.startswith('Traceback (most recent call last)')
    assert err.endswith('ZeroDivisionError: division by zero\n')


def test_another_checkouts_package_is_refused(tmp_path, capsys):
    """An installed package would run in the place of the one beside it."""
    copy = tmp_path / 'copy'
    (copy / 'gluon_mlp').mkdir(parents=True)
    (copy / 'chapters').mkdir()
    path = copy / 'chapters' / 'mlp_scratch.py'
    path.write_text((ROOT / 'chapters' / 'mlp_scratch.py').read_text())
    code, _ = script_here(path, '--help')
    out, err = capsys.readouterr()
    assert (code, out) == (1, '') and len(err.splitlines()) == 1
    assert f'{path} belongs to {copy / "gluon_mlp"}, but' in err
    assert f'runs {ROOT / "gluon_mlp"}: use the Python in {copy}/.venv' in err


# How a script ends

def test_in_ipython_a_run_ends_with_its_cell(monkeypatch):
    """There %run has started it, and the process goes on."""
    callbacks, closed = {}, []
    shell = SimpleNamespace(events=SimpleNamespace(
        register=callbacks.__setitem__))
    monkeypatch.setitem(sys.modules, 'IPython', SimpleNamespace(
        get_ipython=lambda: shell))
    hook = sys.excepthook
    ending.take_over()
    with ending.opened:
        ending.opened.callback(closed.append, True)
        assert sys.excepthook is hook and closed == []
        callbacks['post_run_cell']('the result of a cell')
        assert closed == [True]


@pytest.mark.parametrize('error, code, said', [
    (SystemExit(), 0, ''), (SystemExit(3), 3, ''),
    (SystemExit('so it ends'), 1, 'so it ends\n'),
    (KeyboardInterrupt(), 130, 'interrupted\n'),
    (ending.Interrupted(signal.SIGTERM), 143, 'interrupted\n'),
    (NonFiniteLossError('the loss is nan'), 1, 'error: the loss is nan\n'),
    (OSError(28, 'No space', 'a.png'), 1,
     "error: [Errno 28] No space: 'a.png'\n"),
    (ending.click.BadParameter('no exercise 4\n\x1b[2J1'), 2,
     'error: Invalid value: no exercise 4\\n\\x1b[2J1\n'),
    (BrokenPipeError(32, 'Broken pipe'), 1, '')], ids=repr)
def test_an_error_has_its_line_and_its_exit_code(error, code, said, capsys):
    assert ending.tell(error) == code
    assert capsys.readouterr() == ('', said)


IMPORTING = """
from gluon_mlp.run.options import options
print('importing', flush=True)
import time; time.sleep(60)  # as MXNet's import, but for the length of it
"""


@pytest.mark.parametrize('how, code, said', [
    (signal.SIGINT, 130, 'interrupted\n'), (signal.SIGTERM, -15, '')])
def test_interrupt_while_mxnet_is_imported(script, how, code, said):
    """No traceback before the script's run has begun, either."""
    process = script(script=IMPORTING)
    assert process.stdout.readline() == 'importing\n'
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, '', said)


SWALLOWS = """
import time
try:
    print('now', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    pass
time.sleep(0.5)
"""
IMPORTS = """
from gluon_mlp.run.ending import take_over
{}
{}
print('went on')
"""


@pytest.mark.parametrize('places', [
    ('take_over()', 'import swallows'), ('import swallows', 'take_over()')])
def test_an_interrupt_that_an_import_swallows_comes_again(script, tmp_path,
                                                          places):
    """A module in C that imports another may clear its exception."""
    (tmp_path / 'swallows.py').write_text(SWALLOWS)
    process = script(script=IMPORTS.format(*places))
    assert process.stdout.readline() == 'now\n'
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, '', 'interrupted\n')


@pytest.mark.parametrize('last, code, said', [
    ('except KeyboardInterrupt: pass', 0, ''),
    ('finally: time.sleep(0.3)', 143, 'interrupted\n')])
def test_an_interrupt_that_is_handled_comes_once(script, tmp_path, last,
                                                 code, said):
    """By a script that goes on then, or that cleans up amid an import."""
    body = SWALLOWS.replace('except KeyboardInterrupt:\n    pass', last)
    if code:
        (tmp_path / 'cleans.py').write_text(body)
        body = 'import cleans'
    process = script(script=IMPORTS.format('take_over()', body))
    assert process.stdout.readline() == 'now\n'
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (code, said)
    assert (out == 'went on\n') == (code == 0)


# Trainings that go on and on, as those of 4.3, 4.5 and 4.10 do.
ENDLESS = {'mlp_concise': '''
from gluon_mlp.run.options import options
from gluon_mlp import d2l, mlp_concise
from mxnet import gluon, init, np
batch_size, lr = options(mlp_concise, 'batch_size, lr')

def train(num_epochs):
    net = mlp_concise.get_net()
    net.initialize(init.Normal(sigma=0.01))
    trainer = gluon.Trainer(net.collect_params(), 'sgd',
                            {'learning_rate': lr})
    X, y = np.random.uniform(size=(600, 784)), np.arange(600) % 10
    data_iter = d2l.load_array((X, y), batch_size)
    d2l.train_ch3(net, data_iter, data_iter, say(
        gluon.loss.SoftmaxCrossEntropyLoss()), num_epochs, trainer)
''', 'weight_decay': '''
from gluon_mlp.run.options import options
from gluon_mlp import weight_decay
options(weight_decay, '')

def train(num_epochs):
    train_iter, test_iter = weight_decay.load_data()
    weight_decay.squared_loss = say(weight_decay.squared_loss)
    weight_decay.train(3, train_iter, test_iter, num_epochs=num_epochs)
''', 'kaggle_house_price': '''
from gluon_mlp.run.options import options
from gluon_mlp import kaggle_house_price
from mxnet import np
options(kaggle_house_price, '')

def train(num_epochs):
    kaggle_house_price.loss = say(kaggle_house_price.loss)
    X = np.random.normal(size=(200, 300))
    y = np.exp(np.random.normal(size=(200, 1)) + 10)
    kaggle_house_price.k_fold(5, X, y, num_epochs, 5, 0, 64)
'''}
# A word when the first batch has its loss.
SAY = '''
def say(loss):
    def first(*args):
        global said
        if not said:
            said = True
            print('training')
        return loss(*args)
    return first

said = False
'''
UNTIL_STOPPED = SAY + 'train(10 ** 6)\n'
AGAIN_AND_AGAIN = SAY + '''
from matplotlib import pyplot as plt
from mxnet import autograd
while True:
    try:
        said = False
        train(10 ** 6)
    except KeyboardInterrupt:
        print('heard')
        plt.close('all')
        autograd.set_recording(False)  # which may have been amid a batch
        autograd.set_training(False)
'''


SLOW = pytest.mark.slow


@pytest.mark.parametrize('slug, how, times', [
    ('mlp_concise', signal.SIGINT, 1), ('weight_decay', signal.SIGTERM, 1),
    ('kaggle_house_price', signal.SIGHUP, 1),
    *(pytest.param(slug, how, 4, marks=SLOW)
      for slug in ENDLESS for how in ending.SIGNALS)])
def test_a_signal_at_any_moment_ends_the_script(script, tmp_path, slug, how,
                                                times):
    """Ctrl-C, `kill`, a closed terminal: one line, the figure so far.

    More of them, from an impatient reader, change nothing.
    """
    for _ in range(times):
        process = script(script=ENDLESS[slug] + UNTIL_STOPPED)
        await_line('training\n', process)
        time.sleep(random.random() / 2)
        for _ in range(3):
            process.send_signal(how)
            time.sleep(0.05)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, without_mxnets_log(err)) == (
            128 + how, 'interrupted\n')
        if slug != 'kaggle_house_price':  # which has no figure open
            path = tmp_path / 'figures' / 'section_interrupted_1.png'
            assert out.endswith(f'figure: {path.relative_to(tmp_path)}\n')
            assert image.imread(path).size > 0
            path.unlink()


@pytest.mark.parametrize('slug, times', [
    ('weight_decay', 100),
    *(pytest.param(slug, 500, marks=SLOW) for slug in ENDLESS)])
def test_no_signal_is_swallowed(script, slug, times):
    """Each reaches the script, also one that comes within a destructor."""
    process = script(script=ENDLESS[slug] + AGAIN_AND_AGAIN)
    for _ in range(times):
        await_line('training\n', process)
        time.sleep(random.random() / 50)
        process.send_signal(signal.SIGINT)
        await_line('heard\n', process)
    process.kill()
    assert without_mxnets_log(process.stderr.read()) == ''


def await_line(line, process):
    """Read the script's output up to this line."""
    while process.stdout.readline() != line:
        assert process.poll() is None, process.stderr.read()


def test_closed_pipe_is_silent(script):
    """`| head -1` gets its line, and no traceback follows."""
    process = script('--num-epochs', 5000)
    assert process.stdout.readline() == 'epoch 1\n'
    process.stdout.close()
    assert process.stderr.read() == ''
    assert process.wait(timeout=60) == 1


def test_odd_folder_in_plain_locale(script, tmp_path):
    """Spaces and other scripts' letters in a path, in an ASCII locale."""
    process = script('--output', 'a b é 图', LC_ALL='C', PYTHONUTF8='0',
                     PYTHONCOERCECLOCALE='0', PYTHONIOENCODING='ascii')
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and without_closing(err) == ''
    assert err != ''
    assert out.splitlines()[-2].startswith('figure: a b ')
    assert (tmp_path / 'a b é 图' / 'section.png').exists()


def test_real_script_into_a_log(run_script, real_data, tmp_path):
    """A log gets plain lines: no escape codes, no bars, no `Figure(`."""
    done = run_script('mlp_concise', '--num-epochs', 1)
    assert done.returncode == 0 and done.stderr == ''
    data, epoch, figure = done.stdout.splitlines()
    assert data.startswith('Fashion-MNIST, edition of ')
    assert epoch.startswith('epoch 1: train loss ')
    assert figure == f'figure: {tmp_path / "figures" / "mlp_concise.png"}'

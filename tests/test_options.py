"""The options of the chapter scripts, and how scripts end."""
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from gluon_mlp.run import options
from matplotlib import image

# A script that trains nothing: it plots a point and prints a line an epoch.
SCRIPT = '''"""A section."""
import time
from gluon_mlp.run.options import BatchSize, LearningRate, NumEpochs, run
from gluon_mlp.errors import NonFiniteLossError
from gluon_mlp.d2l.plot import Animator, save_figure

def main(batch_size: BatchSize = 256, lr: LearningRate = 0.1,
         num_epochs: NumEpochs = 10):
    animator = Animator(xlabel='epoch')
    for epoch in range(1, num_epochs + 1):
        animator.add(epoch, lr)
        print(f'epoch {epoch}')
        if batch_size == 1:
            time.sleep(60)
        if batch_size == 2:
            raise NonFiniteLossError('the loss is nan')
        time.sleep(0.05)
    save_figure('section')

if __name__ == '__main__':
    run(main)
'''


def _hear_ctrl_c():
    """A shell's background job, as these tests may be, is deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    """Start SCRIPT with arguments; a process with text pipes."""
    path = tmp_path / 'section.py'
    processes = []

    def start(*args, script=SCRIPT, **env):
        path.write_text(script)
        processes.append(subprocess.Popen(
            [sys.executable, path, *map(str, args)], cwd=tmp_path, text=True,
            env={**os.environ, 'PYTHONPATH': str(ROOT), **env},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=_hear_ctrl_c))
        return processes[-1]
    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def call(capsys, tmp_path, monkeypatch):
    """Run a `main` in this process: (exit code, stdout, stderr, options)."""
    def call(*args):
        seen = []

        def main(batch_size: options.BatchSize = 256,
                 lr: options.LearningRate = 0.1,
                 num_epochs: options.NumEpochs = 10):
            seen.append((batch_size, lr, num_epochs))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, 'argv', ['section.py', *map(str, args)])
        monkeypatch.setattr(sys.stdout, 'reconfigure', lambda **options: None,
                            raising=False)
        with pytest.raises(SystemExit) as error:
            options.run(main)
        return error.value.code, *capsys.readouterr(), seen
    return call


def test_help_shows_the_books_defaults(run_script):
    """`--help` names every option, with the book's value."""
    done = run_script('mlp_concise', '--help')
    assert done.returncode == 0 and done.stderr == ''
    text = ' '.join(done.stdout.split())
    for option, default in [
            ('--batch-size', '256'), ('--lr', '0.1'), ('--num-epochs', '10'),
            ('--seed', '0'), ('--device', 'cpu'), ('--figures', 'figures')]:
        after = text.split(option + ' ')[1].split(' --')[0]
        assert f'[default: {default}' in after
    assert '[cpu|gpu]' in text and '--show' in text
    assert '4.3 Concise implementation' in text
    assert '\x1b' not in done.stdout


def test_options_reach_main(call):
    """The section gets the defaults, or what was typed."""
    assert call()[3] == [(256, 0.1, 10)]
    code, *_, seen = call('--lr', '1e-3', '--num-epochs', 2, '--batch-size',
                          64)
    assert code == 0 and seen == [(64, 0.001, 2)]


@pytest.mark.parametrize('option', ['--num-epochs', '--batch-size', '--lr',
                                    '--seed', '--device'])
@pytest.mark.parametrize('value', ['0', '-1', 'abc', 'nan', 'inf', '', 'GPU',
                                   '1e39', '9' * 40])
def test_wrong_value_is_one_line_and_2(call, option, value):
    """A wrong value names its option in one line, and nothing runs."""
    code, out, err, seen = call(option, value)
    if (option, value) == ('--seed', '0'):
        assert code == 0
        return
    assert code == 2 and out == '' and seen == []
    assert len(err.splitlines()) == 1 and option in err
    assert err.startswith('error: ')


@pytest.mark.parametrize('args', [['--no-such'], ['stray'], ['--lr'],
                                  ['--num-epoch', '1'], ['-x'],
                                  ['--figures', __file__]])
def test_wrong_option_is_one_line_and_2(call, args):
    """Unknown options, stray arguments and missing values, too."""
    code, out, err, seen = call(*args)
    assert code == 2 and out == '' and seen == []
    assert len(err.splitlines()) == 1


def test_folder_below_a_file_is_one_line(call):
    """Figures that cannot be kept are told before training."""
    code, _, err, seen = call('--figures', __file__ + '/below')
    assert code == 1 and seen == []
    assert len(err.splitlines()) == 1 and 'Not a directory' in err


def test_absent_gpu_is_one_line(call, monkeypatch):
    """`--device gpu` without a GPU ends before training."""
    import mxnet as mx
    monkeypatch.setattr(mx.context, 'num_gpus', lambda: 0)
    code, _, err, seen = call('--device', 'gpu')
    assert code == 1 and seen == []
    assert len(err.splitlines()) == 1 and 'sees no GPU' in err


def test_no_display_is_one_line(start, monkeypatch):
    """`--show` without a display ends before training."""
    for name in ('DISPLAY', 'WAYLAND_DISPLAY', 'MPLBACKEND'):
        monkeypatch.delenv(name, raising=False)
    process = start('--show')
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and out == ''
    assert len(err.splitlines()) == 1 and 'no display' in err


def test_divergence_is_one_line(start):
    """A loss that is not finite is told without a traceback."""
    process = start('--batch-size', 2)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err == 'error: the loss is nan\n'


@pytest.mark.parametrize('how, code', [
    (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupt_keeps_the_figure(start, tmp_path, how, code):
    """Ctrl-C, `kill`, a closed terminal: no traceback, the figure so far.

    More of them, from an impatient reader, change nothing.
    """
    process = start('--batch-size', 1)
    assert process.stdout.readline() == 'epoch 1\n'
    for _ in range(3):
        process.send_signal(how)
        time.sleep(0.05)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.split() == ['interrupted']
    path = tmp_path / 'figures' / 'section_interrupted_1.png'
    assert out == f'figure: {path.relative_to(tmp_path)}\n'
    assert image.imread(path).size > 0


IMPORTING = """
from gluon_mlp.run.options import run
print('importing', flush=True)
import time; time.sleep(60)  # as MXNet's import, but for the length of it
"""


@pytest.mark.parametrize('how, code, said', [
    (signal.SIGINT, 130, 'interrupted\n'), (signal.SIGTERM, -15, '')])
def test_interrupt_while_mxnet_is_imported(start, tmp_path, how, code, said):
    """No traceback before the script's `main` has begun, either."""
    process = start(script=IMPORTING)
    assert process.stdout.readline() == 'importing\n'
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, '', said)


def test_closed_pipe_is_silent(start):
    """`| head -1` gets its line, and no traceback follows."""
    process = start('--num-epochs', 5)
    assert process.stdout.readline() == 'epoch 1\n'
    process.stdout.close()
    assert process.stderr.read() == ''
    assert process.wait(timeout=60) == 1


def test_odd_folder_in_plain_locale(start, tmp_path):
    """Spaces and other scripts' letters in a path, in an ASCII locale."""
    process = start('--figures', 'a b é 图', LC_ALL='C', PYTHONUTF8='0',
                    PYTHONCOERCECLOCALE='0', PYTHONIOENCODING='ascii')
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and err == ''
    assert out.splitlines()[-1].startswith('figure: a b ')
    assert (tmp_path / 'a b é 图' / 'section.png').exists()


def test_real_script_into_a_log(run_script, real_data, tmp_path):
    """A log gets plain lines: no escape codes, no bars, no `Figure(`."""
    done = run_script('mlp_concise', '--num-epochs', 1)
    assert done.returncode == 0 and done.stderr == ''
    data, epoch, figure = done.stdout.splitlines()
    assert data.startswith('Fashion-MNIST, edition of ')
    assert epoch.startswith('epoch 1: train loss ')
    assert figure == f'figure: {tmp_path / "figures" / "mlp_concise.png"}'

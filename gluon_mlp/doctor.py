"""`gluon-mlp doctor`: what this machine has, and what is wrong.

The doctor has to run where NumPy or MXNet cannot. So this module imports
neither of them. `check_numpy` tries to, and a process of its own, which may
crash, tries MXNet.
"""
import importlib
import itertools
import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .errors import DataError, printable
from .machine import compat, preflight

FACTS = """
import json
import gluon_mlp
import mxnet as mx
from gluon_mlp.run import device
faults = [device.try_kernel(i) for i in range(device.num_gpus())]
print()
print(json.dumps({'version': mx.__version__, 'gpus': faults}))
"""
SMI = 20  # seconds that nvidia-smi may take
REBUILD = 'make clean env, or pip install -r requirements.txt'
CPU_WHEEL = 'pip uninstall {}, then pip install mxnet==1.9.1 for the CPU'
# They bring the libraries that the wheels for CUDA 11 load. Their files lie
# below site-packages/nvidia, and the loader does not look there.
CUDA_PACKAGES = ("nvidia-cuda-runtime-cu11 nvidia-cublas-cu11 "
                 "'nvidia-cudnn-cu11<9' nvidia-cufft-cu11 nvidia-curand-cu11 "
                 'nvidia-cusolver-cu11 nvidia-cusparse-cu11 nvidia-nccl-cu11 '
                 'nvidia-cuda-nvrtc-cu11 nvidia-nvtx-cu11')


class Finding(NamedTuple):
    """What was checked, what was found, and the mend if that is wrong."""
    what: str
    found: str
    mend: str = ''


def doctor(as_json=False):
    """Print what this machine has. Returns 1 if something is wrong, else 0.
    """
    findings = examine()
    wrong = [f for f in findings if f.mend]
    if as_json:
        print(json.dumps([f._asdict() for f in findings], indent=1))
    else:
        _print_table(findings, wrong)
    return 1 if wrong else 0


def _print_table(findings, wrong):
    # A log has no width. There, each finding stays on one line.
    console = Console(width=None if sys.stdout.isatty() else 500)
    table = Table(box=None, show_header=False)
    for f in findings:
        table.add_row('[red]mend[/]' if f.mend else '[green]ok[/]', f.what,
                      escape(printable(f.found)))
    console.print(table)
    for f in wrong:
        console.print(f'[red]{f.what}[/]: {escape(printable(f.mend))}',
                      soft_wrap=True)
    if not wrong:
        console.print('nothing is wrong')


def examine():
    """All `Finding`s of this machine."""
    return [check_machine(), check_python(), check_processors(),
            check_threads(), check_numpy(), *check_mxnet(), check_data()]


def check_machine():
    """Check the system: does MXNet have a wheel for it?"""
    facts = preflight.this_machine()
    found = f'{facts.system} {facts.processor}, {facts.libc or "no glibc"}'
    other = compat.mxnet_version().replace(preflight.MXNET, '')
    note = preflight.note(facts, other)
    return Finding('machine', f'{found}; {note}' if note else found,
                   preflight.problem(facts, other) or '')


def check_python():
    """Name the interpreter; `preflight` judges it with the machine."""
    return Finding('Python', f'{platform.python_version()}, {sys.executable}')


def check_processors():
    """Count the processors, and those that this process may really use."""
    return Finding('processors', f'{compat.usable_processors()} usable of '
                                 f'{os.cpu_count()}')


def check_threads():
    """Check the settings of MXNet's threads, and those that make it abort.

    More threads than processors make it slow.
    """
    wrong, usable = compat.wrong_settings(), compat.usable_processors()
    found = ', '.join(f'{name}={os.environ[name]}'
                      for name in dict.fromkeys([*compat.THREADS, *wrong])
                      if name in os.environ)
    for name in compat.THREADS[:2]:
        if name in wrong or int(os.environ.get(name) or 1) > usable:
            return Finding('threads', found, f'unset {name}, or set it to a '
                                             f'number from 1 to {usable}')
    if wrong:
        return Finding('threads', found, '; '.join(wrong.values()))
    if os.environ.get('MXNET_CPU_WORKER_NTHREADS', '1') != '1':
        return Finding('threads', found, 'unset MXNET_CPU_WORKER_NTHREADS: '
                       'MXNet may hang with it')
    return Finding('threads', found)


def check_numpy():
    """Check whether NumPy can be imported."""
    try:
        return Finding('NumPy', importlib.import_module('numpy').__version__)
    except Exception as error:
        return Finding('NumPy', _last_line(f'{error}') or repr(error),
                       REBUILD)


def check_mxnet():
    """Check MXNet: its version, its GPUs, CUDA's libraries."""
    wheels = mxnet_wheels()
    if not wheels:
        return [Finding('MXNet', 'not installed', REBUILD)]
    if len(wheels) > 1:
        return [Finding('MXNet', f'{" and ".join(wheels)} share a folder',
                        f'pip uninstall {" ".join(wheels)}, then install '
                        'only one of them')]
    facts = mxnet_facts()
    cuda = ([check_cuda_libraries(wheels[0])] if wheels[0] != 'mxnet'
            else [])
    if isinstance(facts, str):
        mend = ('see the other lines first, then: ' if cuda and cuda[0].mend
                else '') + REBUILD
        return [Finding('MXNet', f'its import fails: {facts}', mend), *cuda]
    return [Finding('MXNet', f'{facts["version"]}, package {wheels[0]}'),
            *cuda, check_gpus(wheels[0], facts['gpus'])]


def mxnet_wheels():
    """The names of the installed packages that bring MXNet."""
    names = {d.metadata['Name'] or '' for d in distributions()}
    return sorted(n for n in names if re.fullmatch(r'mxnet(-cu\d+)?', n))


def mxnet_facts():
    """What a process that imports MXNet says: a dict, or its last words.

    It runs without the settings that would stop it, which `check_threads` is
    about. MXNet's libraries may print what they like.
    """
    wrong = compat.wrong_settings()
    try:
        ran = _run([sys.executable, '-c', FACTS], 900, {
            name: value for name, value in os.environ.items()
            if name not in wrong})
    except subprocess.TimeoutExpired:
        return 'it did not finish'
    facts = re.findall(r'^\{"version": .*\}$', ran.stdout, re.M)
    if facts and ran.returncode == 0:
        return json.loads(facts[-1])
    return _last_line(ran.stderr) or f'exit code {ran.returncode}'


def _run(command, seconds, env=None):
    """Like `subprocess.run`, but does not wait for what cannot be killed.

    Such a process waits in the kernel for a driver. Raises `TimeoutExpired`.
    """
    process = subprocess.Popen(command, env=env, text=True, errors='replace',
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=seconds)
    except BaseException:
        process.kill()
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _last_line(text):
    return (text.strip().splitlines() or [''])[-1]


def check_gpus(wheel, faults):
    """Check the GPUs: for which of them does MXNet have machine code?"""
    seen = nvidia_gpus()
    if wheel == 'mxnet':
        return Finding('GPUs', ('; '.join(seen) + ', not for this package'
                                if seen else 'none')
                       + ' (mxnet is for the CPU)')
    if not faults:
        return Finding('GPUs', '; '.join(seen) or 'none that MXNet sees',
                       "nvidia-smi says whether NVIDIA's driver runs; "
                       'without a GPU, ' + CPU_WHEEL.format(wheel))
    if len(seen) != len(faults):  # CUDA_VISIBLE_DEVICES hides some
        seen = [f'GPU {i}' for i in range(len(faults))]
    found = [f'{name}: {fault or "a kernel ran"}'
             for name, fault in zip(seen, faults)]
    return Finding('GPUs', '; '.join(found), (
        'MXNet has machine code for compute capabilities up to 8.9, not for '
        'Hopper or newer: use an older GPU, or --device cpu')
        if any(faults) else '')


def nvidia_gpus():
    """The name and compute capability of each GPU, by its driver."""
    try:
        ran = _run(['nvidia-smi', '--query-gpu=name,compute_cap',
                    '--format=csv,noheader'], SMI)
    except (OSError, subprocess.TimeoutExpired):
        return []  # there is none, or the driver does not answer
    return ran.stdout.strip().splitlines() if ran.returncode == 0 else []


def check_cuda_libraries(wheel):
    """Check the libraries that the MXNet of `wheel` loads."""
    missing = missing_libraries(
        Path(find_spec('mxnet').origin).with_name('libmxnet.so'))
    if not missing:
        return Finding('CUDA libraries', 'all found')
    found = 'missing: ' + ', '.join(missing)
    if 'libcuda.so.1' in missing:
        return Finding('CUDA libraries', found, "install NVIDIA's driver; or "
                       + CPU_WHEEL.format(wheel))
    folders = [nvidia_folders(name) for name in missing]
    if not all(folders):
        return Finding('CUDA libraries', found,
                       f'pip install {CUDA_PACKAGES}, then this again')
    return Finding('CUDA libraries', found + ' (installed, not on the path)',
                   'export LD_LIBRARY_PATH='
                   + ':'.join(dict.fromkeys(itertools.chain(*folders))))


def missing_libraries(library):
    """The libraries that `library` needs and the loader does not find."""
    ran = subprocess.run(['ldd', library], capture_output=True, text=True,
                         errors='replace', check=False)
    return re.findall(r'^\s*(\S+) => not found', ran.stdout,
                      re.MULTILINE)


def nvidia_folders(library):
    """The folders of NVIDIA's Python packages that hold `library`."""
    return [str(path.parent) for entry in sys.path
            for path in Path(entry).glob(f'nvidia/*/lib/{library}')]


def check_data():
    """Check Fashion-MNIST: which edition is there, and is it whole?

    It fetches nothing.
    """
    try:
        from .d2l import fashion_mnist
    except ImportError as error:
        return Finding('data', f'not looked at ({error})',
                       'see NumPy, then this again')
    try:
        place = fashion_mnist.cache_folder()
        edition = fashion_mnist.read_files(place)[1]
    except DataError as error:
        return Finding('data', str(error), 'make data (fetches all four)')
    return Finding('data', f'edition of {edition}, intact, in {place}')

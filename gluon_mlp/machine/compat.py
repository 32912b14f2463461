"""What MXNet needs on a machine of today, and where 2.0 is not as 1.9.1.

MXNet was retired in 2023: it reads names that NumPy and Python have dropped
since, and by default it runs its kernels on half of the processors.
"""
import contextlib
import math
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# What MXNet reads of its threads, in the order of what prevails.
THREADS = ('MXNET_OMP_MAX_THREADS', 'OMP_NUM_THREADS', 'OMP_WAIT_POLICY',
           'GOMP_SPINCOUNT', 'MXNET_CPU_WORKER_NTHREADS')
UPDATES = 'MXNET_OPTIMIZER_AGGREGATION_SIZE'
WORKERS = 'GLUON_MLP_WORKERS'  # of a `launch`, on this machine
# MXNet aborts unless these are numbers from so many to `MOST`.
NUMBERS = {**dict.fromkeys(THREADS[:2], 1), 'MXNET_CPU_WORKER_NTHREADS': 1,
           UPDATES: 0, WORKERS: 1}
MOST = 1024  # far more threads than that crash it
ENGINES = 'NaiveEngine', 'ThreadedEngine', 'ThreadedEnginePerDevice'
KERNELS = 'OPENBLAS_CORETYPE'
# These decide the order of sums, and so how they are rounded.
ROUNDING = (*THREADS[:2], KERNELS)
# The names of the variables that `prepare` has set, for child processes.
CHOSEN = 'GLUON_MLP_CHOSEN'
# Set it to leave all settings to MXNet, as the book's readers do.
UNTUNED = 'GLUON_MLP_UNTUNED'


class SettingError(ValueError):
    """A variable of the environment with which MXNet aborts the process."""


def wrong_settings():
    """The variables with which MXNet aborts: each with what to do, by name.
    """
    wrong = {}
    for name, least in NUMBERS.items():
        value = os.environ.get(name)
        if value and not (re.fullmatch(' *[0-9]{1,9} *', value)
                          and least <= int(value) <= MOST):
            wrong[name] = (f'{name} is {value!r}, no number from {least} to '
                           f'{MOST}: unset it, or set it to one')
    engine = os.environ.get('MXNET_ENGINE_TYPE', ENGINES[0])
    if engine not in ENGINES:
        wrong['MXNET_ENGINE_TYPE'] = (
            f'MXNET_ENGINE_TYPE is {engine!r}: unset it, or set it to one of '
            + ', '.join(ENGINES))
    role = os.environ.get('DMLC_ROLE', 'worker')
    if role != 'worker' and WORKERS not in os.environ:
        wrong['DMLC_ROLE'] = (f'DMLC_ROLE is {role!r}, with which MXNet only '
                              'serves other processes: unset it')
    if sys.flags.optimize > 1:
        wrong['PYTHONOPTIMIZE'] = (
            "PYTHONOPTIMIZE is '2', or Python runs with -OO, without the "
            'docstrings that MXNet reads: unset it, or leave -OO out')
    return wrong


def prepare():
    """Make `import mxnet` work, and fast. Harmless when called again.

    Sets `OMP_NUM_THREADS` to `usable_processors()` unless the user has set
    it, or `MXNET_OMP_MAX_THREADS`, over which it would prevail; how long
    these threads spin, that a `Trainer` updates its parameters one by one,
    and the kernels of MXNet's OpenBLAS, unless the user has set that; none
    of these where the user has set `GLUON_MLP_UNTUNED`. Has no effect on an
    MXNet that is imported already. Raises `ImportError` where Python has no
    `distutils` and setuptools, which brings it, is missing, and
    `SettingError` for a variable with which MXNet aborts.
    """
    for error in wrong_settings().values():
        raise SettingError(error)
    if UNTUNED not in os.environ:
        _choose_settings()
    _restore_numpy_names()
    if sys.version_info >= (3, 12):
        _restore_distutils()


def _choose_settings():
    if 'MXNET_OMP_MAX_THREADS' not in os.environ:
        # The workers of a `launch` share the processors.
        workers = int(os.environ.get(WORKERS) or 1)
        _choose('OMP_NUM_THREADS', max(1, usable_processors() // workers))
    # By default, idle OpenMP threads spin for milliseconds on processors that
    # other threads of MXNet or other processes wait for.
    if 'OMP_WAIT_POLICY' not in os.environ:
        _choose('GOMP_SPINCOUNT', 1000)
    # On a CPU, updating several parameters at once takes twice as long. On a
    # GPU it is meant to pay: set this to 4.
    _choose(UPDATES, 0)
    kernels = _kernels()
    if kernels:
        _choose(KERNELS, kernels)


def mxnet_version():
    """The version of the package `mxnet`; '' if that is not installed."""
    try:
        return version('mxnet')
    except PackageNotFoundError:
        return ''


def _kernels(cpuinfo=Path('/proc/cpuinfo')):
    """The kernels for this processor, or None for an older or unknown one.

    MXNet's OpenBLAS knows none of the processors that came after it, and
    takes them for one of 2004: then products of matrices take twice as long.
    """
    try:
        words = cpuinfo.read_text().split()
    except OSError:
        return None
    makers = {'GenuineIntel': 'Haswell', 'AuthenticAMD': 'Zen'}
    return next((kernels for maker, kernels in makers.items()
                 if maker in words and 'avx2' in words), None)


def _choose(name, value):
    if name not in os.environ:
        os.environ[name] = str(value)
        chosen = os.environ.get(CHOSEN, '').split()
        os.environ[CHOSEN] = ' '.join([*chosen, name])


def users_environment():
    """The environment as it is without what `prepare` has set."""
    chosen = [CHOSEN, *os.environ.get(CHOSEN, '').split()]
    return {name: value for name, value in os.environ.items()
            if name not in chosen}


def keep_subnormals():
    """Let MXNet 2 compute with numbers below 1.2e-38, as 1.9.1 does.

    By default it takes them for 0. Imports MXNet.
    """
    from mxnet import util
    if hasattr(util, 'set_flush_denorms'):
        util.set_flush_denorms(False)


def begin_quietly():
    """Make MXNet's first array. MXNet 2 logs a line with it, unheard here."""
    import mxnet
    if mxnet.__version__.startswith('1.'):
        return
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed: nobody hears anyway
        return
    with open(os.devnull, 'w') as null:
        os.dup2(null.fileno(), 2)
    try:
        mxnet.np.zeros(1).wait_to_read()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def usable_processors(cgroup=Path('/sys/fs/cgroup')):
    """The number of processors that this process may really use.

    The smaller of its CPU affinity and its container's quota, at least 1.
    """
    affinity = (len(os.sched_getaffinity(0))
                if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1)
    return max(1, math.ceil(min(affinity, _quota(cgroup))))


def _quota(cgroup):
    """The processors' worth of time that the control group grants."""
    for names in (['cpu.max'],  # of version 2, and those of version 1
                  ['cpu/cpu.cfs_quota_us', 'cpu/cpu.cfs_period_us']):
        with contextlib.suppress(OSError, ValueError):  # no file, no number
            quota, period = map(int, ' '.join(
                (cgroup / name).read_text() for name in names).split())
            if quota > 0:
                return quota / period
    return math.inf


def _restore_numpy_names():
    """Give NumPy 1.24 and later the names back that MXNet 1.9.1 reads."""
    import numpy as np
    if int(np.__version__.split('.')[0]) < 2:
        if 'bool' not in vars(np):  # removed in NumPy 1.24
            np.bool = bool
        return
    # Experimental: only Python 3.13 runs with NumPy 2.
    names = {'PZERO': 0.0, 'NZERO': -0.0, 'PINF': np.inf, 'NINF': -np.inf,
             'NAN': np.nan, 'NaN': np.nan, 'Inf': np.inf, 'alltrue': np.all,
             'sometrue': np.any, 'product': np.prod, 'round_': np.round,
             'trapz': np.trapezoid, 'in1d': np.isin,
             'msort': lambda a: np.sort(a, axis=0)}
    names.update(dict.fromkeys(['mirr', 'npv', 'pmt', 'ppmt', 'pv', 'rate'],
                               _removed_from_numpy))
    for name, value in names.items():
        if not hasattr(np, name):
            setattr(np, name, value)


def _restore_distutils():
    try:
        import setuptools  # noqa: F401  (it brings `distutils` back)
    except ImportError as error:
        raise ImportError(
            'MXNet needs distutils, which Python 3.12 dropped and setuptools '
            "brings back: pip install 'setuptools>=65'") from error


def _removed_from_numpy(*args, **kwargs):
    raise NotImplementedError('NumPy 2 has no financial functions')

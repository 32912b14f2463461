"""Whether the chapter can run on this machine, asked before pip is.

`python3 -I gluon_mlp/machine/preflight.py` exits with 0, or with 1 and one
sentence that says what is missing and the way out. A word after it names
another MXNet than 1.9.1, which may have a wheel for another machine. Old
Pythons have to run it, too: it needs only the standard library and the syntax
of Python 3.6.
"""
import importlib.util
import platform
import sys
from typing import NamedTuple

# What libmxnet.so loads and the wheel does not hold, and its packages.
LIBRARIES = {'libgomp.so.1': 'libgomp1', 'libquadmath.so.0': 'libquadmath0'}
PYTHON = 'get Python 3.11 (pyenv install 3.11, or uv python install 3.11)'
DOCKER = 'docker run -it --platform linux/amd64 python:3.11 bash'
ZOMBIE = ('make env MXNET=WHEEL PYTHON=python3.12 with a wheel of the '
          'community build, release mxnet-2.0.0.zombie.1 of smolix/mxnet on '
          'GitHub (both read about, not tried)')
MXNET = '1.9.1'


class Machine(NamedTuple):
    """The facts that decide; `this_machine` finds them."""
    system: str = 'Linux'      # or 'Darwin', 'Windows'
    processor: str = 'x86_64'  # or 'aarch64', 'arm64', ...
    bits: int = 64             # of the interpreter
    libc: str = 'glibc'        # '' or 'musl' on Alpine
    python: tuple = (3, 11)
    has_venv: bool = True      # Debian splits it from Python
    missing: tuple = ()        # system libraries that do not load


def this_machine():
    """The facts of the machine and the interpreter that run this."""
    modules = [importlib.util.find_spec(m) for m in ('venv', 'ensurepip')]
    missing = [name for name in LIBRARIES if not _loads(name)]
    return Machine(platform.system(), platform.machine(),
                   64 if sys.maxsize > 2 ** 32 else 32,
                   platform.libc_ver()[0], sys.version_info[:2],
                   None not in modules, tuple(missing))


def _loads(library):
    import ctypes
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def problem(machine, other=''):
    """Why `machine` cannot run the chapter and what to do; None if it can.

    `other` is the MXNet in place of 1.9.1, if there is one.
    """
    return (not other and _no_wheel(machine)
            or _wrong_python(machine.python) or _missing_packages(machine))


def _no_wheel(machine):
    """What no package can mend: the system and the processor."""
    what = f'MXNet 1.9.1 has no wheel for {machine.system}'
    if machine.system == 'Windows':
        return (f'{what}: use WSL (wsl --install, then the same command in '
                f'its Linux), or Docker ({DOCKER})')
    if machine.system == 'Darwin' and machine.processor == 'arm64':
        return ('MXNet 1.9.1 has no wheel for Macs with an Arm processor: '
                f'use Docker ({DOCKER}), or {ZOMBIE}')
    if machine.bits != 64:
        return f'{what} with a Python of 32 bits: {PYTHON} of 64 bits'
    if machine.system == 'Linux' and machine.libc != 'glibc':
        return (f'{what} with musl, as Alpine: use one with glibc (Debian, '
                f'Ubuntu, Fedora), or Docker ({DOCKER})')
    if (machine.system, machine.processor) not in (
            ('Linux', 'x86_64'), ('Linux', 'aarch64'), ('Darwin', 'x86_64')):
        return f'{what} on {machine.processor}: use Linux on x86-64'
    return None


def _wrong_python(python):
    if (3, 9) <= python <= (3, 13):
        return None
    return ('the chapter runs on Python 3.9 to 3.12, and this is '
            f'{python[0]}.{python[1]}: {PYTHON}, then name it, as in: '
            'make PYTHON=python3.11')


def _missing_packages(machine):
    """What the system's package manager brings."""
    if not _is_tested(machine):
        return None
    packages = {name: LIBRARIES[name] for name in machine.missing}
    if not machine.has_venv:
        packages["Python's venv"] = 'python{}.{}-venv'.format(*machine.python)
    if not packages:
        return None
    return (f'missing: {" and ".join(packages)}; as root, apt-get update && '
            f'apt-get install -y {" ".join(packages.values())} (or what your '
            'system calls these packages)')


def _is_tested(machine):
    return (machine.system, machine.processor) == ('Linux', 'x86_64')


def note(machine, other=''):
    """What the user should know of a `machine` that may do, or None."""
    if not _is_tested(machine) and other:
        return ('this was tried on Linux on x86-64 only, and not with every '
                'MXNet')
    if not _is_tested(machine):
        return (f'MXNet 1.9.1 has a wheel for {machine.system} on '
                f'{machine.processor}, but it was not tried here')
    if machine.python == (3, 13):
        return 'Python 3.13 is experimental, 3.9 to 3.12 are tested'
    return None


def main(other=''):
    """Print the sentence, if there is one; the exit code."""
    machine = this_machine()
    error = problem(machine, other)
    if error:
        sys.stderr.write(f'error: {error}\n')
    elif note(machine, other):
        sys.stderr.write(f'note: {note(machine, other)}\n')
    return 1 if error else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:2]))

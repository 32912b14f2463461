"""Errors whose message is meant for the reader: one line, and what to do."""


class ChapterError(Exception):
    """Base of the errors that a script reports without a traceback.

    Its arguments are the lines of its message.
    """

    def __str__(self):
        return '\n'.join(map(str, self.args))


class CheckpointError(ChapterError):
    """A checkpoint cannot be saved, or is not one of this run."""


class DataError(ChapterError):
    """The data cannot be found, or is not what it should be."""


class DeviceError(ChapterError):
    """The device that was asked for cannot be used."""


class DisplayError(ChapterError):
    """There is no display to show figures on, or no figure to save."""


class FolderError(ChapterError):
    """Nothing can be written into a folder for results."""


class NonFiniteLossError(ChapterError):
    """Training has diverged: the loss is no longer a finite number."""


def in_a_line(error):
    """What to tell of an `error` in one line."""
    if isinstance(error, ChapterError):
        return ' '.join(str(error).split())
    return f'{type(error).__name__}: {error}'.strip().splitlines()[0]


def printable(text):
    """`text` in one line, with escapes for what a terminal would obey."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

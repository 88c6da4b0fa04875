"""The process of the command line: `optbench` and `python -m optbench`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line on this process's arguments and standard streams. Ctrl-C ends it with 130, also while it
    imports and while the interpreter ends."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    search_working_folder_last()
    from optbench.cli import app, streams

    streams.guard_streams()
    interrupts: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    if interruptible:
        signal.signal(signal.SIGINT, interrupt)
    try:
        app.main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseException as error:  # libraries turn an interruption into errors of many kinds
        if not interrupts or (isinstance(error, SystemExit) and error.code in (None, 0, 143)):
            raise
        sys.exit(130)
    finally:
        if interruptible:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def search_working_folder_last() -> None:
    """Move the working folder, which `python -m` puts first, behind everything installed: a file of the user's called
    torch.py hides no package. A folder that holds optbench itself stays first."""
    if os.path.isdir(".") and sys.path[:1] == [os.getcwd()] and not os.path.isdir("optbench"):
        sys.path.append(sys.path.pop(0))


if __name__ == "__main__":  # worker processes import this module under another name
    main()

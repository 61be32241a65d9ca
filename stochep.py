"""The front door: `stochep claims`, `bias`, `train`, `certify`, `sweep`, `figures`, `data`. Arguments in, exit codes out.

Exit codes: 0 fine, 1 a run or check failed, 2 usage or bad input. Results go to stdout, all else to stderr. The sub-commands are
in `commands/`, the work in the packages.
"""

from __future__ import annotations

import os
import sys

from cyclopts import App, CycloptsError, UnusedCliTokensError

from commands.bias import bias
from commands.claims import claims
from commands.completion import completion
from commands.data import data
from commands.examples import shown
from commands.figures import figures
from commands.streams import FAILED, complain, console, refuse, unreadable
from commands.sweep import sweep
from commands.train import certify, train


def _version() -> str:
    from importlib.metadata import version

    return version("stochep")


app = App(
    name="stochep",
    version=_version,
    help="Theory and verification of stochastic equilibrium propagation.",
    help_format="plaintext",
    help_epilogue=shown(""),
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for group in (claims, data, completion(app)):
    app.command(group)
for command in (bias, train, certify, sweep, figures):
    app.command(command, help_epilogue=shown(command.__name__))


def main() -> None:
    """Run one command line and exit."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # who read the results has left, as head does: what is still to be written goes nowhere, without a complaint at exit
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        code = FAILED
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    if odd := next(filter(unreadable, arguments), None):
        return refuse(f"the argument {odd!r} is no text: it holds a NUL character or is not UTF-8")
    try:
        return app(arguments, console=console()) or 0
    except UnusedCliTokensError as error:
        command = " ".join(("stochep", *(error.command_chain or ())))
        return refuse(
            f"{command} has no use for {' '.join(error.unused_tokens or ())!r}: {command} --help says what it takes"
        )
    except CycloptsError as error:
        return refuse(error)
    except KeyboardInterrupt:
        return complain("interrupted; what is finished is kept, and a training goes on with --resume")


if __name__ == "__main__":
    main()

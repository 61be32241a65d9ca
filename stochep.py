"""The front door: `stochep claims`, `bias`, `train`, `figures`, `data`. Arguments in, exit codes out; the work is in the packages.

Exit codes: 0 fine, 1 a run or check failed, 2 usage or bad input. Results go to stdout, all else to stderr. The sub-commands are
in `commands/`.
"""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError

from commands.bias import bias
from commands.claims import claims
from commands.data import data
from commands.figures import figures
from commands.streams import FAILED, refuse
from commands.train import certify, train

app = App(
    name="stochep",
    help="Theory and verification of stochastic equilibrium propagation.",
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.command(data)
app.command(claims)
for command in (train, certify, bias, figures):
    app.command(command)


def main() -> None:
    """Run one command line and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code of one command line."""
    try:
        return app(arguments) or 0
    except CycloptsError as error:
        return refuse(error)
    except KeyboardInterrupt:
        print("stochep: interrupted; a training goes on with --resume", file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    main()

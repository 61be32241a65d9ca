"""`stochep completion`: the Tab key completes commands and options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from cyclopts import App

from commands.examples import shown
from commands.streams import complain, refuse

Shell = Literal["bash", "zsh", "fish"]
# what looks for completions as a zsh begins; oh-my-zsh and others call it themselves
COMPINIT = "autoload -Uz compinit && compinit"
WHICH = "which shell this is cannot be told: name it with --shell bash, zsh or fish"


def completion(root: App) -> App:
    """The sub-command for an app."""
    own = App(
        name="completion", help="Let the Tab key complete commands and options.", help_epilogue=shown("completion")
    )

    @own.command(help_epilogue=shown("completion install"))
    def install(*, shell: Shell | None = None) -> int:
        """Write the completion script where the shell looks for it, and print its path.

        For bash and zsh lines in ~/.bashrc or ~/.zshrc load it, added unless they are there; a new shell then completes.

        Parameters
        ----------
        shell
            The shell that this is typed into unless given.
        """
        from cyclopts.completion import ShellDetectionError
        from cyclopts.completion.detect import detect_shell

        try:
            chosen = shell or detect_shell()
            path = root.install_completion(shell=chosen)
            if chosen == "zsh":
                _call_compinit(Path.home() / ".zshrc")
        except ShellDetectionError:
            return refuse(WHICH)
        except (OSError, RuntimeError) as error:
            return complain(f"the completion script cannot be written: {error}")
        print(path)
        print("stochep: open a new shell, and the Tab key completes", file=sys.stderr)
        return 0

    @own.command(help_epilogue=shown("completion show"))
    def show(*, shell: Shell | None = None) -> int:
        """Print the completion script.

        Parameters
        ----------
        shell
            The shell that this is typed into unless given.
        """
        from cyclopts.completion import ShellDetectionError

        try:
            print(root.generate_completion(shell=shell))
        except ShellDetectionError:
            return refuse(WHICH)
        return 0

    # the name under which other programs have it
    root.command(install, name="--install-completion", show=False)
    return own


def _call_compinit(start: Path) -> None:
    """Add the call to the end of a .zshrc, unless the file speaks of it or leaves it to oh-my-zsh."""
    text = start.read_text(encoding="utf-8", errors="surrogateescape") if start.exists() else ""
    if "compinit" not in text and "oh-my-zsh" not in text:
        with start.open("a", encoding="utf-8") as file:
            file.write(f"{COMPINIT}\n" if text.endswith("\n") or not text else f"\n{COMPINIT}\n")

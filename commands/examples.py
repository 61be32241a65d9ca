"""Examples for the help texts: command lines that run as they stand in a checkout, and what each is for."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("claims list B5", "what a theorem says"),
        ("claims check B5 --instances 1000 --seed 7", "check it on draws of your own"),
        ("bias --temperatures 0.5 1 2", "how far gradients are off"),
        ("train experiments/digits_stochastic.toml", "spikes learn the digits"),
        ("sweep experiments/bias_sweep.toml", "a grid of gradient errors"),
        ("figures gradient_bias", "compute and draw a figure"),
        ("completion install", "complete commands with the Tab key"),
    ),
    "claims": (
        ("claims list", "all theorems"),
        ("claims check A4 B7b", "two of them, against exact enumeration"),
        ("claims compare --json", "learning rules side by side"),
    ),
    "claims list": (
        ("claims list", "all theorems"),
        ("claims list A4 B7b", "two of them"),
        ("claims list --json", "for a program"),
    ),
    "claims check": (
        ("claims check", "all, which takes minutes"),
        ("claims check B5 --instances 1000 --seed 7", "one, on draws of your own"),
        ("claims check A4 B7b --json", "two, for a program"),
    ),
    "claims compare": (
        ("claims compare --networks 3-2 4-3-2", "on two networks of your choice"),
        ('claims compare --rules FRE "coupled StochEP"', "two rules alone"),
        ("claims compare --temperatures 1 2 --budget 1e5 --json", "for a program"),
    ),
    "bias": (
        ("bias --temperatures 0.5 1 2 --nudgings 0.1 0.5", "of a random network"),
        ("bias --couplings my.npz --out bias", "of your own, with a picture"),
        ("bias --recommend --error 0.1 --couplings my.npz", "the cheapest way to 10 %"),
    ),
    "train": (
        ("train experiments/digits_stochastic.toml", "every seed of the file"),
        ("train experiments/digits_stochastic.toml --seed 3 --resume", "one, from its checkpoint"),
        ("train experiments/digits_stochastic.toml --set training.epochs=5", "shorter"),
    ),
    "certify": (
        ("certify results/digits_stochastic/0", "a recorded network"),
        ("certify results/digits_stochastic/0 --images 4 --json", "for a program"),
    ),
    "sweep": (
        ("sweep experiments/bias_sweep.toml", "a grid of gradient errors; again, to go on"),
        ("sweep experiments/bias_sweep.toml --set seeds=[0] --workers 1", "less of it"),
        ("sweep experiments/bias_sweep.toml --cluster tcp://HOST:8786", "on a dask cluster"),
    ),
    "figures": (
        ("figures", "all that have changed, side by side"),
        ("figures gradient_bias --anew --out drawn", "one, whatever stands there"),
        ("figures --workers 1 --json", "one after another, for a program"),
    ),
    "data": (
        ("data list", "what is here, and how to get the rest"),
        ("data check", "read it and compare"),
    ),
    "data list": (
        ("data list", "what is here, and how to get the rest"),
        ("data list --data-dir . --json", "look in a folder first, for a program"),
    ),
    "data check": (
        ("data check", "all that is here"),
        ("data check fashion_mnist", "one of them, which has to be here"),
        ("data check --data-dir . --json", "look in a folder first, for a program"),
    ),
    "completion": (
        ("completion install", "for the shell that this is typed into"),
        ("completion show --shell bash", "only print the script"),
    ),
    "completion install": (
        ("completion install", "for the shell that this is typed into"),
        ("completion install --shell zsh", "for another one"),
    ),
    "completion show": (
        ("completion show --shell bash", "for instance to read it"),
        ("completion show --shell fish", "for another shell"),
    ),
}


def shown(command: str) -> str:
    """The examples of a command as its help ends with them."""
    lines = [(f"stochep {line}", purpose) for line, purpose in EXAMPLES[command]]
    # wider lines stand alone, so that a narrow terminal does not break them
    width = max(len(line) for line, _ in lines)
    if width + 6 + max(len(purpose) for _, purpose in lines) <= 78:
        return "\n".join(["Examples:", *(f"  {line:{width}}  # {purpose}" for line, purpose in lines)])
    return "\n".join(["Examples:", *(f"  # {purpose}\n  {line}" for line, purpose in lines)])

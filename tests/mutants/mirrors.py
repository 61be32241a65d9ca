"""Which test file is held against which module.

Main results: PACKAGES, modules, mirror.

A module is held against tests/PACKAGE/…/test_MODULE.py, else against the file of the package that it stands in
(tests/meanfield/test_derivations.py for meanfield/derivations/energy.py), else against those named here.
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGES = ("meanfield", "dynamics", "proofs_numeric")

SAMPLERS = ("tests/dynamics/test_steps.py", "tests/dynamics/test_samplers.py")
NAMED: dict[str, tuple[str, ...]] = {
    "meanfield/equations.py": ("tests/meanfield/test_derivations.py",),
    "meanfield/bounds": ("tests/meanfield/bounds/test_hypotheses.py",),
    "meanfield/symbols.py": ("tests/meanfield/test_derivations.py",),
    "dynamics/activations.py": ("tests/test_kernels.py", *SAMPLERS),
    "dynamics/forces.py": ("tests/test_kernels.py", *SAMPLERS),
    "dynamics/kernel.py": ("tests/dynamics/test_kernel_cache.py", "tests/test_kernels.py"),
    "dynamics/leaky.py": ("tests/dynamics/test_panels.py", *SAMPLERS),
    "dynamics/little.py": ("tests/dynamics/test_panels.py", *SAMPLERS),
    "dynamics/logit.py": ("tests/dynamics/test_panels.py",),
    "dynamics/philox.py": SAMPLERS[:1],
    **{f"dynamics/{name}.py": SAMPLERS for name in ("block", "glauber", "langevin", "phases", "relax")},
    "dynamics/crnn/architecture.py": ("tests/dynamics/crnn/test_network.py", "tests/dynamics/crnn/test_config.py"),
    "dynamics/crnn/checkpoint.py": ("tests/dynamics/crnn/test_train.py",),
    "dynamics/datasets/__init__.py": ("tests/dynamics/datasets/test_digits.py",),
    "dynamics/datasets": ("tests/dynamics/datasets/test_files.py", "tests/dynamics/datasets/test_saccades.py"),
    "dynamics/crnn/readout.py": ("tests/dynamics/crnn/test_network.py",),
    "dynamics/crnn/network.py": ("tests/dynamics/crnn/test_learning.py", "tests/dynamics/crnn/test_train.py"),
    "dynamics/crnn/result.py": ("tests/dynamics/crnn/test_certificate.py", "tests/dynamics/crnn/test_train.py"),
    "dynamics/crnn/run.py": ("tests/dynamics/crnn/test_train.py",),
    "dynamics/crnn/relaxation.py": ("tests/dynamics/crnn/test_network.py", "tests/dynamics/crnn/test_learning.py"),
    "proofs_numeric/__init__.py": ("tests/proofs_numeric/test_claim.py", "tests/proofs_numeric/test_rigorous.py"),
    "proofs_numeric/claims": ("tests/test_claims.py", "tests/test_recorded.py"),
    "proofs_numeric/comparators": ("tests/test_claims.py", "tests/test_recorded.py"),
    "proofs_numeric/balls/claims": ("tests/test_claims.py", "tests/test_recorded.py"),
}
# Modules that write machine code: their mutants are compiled, and met by their own tests alone (others keep old machine code).
GENERATORS = ("dynamics/crnn/patches.py", "dynamics/tiles.py")
# The generated text is compared with the derivations elsewhere: a comparison that sees every edit says nothing of the others.
LEFT_OUT = {"meanfield/equations.py": ("test_committed_equations_are_what_the_derivations_give",)}


def modules(package: str, root: Path) -> list[str]:
    """The modules of a package that hold code, not only imports."""
    found = sorted(path for path in (root / package).rglob("*.py") if "__pycache__" not in path.parts)
    return [path.relative_to(root).as_posix() for path in found if _has_code(path)]


def _has_code(path: Path) -> bool:
    """Whether there is more than imports, strings and lists of names."""
    idle = (ast.Import, ast.ImportFrom, ast.Expr)
    return any(
        not isinstance(node, idle) and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in ast.parse(path.read_text()).body
    )


def mirror(module: str, root: Path) -> tuple[str, ...]:
    """The test files of a module, its own and the named ones."""
    path = Path(module)
    own = [
        Path("tests", *path.parts[:-1], f"test_{path.stem}.py"),
        Path("tests", *path.parts[:-2], f"test_{path.parts[-2]}.py"),
    ]
    found = [test.as_posix() for test in own if (root / test).exists()][:1]
    named = [test for key in (module, path.parent.as_posix()) for test in NAMED.get(key, ())]
    return tuple(dict.fromkeys([*found, *named]))

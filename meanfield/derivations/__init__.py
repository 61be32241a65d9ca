"""SymPy derivations: energy → field → self-consistency → Onsager term → response → estimator bias → STDP form.

Each module types in definitions only and obtains the rest by differentiating, summing and solving; `python -m
meanfield.derivations` (make derive) lowers the catalogue to meanfield/equations.py.
"""

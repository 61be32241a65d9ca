"""The mutants of a module: mutmut's for undecorated functions, cosmic-ray's for all other code.

Main results: Mutant, mutants_of.

mutmut skips every decorated function and all code outside functions; those are cosmic-ray's here: kernels, claims,
properties, constants. Left out, because no test could or should notice, or because any would:

- docstrings and annotations;
- an operator replaced by one of another family (bitwise for arithmetic, `is` for `==`): on floats it raises or warns,
  which any test sees;
- what stands in a decorator, as mutmut has it too: the domain, the number of instances and the falsifiers' networks of a
  claim say where to look, not what is claimed; that a decorator is there at all is tested, but for @kernel, the identity
  without the compiler;
- what does not compile, and duplicates.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

import libcst
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.operators.operator import Operator
from cosmic_ray.operators.provider import OperatorProvider
from cosmic_ray.operators.remove_decorator import RemoveDecorator
from libcst.metadata import MetadataWrapper, WhitespaceInclusivePositionProvider
from mutmut.mutation.file_mutation import create_mutations
from parso.tree import NodeOrLeaf

FAMILIES = (
    ("Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"),
    ("RShift", "LShift", "BitOr", "BitAnd", "BitXor"),
    ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"),
    ("Is", "IsNot"),
)
REPLACEMENTS = ("ReplaceBinaryOperator_", "ReplaceComparisonOperator_")
# a free variable put in place of another needs their names as arguments: not a plain operator
NEED_ARGUMENTS = ("VariableReplacer", "VariableInserter")


@dataclass(frozen=True)
class Mutant:
    """One edit of one module: lines `first` … of the source, `before`, become `after`.

    scope: the outermost function or class around it, "" for module level, and span its lines; in_body: whether it runs only
    when that function is called and no result is cached, so that a test that never enters the function cannot notice.
    """

    path: str
    tool: str
    scope: str
    in_body: bool
    span: tuple[int, int]
    first: int
    before: tuple[str, ...]
    after: tuple[str, ...]
    occurrence: int = 0

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What names a mutant whatever its line: module, scope, original text, mutated text."""
        return self.path, self.scope, _squeezed(self.before), _squeezed(self.after)

    def rank(self, seed: int) -> str:
        """A pseudo-random key: the n smallest of all mutants are a uniform sample, which other modules hardly move."""
        return hashlib.sha256(repr((seed, *self.identity, self.occurrence)).encode()).hexdigest()

    def apply(self, source: str) -> str:
        """The mutated source."""
        lines = source.splitlines()
        kept = lines[: self.first - 1], lines[self.first - 1 + len(self.before) :]
        return "\n".join([*kept[0], *self.after, *kept[1]]) + "\n"


def _squeezed(lines: tuple[str, ...]) -> str:
    return " ".join(" ".join(lines).split())


def mutants_of(source: str, path: str) -> list[Mutant]:
    """All mutants of a module's source, in the order of its lines."""
    scopes = _scopes(ast.parse(source))
    whole = _Scope("", 1, len(source.splitlines()), 1, False)
    found: list[Mutant] = []
    seen: set[tuple[int, tuple[str, ...], tuple[str, ...]]] = set()
    occurrences: dict[tuple[str, ...], int] = {}
    for tool, mutated in [*_mutmut(path, source), *_cosmic_ray(source)]:
        first, before, after = edit = _difference(source, mutated)
        if edit in seen or before == after:
            continue
        seen.add(edit)
        scope = next((s for s in scopes if s.first <= first <= s.last), whole)
        in_body = scope.function and not scope.cached and first >= scope.body
        mutant = Mutant(path, tool, scope.name, in_body, (scope.first, scope.last), first, before, after)
        occurrences[mutant.identity] = occurrences.get(mutant.identity, -1) + 1
        found.append(replace(mutant, occurrence=occurrences[mutant.identity]))
    return sorted(found, key=lambda mutant: mutant.first)


@dataclass(frozen=True)
class _Scope:
    name: str
    first: int
    last: int
    body: int
    function: bool
    decorated: bool = False
    cached: bool = False


def _scopes(tree: ast.Module) -> list[_Scope]:
    """Functions and methods first, then the classes around them."""
    functions, classes = [], []
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        functions += [_scope(m, prefix) for m in members if isinstance(m, (ast.FunctionDef, ast.AsyncFunctionDef))]
        if isinstance(node, ast.ClassDef):
            classes.append(_scope(node, ""))
    return functions + classes


def _scope(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, prefix: str) -> _Scope:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    plain = all(isinstance(d, ast.Name) and d.id in ("staticmethod", "classmethod") for d in node.decorator_list)
    function = not isinstance(node, ast.ClassDef)
    # a one-line function's body stands on the line of its defaults
    body = max(node.body[0].lineno, node.lineno + 1)
    cached = any("cache" in ast.unparse(decorator) for decorator in node.decorator_list)
    return _Scope(prefix + node.name, first, node.end_lineno or first, body, function, not plain, cached)


def _compiles(snippet: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            compile(snippet, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _difference(source: str, mutated: str) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """The changed lines, as one block: first line number, before, after."""
    old, new = source.splitlines(), mutated.splitlines()
    shorter = min(len(old), len(new))
    start = sum(1 for _ in takewhile(lambda k: old[k] == new[k], range(shorter)))
    end = sum(1 for _ in takewhile(lambda k: old[-1 - k] == new[-1 - k], range(shorter - start)))
    return start + 1, tuple(old[start : len(old) - end]), tuple(new[start : len(new) - end])


def _mutmut(path: str, source: str) -> Iterator[tuple[str, str]]:
    """mutmut's mutations of undecorated functions: the text of one node replaced."""
    module, mutations, _, _ = create_mutations(path, source)
    spans = MetadataWrapper(module, unsafe_skip_copy=True).resolve(WhitespaceInclusivePositionProvider)
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for mutation in mutations:
        if isinstance(mutation.contained_by_top_level_function, libcst.FunctionDef):
            span = spans[mutation.original_node]
            begin, end = (starts[place.line - 1] + place.column for place in (span.start, span.end))
            yield "mutmut", source[:begin] + module.code_for_node(mutation.mutated_node) + source[end:]


def _cosmic_ray(source: str) -> Iterator[tuple[str, str]]:
    """cosmic-ray's mutations of every top-level statement, where mutmut has none."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    annotated, decorators = _annotations(tree), _decorators(tree)
    plain = [scope for scope in _scopes(tree) if scope.function and not scope.decorated]
    provider = OperatorProvider()
    operators = [provider[name]() for name in provider if name not in NEED_ARGUMENTS and _one_family(name)]
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        last = node.end_lineno or first
        snippet = "".join(lines[first - 1 : last])
        whole = get_ast(snippet)
        for part, operator in itertools.product(list(ast_nodes(whole)), operators):
            for index, (start, _) in enumerate(operator.mutation_positions(part)):
                where = (start[0] + first - 1, start[1])
                if any(s.first <= where[0] <= s.last for s in plain) or any(a <= where < b for a, b in annotated):
                    continue
                if any(a <= where < b for a, b in decorators) and not (
                    isinstance(operator, RemoveDecorator) and not lines[where[0] - 1].startswith("@kernel(")
                ):
                    continue
                changed = _mutated(whole, part, operator, index)
                if _compiles(changed):
                    yield "cosmic-ray", "".join([*lines[: first - 1], changed, *lines[last:]])


def _mutated(whole: NodeOrLeaf, part: NodeOrLeaf, operator: Operator, index: int) -> str:
    """The text with one part mutated; the tree is put back afterwards, since parsing it again takes most of the time."""
    family = [part.parent, part, *getattr(part, "children", [])]
    children = [(node, list(node.children)) for node in family if hasattr(node, "children")]
    values = [(node, node.value) for node in family if hasattr(node, "value")]
    replacement = operator.mutate(part, index)
    if replacement is not part:
        siblings = part.parent.children
        place = siblings.index(part)
        siblings[place : place + 1] = [] if replacement is None else [replacement]
    text = whole.get_code()
    for node, before in children:
        node.children[:] = before
    for node, value in values:
        node.value = value
    return text


def _one_family(name: str) -> bool:
    """Whether a replacement of an operator stays among operators that take the same operands."""
    prefix = next((start for start in REPLACEMENTS if name.startswith(start)), None)
    if prefix is None:
        return True
    old, new = name.removeprefix(prefix).split("_")
    return any(old in family and new in family for family in FAMILIES)


def _decorators(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where decorators stand, from their @ to their end."""
    found = [part for node in ast.walk(tree) for part in getattr(node, "decorator_list", [])]
    return [((p.lineno, p.col_offset - 1), (p.end_lineno or 0, p.end_col_offset or 0)) for p in found]


def _annotations(tree: ast.Module) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    found = [getattr(node, field, None) for node in ast.walk(tree) for field in ("annotation", "returns")]
    return [
        ((part.lineno, part.col_offset), (part.end_lineno or 0, part.end_col_offset or 0))
        for part in found
        if part is not None
    ]

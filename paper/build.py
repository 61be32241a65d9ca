"""Build paper/generated/paper.pdf: check every claim, write what the paper's tables and pictures read, compile.

Run from the repository root: `python -m paper.build [--instances N] [--seed S] [--claims FILE]`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

from paper import remarks, runs

ROOT = Path(__file__).resolve().parent.parent
CLAIMS_FILE = ROOT / "paper" / "generated" / "claims.json"
RUNS_FILE = CLAIMS_FILE.with_name("runs.json")
REMARKS_FILE = CLAIMS_FILE.with_name("remarks.json")
COMPARED_FILE = CLAIMS_FILE.with_name("comparators.json")
PDF = CLAIMS_FILE.with_name("paper.pdf")
CHECKED_PACKAGES = ("meanfield", "dynamics", "proofs_numeric")
TIMESTAMP = 1_767_225_600  # 2026-01-01T00:00:00Z; any constant makes the PDF reproducible to the byte


def source_digest() -> str:
    """SHA-256 over the names and contents of the sources that the verdicts depend on."""
    digest = hashlib.sha256()
    for package in CHECKED_PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def run_claims(*, instances: int | None, seed: int) -> dict:
    """Check every registered claim."""
    from proofs_numeric import CLAIMS, check

    records = []
    for position, (label, claim) in enumerate(CLAIMS.items(), start=1):
        print(f"[{position}/{len(CLAIMS)}] {label}: {claim.title}", file=sys.stderr)
        record = check(label, instances=instances, seed=seed).record()
        records.append(record | {"statement": claim.statement, "hypotheses": claim.hypotheses})
    return {"sources": source_digest(), "instances": instances, "seed": seed, "claims": records}


def reuse_claims(path: Path) -> dict:
    """The record in `path`, refused when the sources have changed since it was written."""
    record = json.loads(path.read_text(encoding="utf-8"))
    if record.get("sources") != source_digest():
        raise SystemExit(f"{path} was written by other sources than these: run python -m paper.build without --claims")
    return record


def compared(*, seed: int) -> dict:
    """Learning rules side by side, as `stochep claims compare` has them: budget in relaxations and a line a rule."""
    from proofs_numeric.comparators import harness

    budget = 1e4
    return {
        "budget": budget,
        "gain": harness.GAIN,
        "nudging": harness.NUDGING,
        "networks": len(harness.NETWORKS),
        "rules": harness.summary(harness.compare(seed=seed), budget=budget),
    }


def compile_paper() -> None:
    """Typeset paper/main.typ with the fonts that typst ships and a fixed date."""
    import typst

    typst.compile(
        ROOT / "paper" / "main.typ", root=ROOT, output=PDF, format="pdf", ignore_system_fonts=True, timestamp=TIMESTAMP
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m paper.build", description="Build paper/generated/paper.pdf.")
    parser.add_argument("--instances", type=int, help="random instances a claim, in place of the claim's own number")
    parser.add_argument("--seed", type=int, default=0, help="seed of the instances (default %(default)s)")
    parser.add_argument("--claims", type=Path, metavar="FILE", help="reuse this record if it is up to date")
    arguments = parser.parse_args()
    if arguments.claims is None:
        record = run_claims(instances=arguments.instances, seed=arguments.seed)
    else:
        record = reuse_claims(arguments.claims)
    CLAIMS_FILE.parent.mkdir(parents=True, exist_ok=True)
    documents = {
        CLAIMS_FILE: record, RUNS_FILE: runs.record(), REMARKS_FILE: remarks.record(),
        COMPARED_FILE: compared(seed=arguments.seed),
    }  # fmt: skip
    for path, document in documents.items():
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    runs.draw(RUNS_FILE.parent)
    compile_paper()
    print(PDF.relative_to(ROOT))


if __name__ == "__main__":
    main()

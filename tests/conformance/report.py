"""What a walk found, as tables: on the terminal and in `docs/fidelity.md`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from rescore_db.harness.environment import environment
from tests.conformance.outcome import KINDS, VERDICTS, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN_NAMES = 4  # of the names that one reason stands for
SHOWN_REASON = 150  # characters


def totals(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a Markdown table of verdicts by kind."""
    counts = Counter((one.kind, one.verdict) for one in outcomes)
    lines = [f"| kind | {' | '.join(VERDICTS)} |", "|---|" + "---:|" * len(VERDICTS)]
    for kind in KINDS:
        row = [counts[kind, verdict] for verdict in VERDICTS]
        if any(row):
            lines.append(f"| {kind} | {' | '.join(map(str, row))} |")
    row = [sum(one.verdict == verdict for one in outcomes) for verdict in VERDICTS]
    return [*lines, f"| **all** | {' | '.join(f'**{count}**' for count in row)} |"]


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the totals, and all that differs, as text for the terminal."""
    different = [f"DIFFERENT {one.name}: {one.reason}" for one in _of("different", outcomes)]
    return "\n".join([*totals(outcomes), *different])


def fidelity(outcomes: Sequence[Outcome], everything: int) -> str:
    """Return the content of `docs/fidelity.md`.

    Args:
        outcomes: what was walked.
        everything: how many names the registry has.
    """
    here = environment()
    tasks = [one for one in outcomes if one.kind not in ("group", "tag")]
    built = sum(one.is_built for one in tasks)
    walked = (
        f"All {everything:,} names of the registry"
        if len(outcomes) == everything
        else f"{len(outcomes):,} of the registry's {everything:,} names (the walk was not finished)"
    )
    parts = [
        HEAD.format(
            walked=walked,
            lm_eval=here["lm_eval"],
            python=here["python"],
            numpy=here["numpy"],
            tasks=f"{len(tasks):,}",
            built=f"{built:,}",
            share=f"{built / max(1, len(tasks)):.1%}",
            exercised=f"{sum(one.verdict == 'identical' for one in tasks):,}",
            different=f"{len(_of('different', outcomes)):,}",
        ),
        "\n".join(totals(outcomes)),
        _section("Different", DIFFERENT, _of("different", outcomes)),
        _section("Unsupported", UNSUPPORTED, _of("unsupported", outcomes)),
        _section("Built only", BUILT_ONLY, _of("built only", outcomes)),
        _families(tasks),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


HEAD = """\
# Fidelity: what was compared, task by task

<!-- Written by `python -m tests.conformance --write`; a change here is lost. -->

{walked} of lm-eval {lm_eval} were walked (Python {python}, numpy {numpy}; nothing installed but \
what rescore_db needs). Of {tasks} tasks {built} ({share}) build without their datasets, \
{exercised} were evaluated by lm-eval on made documents and rescored to the same bits, \
{different} names differ.

For each name: `python -m tests.conformance` builds the task offline, makes documents that its \
templates and functions accept, lets lm-eval's own `simple_evaluate` run on them with a model that \
answers by dice, and lets lm-eval's tracker write the logs. The logs are ingested into a store; \
another process rescores them from the store alone. Filtered responses, targets, every sample's \
metrics, aggregates, standard errors and group metrics are compared by type and bits with what \
lm-eval held in memory, and the rebuilt config with the logged one. Names are taken in batches, \
each a cut through all families.

* **identical**: everything is equal. A tag or group is evaluated as a whole, with its members' \
overrides.
* **built only**: it builds, but no documents could be made that its code, or lm-eval, accepts.
* **unsupported**: it cannot be built or scored here, with the reason.
* **different**: a number differs."""
DIFFERENT = "Each of these is a bug."
UNSUPPORTED = "By reason, each with the names that it stands for."
BUILT_ONLY = "By the error of lm-eval or of the task's code that the best documents ended with."


def _of(verdict: str, outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [one for one in outcomes if one.verdict == verdict]


def _section(title: str, text: str, outcomes: Sequence[Outcome]) -> str:
    """Return a list of reasons, each with the families and names that it is the reason of."""
    if not outcomes:
        return ""
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in outcomes:
        by_reason[one.family, _shortened(one.reason, one.name)].append(one.name)
    lines = [
        f"* `{family}`: {_named(names)}: {reason}"
        for (family, reason), names in sorted(by_reason.items())
    ]
    return f"## {title}\n\n{text}\n\n" + "\n".join(lines)


def _shortened(reason: str, name: str) -> str:
    """Cut what belongs to one machine or one name out of a reason."""
    text = re.sub(r"\S*/lm_eval/tasks/\S+ ", "", reason).replace(f"{name}: ", "")
    text = re.sub(rf"\b{re.escape(name)}\b", "…", re.sub(r"/\S*/", "", text))
    text = re.sub(r"^TaskError: ", "", text).replace("|", "\\|").replace("<", "&lt;")
    return text if len(text) <= SHOWN_REASON else text[: SHOWN_REASON - 1] + "…"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:SHOWN_NAMES])
    more = len(names) - SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _families(tasks: Sequence[Outcome]) -> str:
    """Return a table of families: identical of all tasks."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for one in tasks:
        counts[one.family][one.verdict] += 1
    rows = [
        f"{family} {found['identical']}/{found.total()}" for family, found in sorted(counts.items())
    ]
    whole = [row for row in rows if len(set(row.rpartition(" ")[2].split("/"))) == 1]
    part = [row for row in rows if row not in whole]
    text = "Identical tasks of all tasks, by the folder that defines them."
    return (
        f"## Families\n\n{text}\n\nEvery task: {', '.join(whole)}.\n\n"
        f"Some or none: {', '.join(part)}."
    )

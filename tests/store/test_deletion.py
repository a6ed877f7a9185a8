"""What goes with runs and scorings, on both databases: all that only they have, nothing else."""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from rescore_db import subsets
from rescore_db.errors import NotFoundError, UsageError
from rescore_db.ingest import ingest_paths
from rescore_db.ingest.filling import SamplesIngest
from rescore_db.managing import delete_runs, delete_scorings
from rescore_db.store import content, deletion, labels, recipes, schema, scores, scorings
from rescore_db.store.bulk import lock_content
from rescore_db.store.engine import atomic, open_engine, reading
from rescore_db.store.predicates import matching_docs
from rescore_db.store.references import find_run
from tests.ingest.logs import Log, choices, sums, sums_line
from tests.store.whole import contents, orphans, unused

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

HERON, WREN = "tern-ai/heron-7b", "larch/wren-1b"
LATER = "2026-02-01T09-30-00.000101"


def prompt(number: int) -> dict[str, Any]:
    return {"gen_args_0": {"arg_0": f"Q {number}", "arg_1": {"until": ["x"]}}}


FIRST = Log({"sums": sums(), "choices": choices()})
OTHERS = {
    "the same docs": replace(FIRST, model=HERON),
    "some of the docs": Log({"sums": sums(2), "choices": choices(9)}, model=HERON),
    "other docs": Log({"sums": [sums_line(n, "strict") for n in range(50, 60)]}, model=HERON),
    "other prompts": Log(
        {"sums": [sums_line(n, "strict", arguments=prompt(n)) for n in range(4)]}, model=HERON
    ),
    "another task": Log({"more": choices()}, model=HERON),
    "another date": replace(FIRST, date=LATER),
    "no results": Log({"sums": sums(3)}, results=None, model=HERON),
}


def take(engine: Engine, folder: Path, log: Log) -> int:
    """Ingest one log from a folder of its own; return the run's id."""
    log.write(folder)
    report = ingest_paths(engine, [str(folder)])
    assert not report.errors
    return report.runs[-1]


def rows(engine: Engine, name: str) -> int:
    with reading(engine) as conn:
        table = schema.metadata.tables[name]
        return conn.scalar(select(func.count()).select_from(table)) or 0


# -------------------------------------------------------------------------------------- contents


@pytest.mark.parametrize("other", OTHERS)
def test_what_came_with_a_run_goes_with_it(engine: Engine, tmp_path: Path, other: str) -> None:
    take(engine, tmp_path / "a", FIRST)
    alone = contents(engine)
    second = take(engine, tmp_path / "b", OTHERS[other])
    assert contents(engine) != alone

    gone = delete_runs(engine, [str(second)])

    assert contents(engine) == alone
    assert gone.runs == (second,)
    assert gone.kept_docs == 0


@pytest.mark.parametrize("other", OTHERS)
def test_a_run_that_came_first_can_go_and_come_again(
    engine: Engine, tmp_path: Path, other: str
) -> None:
    first = take(engine, tmp_path / "a", FIRST)
    take(engine, tmp_path / "b", OTHERS[other])
    both = contents(engine)

    delete_runs(engine, [str(first)])

    assert orphans(engine) == unused(engine) == []
    take(engine, tmp_path / "a", FIRST)
    assert contents(engine) == both


def test_nothing_is_left_of_the_last_runs(engine: Engine, tmp_path: Path) -> None:
    empty = contents(engine)
    runs = [take(engine, tmp_path / name, log) for name, log in OTHERS.items()]

    gone = delete_runs(engine, [str(run_id) for run_id in runs])

    assert set(gone.runs) == set(runs)
    assert contents(engine) == empty


def test_a_plan_tells_what_a_deletion_does_and_changes_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    take(engine, tmp_path / "a", FIRST)
    second = take(engine, tmp_path / "b", OTHERS["some of the docs"])
    before = contents(engine)

    plan = delete_runs(engine, [HERON], dry_run=True)

    assert contents(engine) == before
    gone = delete_runs(engine, [HERON])
    assert plan == replace(gone, dry_run=True)
    assert (plan.runs, plan.evaluations, plan.samples) == ((second,), 2, 11)
    assert (plan.docs, plan.prompts, plan.rows["doc"]) == (5, 5, 5)
    assert plan.names == (f"run {second} ({HERON}@2026-01-05T09:30:00.000101)",)
    assert all(plan.rows.values())


def test_what_hangs_on_a_run_by_no_foreign_key_goes_too(engine: Engine, tmp_path: Path) -> None:
    run_id = take(engine, tmp_path, FIRST)
    with atomic(engine) as conn:
        evaluation_id = conn.scalar(select(func.min(schema.evaluation.c.id)))
        bad = {"number": 3, "reason": "cut", "size": 4, "content": b"{\xff}"}
        conn.execute(schema.quarantine.insert().values(evaluation_id=evaluation_id, **bad))
        labels.set_run(conn, run_id, labels.RunChanges("x", 7, ("a", "b")))
        key = conn.scalar(select(func.min(schema.scored_evaluation.c.id)))
        scorings.add_shard(conn, int(key or 0), (0, 2), scorings.ShardReport())

    gone = delete_runs(engine, ["x"])

    assert {name: gone.rows[name] for name in ("quarantine", "run_tag", "scored_shard")} == {
        "quarantine": 1,
        "run_tag": 2,
        "scored_shard": 1,
    }
    filled = {name for name, found in contents(engine).items() if found}
    assert filled == set()


def test_a_deletion_is_noted(engine: Engine, tmp_path: Path) -> None:
    run_id = take(engine, tmp_path, FIRST)
    with reading(engine) as conn:
        assert content.deletions(conn) == 0
    delete_runs(engine, [str(run_id)])

    with reading(engine) as conn:
        assert content.deletions(conn) == 1
        noted = list(conn.scalars(select(schema.deletion.c.what)))
    assert noted == [f"run {run_id} ({WREN}@2026-01-05T09:30:00.000101)"]


NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=8, unique=True)


@settings(max_examples=15, deadline=None)
@given(asked=st.lists(NUMBERS, min_size=2, max_size=4), data=st.data())
def test_what_stays_is_what_the_other_runs_alone_would_be(
    sqlite_template: Path, asked: list[list[int]], data: Any
) -> None:
    logs = [
        Log({"sums": [sums_line(n) for n in numbers]}, model=f"m/{at}")
        for at, numbers in enumerate(asked)
    ]
    going = data.draw(st.sets(st.integers(0, len(logs) - 1), min_size=1))
    with TemporaryDirectory() as name:
        folder = Path(name)
        stores = []
        for file in ("all.db", "rest.db"):
            shutil.copyfile(sqlite_template, folder / file)
            stores.append(open_engine(f"sqlite:///{folder / file}"))
        everything, rest = stores
        runs = [take(everything, folder / str(at), log) for at, log in enumerate(logs)]
        for at in set(range(len(logs))) - going:
            take(rest, folder / str(at), logs[at])

        delete_runs(everything, [str(runs[at]) for at in going])

        assert contents(everything) == contents(rest)
        for engine in stores:
            engine.dispose()


# -------------------------------------------------------------------------------------- versions


def test_an_older_version_is_the_newest_again(engine: Engine, tmp_path: Path) -> None:
    first = take(engine, tmp_path / "a", FIRST)
    alone = contents(engine)
    changed = replace(FIRST, samples={"sums": sums(3), "choices": choices()})
    second = take(engine, tmp_path / "b", changed)
    with reading(engine) as conn:
        assert find_run(conn, WREN) == second

    gone = delete_runs(engine, [WREN])

    assert gone.runs == (second,)
    assert gone.notes[0].startswith(f"run {first} is the newest version of {WREN}@")
    with reading(engine) as conn:
        assert find_run(conn, WREN) == first
    assert contents(engine) == alone


# --------------------------------------------------------------------------------------- subsets


def test_docs_of_a_subset_stay(engine: Engine, tmp_path: Path) -> None:
    run_id = take(engine, tmp_path, FIRST)
    made = subsets.create_subset(engine, "hard", "task = 'sums' AND doc->>'level' >= 2")
    assert made.docs == 2

    plan = delete_runs(engine, [str(run_id)], dry_run=True)
    gone = delete_runs(engine, [str(run_id)])

    assert plan == replace(gone, dry_run=True)
    assert (gone.docs, gone.kept_docs) == (6, 2)
    assert gone.notes == ("2 docs stay for the subsets that hold them: hard",)
    assert (rows(engine, "doc"), rows(engine, "subset_doc")) == (2, 2)
    assert (rows(engine, "request"), rows(engine, "context"), rows(engine, "target")) == (0, 0, 0)
    assert orphans(engine) == []
    take(engine, tmp_path, FIRST)
    assert rows(engine, "doc") == 8


def test_a_subset_is_chosen_anew_where_docs_went_meanwhile(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(engine, tmp_path / "a", Log({"sums": sums(2)}))
    second = take(engine, tmp_path / "b", OTHERS["other docs"])
    chosen: list[int] = []

    def and_then_some_go(conn: Connection, where: str, **options: Any) -> Any:
        found = matching_docs(conn, where, **options)
        if not chosen:
            delete_runs(engine, [str(second)])
        chosen.append(len(found))
        return found

    monkeypatch.setattr(subsets, "matching_docs", and_then_some_go)
    made = subsets.create_subset(engine, "all", "task = 'sums'")

    assert (chosen, made.docs) == ([12, 2], 2)
    assert orphans(engine) == []


# -------------------------------------------------------------------------------------- scorings


def scored(engine: Engine, run_id: int, name: str, recipe: str) -> int:
    """Store a rescoring of all of a run's evaluations, with a score for each sample."""
    with atomic(engine) as conn:
        lock_content(conn)
        how = json.dumps({"name": name})
        scoring_id = scores.add_scoring(
            conn, run_id=run_id, kind="rescored", name=name, how_json=how
        )
        table = schema.evaluation
        query = select(table.c.id, table.c.n_samples).where(table.c.run_id == run_id)
        for evaluation_id, n in conn.execute(query).all():
            new = scores.NewScoredEvaluation(
                scoring_id,
                evaluation_id,
                n,
                "pending",
                recipe_id=recipes.add_recipe(conn, recipe),
                environment_id=recipes.add_environment(conn, "{}"),
            )
            add_scores(conn, scores.add_scored_evaluation(conn, new), range(n))
        group = scores.NewGroupMetric(scoring_id, "all", "f", "acc", 8, 0.5, "N/A")
        scores.add_group_metrics(conn, [group])
    return scoring_id


def add_scores(conn: Connection, key: int, positions: range) -> None:
    filter_id = scores.add_scored_filter(conn, key, "f", index=0, n=len(positions), complete=True)
    aggregate_id = scores.add_aggregate(
        conn, scores.NewAggregate(filter_id, 0, "acc", "float", len(positions))
    )
    scores.write_filtered(conn, [(filter_id, at, False, "x", None) for at in positions])
    scores.write_scores(conn, [(aggregate_id, at, 1.0, None) for at in positions])


def test_a_scoring_goes_with_what_only_it_has(engine: Engine, tmp_path: Path) -> None:
    run_id = take(engine, tmp_path, FIRST)
    scored(engine, run_id, "strict", '{"a": 1}')
    before = contents(engine)
    second = scored(engine, run_id, "lenient", '{"a": 2}')

    plan = delete_scorings(engine, [f"{run_id}:lenient"], dry_run=True)
    gone = delete_scorings(engine, [f"{run_id}:lenient"])

    assert plan == replace(gone, dry_run=True)
    assert (gone.runs, gone.scorings, gone.scores, gone.samples) == ((), (second,), 8, 0)
    assert gone.names == (f"scoring {second} ({run_id}:lenient)",)
    assert (gone.rows["recipe"], gone.rows["group_metric"]) == (1, 1)
    assert "environment" not in gone.rows
    assert contents(engine) == before


def test_a_recipe_that_another_scoring_has_stays(engine: Engine, tmp_path: Path) -> None:
    run_id = take(engine, tmp_path, FIRST)
    scored(engine, run_id, "strict", "{}")
    scored(engine, run_id, "again", "{}")

    assert "recipe" not in delete_scorings(engine, [f"{run_id}:again"]).rows
    last = delete_scorings(engine, [f"{run_id}:strict"])

    assert (last.rows["recipe"], last.rows["environment"]) == (1, 1)


def test_a_run_takes_its_scorings_along(engine: Engine, tmp_path: Path) -> None:
    first = take(engine, tmp_path / "a", FIRST)
    before = contents(engine)
    second = take(engine, tmp_path / "b", OTHERS["some of the docs"])
    scored(engine, second, "lenient", "{}")

    gone = delete_runs(engine, [str(second)])

    assert len(gone.scorings) == 2
    assert contents(engine) == before
    with reading(engine) as conn:
        assert find_run(conn, WREN) == first


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_lm_eval_logged_is_no_scoring_to_delete(
    engine: Engine, tmp_path: Path, dry_run: bool
) -> None:
    run_id = take(engine, tmp_path, FIRST)
    lenient = scored(engine, run_id, "lenient", "{}")
    before = contents(engine)

    with pytest.raises(UsageError, match=f"`rescore runs delete {run_id}`"):
        delete_scorings(engine, [str(lenient), str(run_id)], dry_run=dry_run)

    assert contents(engine) == before


# -------------------------------------------------------------------------------- all or nothing


class StopError(Exception):
    """Something that happens half-way."""


def test_a_deletion_that_fails_changes_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = take(engine, tmp_path, FIRST)
    before = contents(engine)

    def stop(_conn: Connection) -> None:
        raise StopError

    with monkeypatch.context() as patched:
        patched.setattr(deletion, "refresh_statistics", stop)
        with pytest.raises(StopError):
            delete_runs(engine, [str(run_id)])

    assert contents(engine) == before
    delete_runs(engine, [str(run_id)])
    assert rows(engine, "run") == 0


def test_two_deletions_fit_into_one_transaction(engine: Engine, tmp_path: Path) -> None:
    runs = [take(engine, tmp_path / "a", FIRST), take(engine, tmp_path / "b", OTHERS["other docs"])]

    with atomic(engine) as conn:
        for run_id in runs:
            deletion.delete_runs(conn, [run_id])

    assert rows(engine, "doc") == 0


def test_unknown_runs_and_none_at_all_are_refused(engine: Engine, tmp_path: Path) -> None:
    run_id = take(engine, tmp_path, FIRST)

    for verb in (delete_runs, delete_scorings):
        with pytest.raises(UsageError, match="name the "):
            verb(engine, [])
        with pytest.raises(NotFoundError):
            verb(engine, [str(run_id), "nobody"])
    with atomic(engine) as conn, pytest.raises(NotFoundError, match="run 99 is no longer"):
        deletion.delete_runs(conn, [run_id, 99])
    assert rows(engine, "run") == 1


# ------------------------------------------------------------------------------- somebody scores


def test_who_scores_a_run_is_waited_for_and_leaves_no_orphans(
    engine: Engine, tmp_path: Path
) -> None:
    run_id = take(engine, tmp_path, FIRST)
    scored(engine, run_id, "lenient", "{}")
    with reading(engine) as conn:
        keys = list(conn.scalars(select(func.max(schema.scored_evaluation.c.id))))
    has_lock, done = threading.Event(), threading.Event()

    def score() -> None:
        with atomic(engine) as conn:
            assert scorings.may_add_shard(conn, scorings.find_standing(conn, keys[0]), (0, 4))
            has_lock.set()
            done.wait(1)  # the deletion has begun by now, and waits
            key = scores.add_scored_filter(conn, keys[0], "late", index=1, n=4, complete=True)
            scores.write_filtered(conn, [(key, at, False, "x", None) for at in range(4)])
            scorings.add_shard(conn, keys[0], (0, 4), scorings.ShardReport())

    scorer = threading.Thread(target=score)
    scorer.start()
    assert has_lock.wait(10)
    gone = delete_runs(engine, [str(run_id)])
    done.set()
    scorer.join()

    assert gone.rows["scored_shard"] == 1
    assert orphans(engine) == []
    assert rows(engine, "filtered_response") == 0
    with atomic(engine) as conn, pytest.raises(NotFoundError, match="was deleted meanwhile"):
        scorings.may_add_shard(conn, scorings.find_standing(conn, keys[0]), (0, 4))


def test_evaluations_that_are_gone_are_not_planned_for(engine: Engine, tmp_path: Path) -> None:
    run_id = take(engine, tmp_path, FIRST)
    with reading(engine) as conn:
        pairs = list(conn.execute(select(schema.evaluation.c.run_id, schema.evaluation.c.id)))
    found = [(row.run_id, row.id) for row in pairs]
    with atomic(engine) as conn:
        deletion.require_evaluations(conn, found)
    delete_runs(engine, [str(run_id)])

    with atomic(engine) as conn, pytest.raises(NotFoundError, match=f"run {run_id} was deleted"):
        deletion.require_evaluations(conn, found)


def test_an_ingest_whose_run_was_deleted_says_so_and_leaves_nothing(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FIRST.write(tmp_path)
    store = SamplesIngest.ingest
    asked: list[str] = []

    def and_deleted_before_the_second(one: SamplesIngest, version: Any) -> None:
        asked.append("a file")
        if len(asked) == 2:
            delete_runs(engine, ["latest"])
        store(one, version)

    with monkeypatch.context() as patched:
        patched.setattr(SamplesIngest, "ingest", and_deleted_before_the_second)
        (error,) = ingest_paths(engine, [str(tmp_path)]).errors

    assert WREN in error.message
    assert "was deleted while its files were read" in error.message

    assert {name for name, found in contents(engine).items() if found} == set()
    assert not ingest_paths(engine, [str(tmp_path)]).errors
    assert rows(engine, "evaluation") == 2

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from rescore_db.errors import BadSqlError, NotFoundError
from rescore_db.store import listings, schema, scores
from rescore_db.store.engine import atomic, reading
from rescore_db.store.recipes import add_environment, add_recipe
from rescore_db.store.runs import NewTask, add_task
from rescore_db.store.selection import is_selected
from tests.store.rows import DAY, Answered, add_evaluation, add_run

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from rescore_db.records import ScoreKind

SAMPLES = [
    Answered({"a": 1}, prompt="first?", response="one", target="1"),
    Answered({"a": 2}, prompt=[{"role": "user"}], response=[["x", "y"], ["z"]], target="2"),
    Answered({"a": 1}, prompt="first?", response="two", target="1"),
]


def add_scoring(
    conn: Connection,
    run_id: int,
    evaluation_id: int,
    name: str,
    status: str = "complete",
    n: int = 3,
) -> int:
    """Store a scoring of one evaluation; return the id of the scored evaluation."""
    kind = "logged" if name == "logged" else "rescored"
    scoring_id = scores.add_scoring(
        conn, run_id=run_id, kind=kind, name=name, how_json=f'{{"name": "{name}"}}'
    )
    is_logged = kind == "logged"
    new = scores.NewScoredEvaluation(
        scoring_id,
        evaluation_id,
        n=n,
        status=status,
        recipe_id=None if is_logged else add_recipe(conn, '{"source": "registry"}'),
        environment_id=None if is_logged else add_environment(conn, '{"python": "3.11"}'),
        selection="" if is_logged else "0,2",
        subset=None if is_logged else "hard@1",
        warnings=("odd",),
    )
    return scores.add_scored_evaluation(conn, new)


def add_metric(conn: Connection, filter_id: int, metric: str, values: dict[int, float]) -> None:
    kind: ScoreKind = "np.float64" if metric == "acc" else "float"
    new = scores.NewAggregate(
        filter_id, 0 if metric == "acc" else 1, metric, kind, len(values), value=0.5, stderr="N/A"
    )
    key = scores.add_aggregate(conn, new)
    scores.write_scores(conn, [(key, at, value, None) for at, value in values.items()])


def scored_run(engine: Engine) -> tuple[int, int]:
    """Store a run with logged scores of two filters and a rescoring of a part."""
    run_id, evaluation_id = add_run(engine, "t", SAMPLES, model="org/m")
    with atomic(engine) as conn:
        logged = add_scoring(conn, run_id, evaluation_id, "logged")
        strict = scores.add_scored_filter(conn, logged, "strict", index=0, n=3, complete=True)
        add_metric(conn, strict, "acc", {0: 1.0, 1: 0.0, 2: 1.0})
        add_metric(conn, strict, "f1", {0: 0.25, 1: 0.5})
        scores.write_filtered(
            conn, [(strict, 0, False, "1", None), (strict, 1, True, "[1, 2]", None)]
        )
        loose = scores.add_scored_filter(conn, logged, "loose", index=1, n=1, complete=False)
        scores.write_filtered(conn, [(loose, 1, False, "l", None)])
        again = add_scoring(conn, run_id, evaluation_id, "again", "nondeterministic", n=2)
        part = scores.add_scored_filter(conn, again, "strict", index=0, n=2, complete=True)
        add_metric(conn, part, "acc", {0: 0.0, 2: 1.0})
    return run_id, evaluation_id


def test_runs_are_listed_with_what_they_hold(engine: Engine) -> None:
    run_id, _ = scored_run(engine)
    other, _ = add_run(engine, "t", SAMPLES[:1], model="b", date="")
    with atomic(engine) as conn:
        add_evaluation(conn, other, "u", SAMPLES)
        first, second = listings.list_runs(conn)

    assert (first.id, first.model, first.date, first.version) == (run_id, "org/m", DAY, 1)
    assert (first.evaluations, first.samples, first.scorings) == (1, 3, 2)
    assert (second.id, second.date, second.lm_eval_version) == (other, None, "0.4.13")
    assert (second.evaluations, second.samples, second.scorings, second.notes) == (2, 4, 0, ())


def test_an_empty_store_lists_nothing(engine: Engine) -> None:
    with reading(engine) as conn:
        assert listings.list_runs(conn) == []
        assert listings.list_tasks(conn) == []
        assert listings.list_samples(conn) == []
        assert listings.list_scorings(conn) == []


def test_a_run_is_shown_with_evaluations_and_scorings(engine: Engine) -> None:
    run_id, evaluation_id = scored_run(engine)
    with reading(engine) as conn:
        detail = listings.get_run(conn, run_id)
        with pytest.raises(NotFoundError, match="no run named '99'"):
            listings.get_run(conn, 99)

    (evaluation,) = detail.evaluations
    assert (evaluation.id, evaluation.task, evaluation.task_version) == (evaluation_id, "t", "1.0")
    assert (evaluation.samples, evaluation.num_fewshot, evaluation.incomplete) == (3, 5, False)
    assert len(evaluation.task_hash) == 64
    assert [scoring.name for scoring in detail.scorings] == ["logged", "again"]
    assert detail.run.id == run_id


def test_tasks_are_listed_by_name_and_count_docs_once(engine: Engine) -> None:
    add_run(engine, "t", SAMPLES)
    add_run(engine, "t", SAMPLES[:1], model="b")
    add_run(engine, "a", SAMPLES[:2])
    with reading(engine) as conn:
        rows = listings.list_tasks(conn)

    assert [(row.name, row.evaluations, row.docs, row.version) for row in rows] == [
        ("a", 1, 2, "1.0"),
        ("t", 2, 2, "1.0"),
    ]


def test_a_task_is_every_definition_of_its_name_or_one_by_its_id(engine: Engine) -> None:
    add_run(engine, "t", SAMPLES)
    add_run(engine, "a", SAMPLES[:2])
    with reading(engine) as conn:
        (by_name,) = listings.get_task(conn, "t")
        assert listings.get_task(conn, str(by_name.id)) == [by_name]
        with pytest.raises(NotFoundError, match="no task named 'T'"):
            listings.get_task(conn, "T")


def test_definitions_of_one_name_say_in_which_fields_they_differ(engine: Engine) -> None:
    with atomic(engine) as conn:
        known = [
            add_task(conn, NewTask("t", "1.0", bytes([at]), "generate_until", definition))
            for at, definition in enumerate(
                ('{"a": 1, "b": 2}', '{"b": 3, "a": 1, "c": null}', None, '{"b": 2}')
            )
        ]
        add_task(conn, NewTask("s", "1.0", b"other", "generate_until", '{"a": 2}'))
        rows = listings.list_tasks(conn)

        assert listings.get_task(conn, str(known[1]))[0].differing == ("b", "c")
    assert [(row.differs_from, row.differing) for row in rows] == [
        (None, ()),
        (None, ()),
        (known[0], ("b", "c")),
        (known[0], ()),
        (known[0], ("a",)),
    ]


def test_samples_are_listed_in_order_up_to_a_limit(engine: Engine) -> None:
    run_id, evaluation_id = add_run(engine, "t", SAMPLES)
    other, _ = add_run(engine, "u", SAMPLES[:2], model="b")
    with reading(engine) as conn:
        rows = listings.list_samples(conn, limit=4)

        assert [row.id for row in listings.list_samples(conn, run_id=other)] == ["2:0", "2:1"]
        assert [row.task for row in listings.list_samples(conn, task="u")] == ["u", "u"]
        assert listings.list_samples(conn, task="u", run_id=run_id) == []
    assert [row.position for row in rows] == [0, 1, 2, 0]
    assert rows[0].id == f"{evaluation_id}:0"
    assert (rows[0].doc, rows[0].prompt, rows[0].target) == ({"a": 1}, "first?", "1")
    assert (rows[1].prompt, rows[1].response) == ('[{"role": "user"}]', '[["x", "y"], ["z"]]')


def test_a_samples_doc_id_is_lm_evals_and_its_doc_key_ours(engine: Engine) -> None:
    add_run(engine, "t", [Answered({"a": 0}), *SAMPLES])
    _, evaluation_id = add_run(engine, "u", SAMPLES, model="b")
    with atomic(engine) as conn:
        sample, request = schema.sample, schema.request
        last = select(sample.c.request_id).where(
            sample.c.evaluation_id == evaluation_id, sample.c.position == 2
        )
        of_last = request.c.id.in_(last)
        conn.execute(request.update().where(of_last).values(logged_doc_id=None))
        rows = listings.list_samples(conn, task="u")
        keys = dict(conn.execute(select(schema.doc.c.text, schema.doc.c.id)).all())

    assert [row.doc_id for row in rows] == [0, 1, None]
    assert [row.doc_key for row in rows] == [keys[f'{{"a": {a}}}'] for a in (1, 2, 1)]


def test_samples_are_those_that_satisfy_a_condition_themselves(engine: Engine) -> None:
    run_id, _ = add_run(engine, "t", SAMPLES)
    add_run(engine, "u", SAMPLES, model="b")
    with reading(engine) as conn:

        def ids(where: str, **more: object) -> list[str]:
            rows = listings.list_samples(conn, where=where, **more)  # type: ignore[arg-type]
            return [row.id for row in rows]

        assert ids("response = 'two'") == ["1:2", "2:2"]
        assert ids("doc->>'a' = 1 and model = 'b'") == ["2:0", "2:2"]
        assert ids("prompt = 'first?'", run_id=run_id, limit=1) == ["1:0"]
        assert ids("target = 2", task="u") == ["2:1"]
        with pytest.raises(BadSqlError, match="did you mean response"):
            ids("respons = 'x'")
        with pytest.raises(NotFoundError, match="no task named 'uu'"):
            ids("true", task="uu")


def test_a_sample_is_shown_with_every_score(engine: Engine) -> None:
    _, evaluation_id = scored_run(engine)
    with reading(engine) as conn:
        first, second, third = (
            listings.get_sample(conn, f"{evaluation_id}:{position}") for position in range(3)
        )

    assert first.sample.response == "one"
    assert first.requests == (["first?", {"until": ["\n"]}],)
    assert first.responses == [["one"]]
    assert [(s.scoring, s.filter, s.metric, s.value, s.filtered) for s in first.scores] == [
        ("logged", "strict", "acc", 1.0, ["1"]),
        ("logged", "strict", "f1", 0.25, ["1"]),
        ("again", "strict", "acc", 0.0, ["one"]),
    ]
    assert [(s.scoring, s.filter, s.metric, s.filtered) for s in second.scores] == [
        ("logged", "strict", "acc", [1, 2]),
        ("logged", "strict", "f1", [1, 2]),
        ("logged", "loose", "", ["l"]),
    ]
    assert second.responses == [["x", "y"], ["z"]]
    assert [(s.scoring, s.metric, s.value) for s in third.scores] == [
        ("logged", "acc", 1.0),
        ("again", "acc", 1.0),
    ]
    assert type(first.scores[0].value) is float


@pytest.mark.parametrize("name", ["1:9", "9:0", "1", "1:", "x:1", "1:1:1", "", "1:-1", "9" * 30])
def test_an_unknown_sample_says_how_samples_are_named(engine: Engine, name: str) -> None:
    add_run(engine, "t", SAMPLES)
    with reading(engine) as conn, pytest.raises(NotFoundError, match="EVALUATION:POSITION"):
        listings.get_sample(conn, name)


def test_scorings_are_listed_with_their_worst_status(engine: Engine) -> None:
    run_id, evaluation_id = scored_run(engine)
    with atomic(engine) as conn:
        other = add_evaluation(conn, run_id, "u", SAMPLES)
        failed = scores.NewScoredEvaluation(2, other, n=5, status="failed", reason="broken")
        scores.add_scored_evaluation(conn, failed)
        scores.add_scoring(conn, run_id=run_id, kind="rescored", name="empty", how_json="{}")
        logged, again, empty = listings.list_scorings(conn, run_id=run_id)

    assert (logged.name, logged.kind, logged.status, logged.n) == (
        "logged",
        "logged",
        "complete",
        3,
    )
    assert (logged.subset, logged.model, logged.date) == (None, "org/m", DAY)
    assert (again.status, again.evaluations, again.n, again.subset) == ("failed", 2, 7, "hard@1")
    assert (empty.status, empty.evaluations, empty.n) == ("pending", 0, 0)
    with reading(engine) as conn:
        assert listings.list_scorings(conn, run_id=99) == []
        assert len(listings.list_scorings(conn)) == 3
    assert evaluation_id == 1


def test_a_scoring_is_shown_with_recipe_environment_and_results(engine: Engine) -> None:
    scored_run(engine)
    with reading(engine) as conn:
        detail = listings.get_scoring(conn, 2)
        logged = listings.get_scoring(conn, 1)
        with pytest.raises(NotFoundError, match="no scoring named '9'"):
            listings.get_scoring(conn, 9)

    (row,) = detail.evaluations
    assert (row.task, row.status, row.selection, row.n) == ("t", "nondeterministic", "0,2", 2)
    assert (row.subset, row.warnings, row.reason) == ("hard@1", ("odd",), None)
    assert detail.recipes == {row.recipe: {"source": "registry"}}
    assert detail.environments == {str(row.environment): {"python": "3.11"}}
    assert (detail.how, detail.attempt, detail.scoring.name) == ({"name": "again"}, 1, "again")
    assert [(result.filter, result.metric) for result in detail.results] == [("strict", "acc")]
    assert (logged.recipes, logged.environments) == ({}, {})
    assert [(result.filter, result.metric) for result in logged.results] == [
        ("strict", "acc"),
        ("strict", "f1"),
        ("loose", ""),
    ]


def test_a_selection_says_which_positions_it_holds() -> None:
    assert [is_selected("0-2,5,7-8", at) for at in range(10)] == [
        *(True, True, True, False, False, True, False, True, True, False),
    ]
    assert is_selected("", 12)


def test_groups_stand_last_among_the_results(engine: Engine) -> None:
    scored_run(engine)
    with atomic(engine) as conn:
        group = scores.NewGroupMetric(1, "all", "strict", "acc", 3, 0.5, "N/A")
        scores.add_group_metrics(conn, [group])
        results = listings.get_scoring(conn, 1).results

    assert (results[-1].task, results[-1].is_group) == ("all", True)
    assert not results[0].is_group
    assert schema.group_metric.name == "group_metric"

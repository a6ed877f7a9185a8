"""A named recipe never changes, and a whole history stands under it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, select, update

import rescore_db
from rescore_db.compare import history
from rescore_db.errors import AlreadyExistsError, NotFoundError, UsageError
from rescore_db.rescoring.recipes import add_recipe, diff_recipes, get_recipe, list_recipes
from rescore_db.rescoring.request import RecipeEntry, ScoreRequest
from rescore_db.rescoring.score import score_runs
from rescore_db.store import lifecycle, schema
from rescore_db.store.engine import atomic, reading, safe_url

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.truth import Truth

pytestmark = pytest.mark.usefixtures("warm_children")
FIRST_RUN = "larch/wren-1b@2026-01-05"
FIRST_NUMBER = [
    {
        "name": "first-number",
        "filter": [
            {"function": "regex", "regex_pattern": "(-?[0-9]+)"},
            {"function": "take_first"},
        ],
    }
]


@pytest.fixture
def entries(truth: Truth) -> list[RecipeEntry]:
    """Another filter for one task, its own for another one."""
    paths = (str(truth.tasks),)
    return [
        RecipeEntry(("small_su*",), filters=FIRST_NUMBER, include_paths=paths),
        RecipeEntry(("small_pairs", "small_sums"), include_paths=paths, bootstrap_iters=10),
    ]


def counts(engine: Engine) -> Counter[str]:
    with reading(engine) as conn:
        return Counter(
            {
                table.name: conn.scalar(select(func.count()).select_from(table)) or 0
                for table in schema.metadata.tables.values()
            }
        )


def test_a_recipe_is_applied_to_every_run_that_lacks_it(
    filled: Engine, entries: list[RecipeEntry]
) -> None:
    add_recipe(filled, "strict", entries)
    request = ScoreRequest(recipe="strict")
    first = list(score_runs(filled, [FIRST_RUN], request))
    assert {(row.task, row.filter) for row in first} == {
        ("small_sums", "first-number"),
        ("small_pairs", "none"),
    }
    assert {row.status for row in first} == {"complete"}
    every = list(score_runs(filled, [], request))
    assert {row.scoring for row in every} == {"strict"}
    n_runs = len({row.run for row in every})
    assert n_runs > 1
    assert {row.run for row in every if row.known} == {first[0].run}
    held = counts(filled)
    again = list(score_runs(filled, [], request))
    assert all(row.known for row in again)
    assert counts(filled) == held

    rows = list(history(filled, "small_sums", scoring="strict"))
    assert len({row.run for row in rows}) == n_runs
    assert {row.filter for row in rows} == {"first-number"}
    assert not any(row.warnings for row in rows)


def test_one_recipe_is_one_for_every_run_whatever_its_standard_errors_took(
    filled: Engine, entries: list[RecipeEntry]
) -> None:
    with atomic(filled) as conn:
        run = schema.run
        text = conn.scalar(select(run.c.results_json).where(run.c.id == 1))
        other = json.loads(text or "") | {"config": {"bootstrap_iters": 7}}
        conn.execute(update(run).where(run.c.id == 1).values(results_json=json.dumps(other)))
    add_recipe(filled, "strict", entries[:1])
    score_runs(filled, [], ScoreRequest(recipe="strict"))
    with reading(filled) as conn:
        recipes = [json.loads(text) for text in conn.scalars(select(schema.recipe.c.content_json))]
    assert [recipe["bootstrap_iters"] for recipe in recipes] == [100_000]


def test_a_recipe_and_the_same_options_make_comparable_scores(
    filled: Engine, entries: list[RecipeEntry], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps(FIRST_NUMBER))
    add_recipe(filled, "strict", entries[:1])
    named = list(score_runs(filled, [FIRST_RUN], ScoreRequest(recipe="strict")))
    plain = ScoreRequest(
        tasks=("small_sums",),
        filters=str(mine),
        include_paths=entries[0].include_paths,
        bootstrap_iters=100_000,
    )
    options = list(score_runs(filled, [FIRST_RUN], plain))
    assert [row.value for row in named] == [row.value for row in options]
    with reading(filled) as conn:
        assert conn.scalar(select(func.count()).select_from(schema.recipe)) == 1
        assert conn.scalar(select(func.count()).select_from(schema.environment)) == 1


def exact(engine: Engine, name: str) -> list[tuple[Any, ...]]:
    """Everything that stands under a scoring of the first run, to the last bit."""
    metrics, filters, scored = schema.aggregate, schema.scored_filter, schema.scored_evaluation
    query = (
        select(
            *(filters.c.name, metrics.c.metric, metrics.c.value, metrics.c.value_exact),
            *(metrics.c.stderr, metrics.c.stderr_exact),
            *(schema.score.c.position, schema.score.c.value, schema.score.c.exact),
        )
        .join(filters, filters.c.id == metrics.c.scored_filter_id)
        .join(scored, scored.c.id == filters.c.scored_evaluation_id)
        .join(schema.scoring, schema.scoring.c.id == scored.c.scoring_id)
        .join(schema.score, schema.score.c.aggregate_id == metrics.c.id)
        .where(schema.scoring.c.name == name)
        .order_by(scored.c.evaluation_id, filters.c.index, metrics.c.index, schema.score.c.position)
    )
    with reading(engine) as conn:
        return [tuple(row) for row in conn.execute(query)]


def test_the_same_recipe_gives_the_same_scores_to_the_last_bit(
    filled: Engine, entries: list[RecipeEntry]
) -> None:
    add_recipe(filled, "strict", entries)
    request = ScoreRequest(recipe="strict")
    score_runs(filled, [FIRST_RUN], request)
    again = list(score_runs(filled, [FIRST_RUN], replace(request, force=True)))
    assert {row.scoring for row in again} == {"strict-2"}
    assert exact(filled, "strict")
    assert exact(filled, "strict") == exact(filled, "strict-2")


def test_a_selection_under_a_recipe_is_another_scoring(
    filled: Engine, entries: list[RecipeEntry]
) -> None:
    add_recipe(filled, "strict", entries)
    request = ScoreRequest(("small_sums",), recipe="strict", limit=2)
    rows = list(score_runs(filled, [FIRST_RUN], request))
    assert {(row.scoring, row.n) for row in rows} == {("strict-first-2", 2)}


def test_a_name_stands_for_one_recipe_for_ever(filled: Engine, entries: list[RecipeEntry]) -> None:
    first = add_recipe(filled, "strict", entries)
    held = counts(filled)
    assert add_recipe(filled, "strict", entries) == first
    with pytest.raises(AlreadyExistsError, match=r"differs in small_su\*; .* another name"):
        add_recipe(filled, "strict", [replace(entries[0], bootstrap_iters=1), entries[1]])
    with pytest.raises(AlreadyExistsError, match="the order of tasks"):
        add_recipe(filled, "strict", entries[::-1])
    assert counts(filled) == held
    assert list_recipes(filled) == first


def test_patterns_that_match_nothing_yet_are_told(filled: Engine) -> None:
    (row,) = add_recipe(filled, "later", [RecipeEntry(("small_sum",))])
    (note,) = row.notes
    assert note.startswith("no stored task named 'small_sum'; did you mean small_sums")
    with pytest.raises(NotFoundError, match="recipe 'later' is for small_sum; these runs have"):
        score_runs(filled, [], ScoreRequest(recipe="later"))


def test_two_recipes_differ_pattern_by_pattern(filled: Engine, entries: list[RecipeEntry]) -> None:
    add_recipe(filled, "a", entries)
    add_recipe(filled, "b", [replace(entries[0], filters=None)])
    found = [(one.tasks, one.what, one.a, one.b) for one in diff_recipes(filled, "a", "b")]
    assert found == [
        ("small_su*", "filters", FIRST_NUMBER, None),
        ("small_pairs", "tasks", "covered", None),
        ("small_sums", "tasks", "covered", None),
    ]
    assert diff_recipes(filled, "a", "a") == []
    with pytest.raises(NotFoundError, match="no recipe named 'c'"):
        diff_recipes(filled, "a", "c")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"filters": "f.yaml"}, "--filters"),
        ({"metrics": "m.yaml"}, "--metrics"),
        ({"task_yaml": "t.yaml"}, "--task-yaml"),
        ({"as_logged": True}, "--as-logged"),
        ({"bootstrap_iters": 0}, "--bootstrap-iters"),
        ({"name": "x"}, "--name"),
    ],
)
def test_what_a_recipe_says_is_not_said_again(
    engine: Engine, changes: dict[str, Any], says: str
) -> None:
    request = ScoreRequest(recipe="strict", **changes)
    with pytest.raises(UsageError, match=f"--recipe and {says} exclude each other"):
        score_runs(engine, [], request)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "logged", "x" * 101])
def test_a_name_that_a_scoring_could_not_have_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(UsageError, match="can't be called"):
        add_recipe(engine, name, [RecipeEntry()])


def test_a_recipe_is_a_file_or_entries(engine: Engine) -> None:
    with pytest.raises(UsageError, match="one of the two"):
        add_recipe(engine, "x", [])
    with pytest.raises(UsageError, match="one of the two"):
        add_recipe(engine, "x", [RecipeEntry()], "recipe.yaml")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            RecipeEntry(filters=[{"name": "x", "filter": [{"function": "regx"}]}]),
            "no filter named 'regx'; did you mean regex",
        ),
        (RecipeEntry(metrics=[{"metric": "exact_mach"}]), "did you mean exact_match"),
        (
            RecipeEntry(filters=[{"name": "x", "filter": [{"function": "regex", "patern": "x"}]}]),
            "regex refuses",
        ),
    ],
)
def test_no_name_is_given_to_what_lm_eval_does_not_have(
    engine: Engine, entry: RecipeEntry, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        add_recipe(engine, "x", [entry])
    assert list_recipes(engine) == []


def test_an_unknown_recipe_is_named(engine: Engine) -> None:
    add_recipe(engine, "strict", [RecipeEntry()])
    with pytest.raises(NotFoundError, match="did you mean strict"):
        score_runs(engine, [], ScoreRequest(recipe="strickt"))
    with pytest.raises(NotFoundError, match="did you mean strict"):
        get_recipe(engine, "strickt")


# ----------------------------------------------------------------------- what is not in a recipe


def test_definitions_that_changed_are_refused_and_found_elsewhere(
    filled: Engine, truth: Truth, tmp_path: Path
) -> None:
    tasks, copy = tmp_path / "tasks", tmp_path / "copy"
    shutil.copytree(truth.tasks, tasks)
    add_recipe(filled, "mine", [RecipeEntry(("small_pairs",), include_paths=(str(tasks),))])
    shutil.copytree(tasks, copy)
    (tasks / "small_pairs.yaml").write_text("task: small_pairs\n")
    request = ScoreRequest(recipe="mine")
    with pytest.raises(UsageError, match=r"recipe 'mine' needs .*tasks as it was"):
        score_runs(filled, [FIRST_RUN], request)
    shutil.rmtree(tasks)
    with pytest.raises(UsageError, match=r"recipe 'mine' needs .*tasks as it was"):
        score_runs(filled, [FIRST_RUN], request)
    elsewhere = replace(request, include_paths=(str(copy),))
    rows = list(score_runs(filled, [FIRST_RUN], elsewhere))
    assert {row.status for row in rows} == {"complete"}


def test_a_task_file_is_known_with_what_it_includes(
    filled: Engine, truth: Truth, tmp_path: Path
) -> None:
    tasks = tmp_path / "tasks"
    shutil.copytree(truth.tasks, tasks)
    path = tasks / "small_trades_garden.yaml"
    entry = RecipeEntry(("small_trades_garden",), task_yaml=str(path))
    (row,) = add_recipe(filled, "mine", [entry])
    assert row.source == "task-yaml"
    request = ScoreRequest(recipe="mine")
    rows = list(score_runs(filled, [FIRST_RUN], request))
    assert {row.status for row in rows} == {"complete"}
    template = tasks / "_small_trades_template"
    template.write_text(template.read_text() + "\n")
    with pytest.raises(UsageError, match=r"small_trades_garden\.yaml as it was"):
        score_runs(filled, [FIRST_RUN], request)


@pytest.mark.parametrize("changed", ["own.py", "included.py"])
def test_a_task_file_is_known_with_its_python(filled: Engine, tmp_path: Path, changed: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("include: base\ntask: small_sums\ndoc_to_target: !function own.target\n")
    (tmp_path / "base").write_text("process_results: !function included.scores\n")
    for name in ("own.py", "included.py"):
        (tmp_path / name).write_text("def target(doc): ...\ndef scores(doc, results): ...\n")
    entry = RecipeEntry(("small_sums",), task_yaml=str(path))
    add_recipe(filled, "mine", [entry])
    (tmp_path / changed).write_text("def target(doc): 1\ndef scores(doc, results): 1\n")
    with pytest.raises(UsageError, match=r"mine\.yaml as it was"):
        score_runs(filled, [FIRST_RUN], ScoreRequest(recipe="mine"))
    with pytest.raises(AlreadyExistsError, match="there is a recipe 'mine' already"):
        add_recipe(filled, "mine", [entry])


def test_hidden_files_and_caches_are_no_definitions(engine: Engine, tmp_path: Path) -> None:
    tasks = tmp_path / ".hidden" / "tasks"  # what is hidden above does not count
    tasks.mkdir(parents=True)
    (tasks / "mine.yaml").write_text("task: mine\n")
    entry = RecipeEntry(include_paths=(str(tasks),))
    first = add_recipe(engine, "x", [entry])
    for name in (".git/HEAD", "sub/.cache/x.yaml", "__pycache__/x.py", ".mine.yaml"):
        (tasks / name).parent.mkdir(parents=True, exist_ok=True)
        (tasks / name).write_text("task: other\n")
    assert add_recipe(engine, "x", [entry]) == first
    (tasks / "sub" / "template").write_text("task: mine\n")
    with pytest.raises(AlreadyExistsError):
        add_recipe(engine, "x", [entry])


def test_no_path_is_part_of_a_recipe(engine: Engine, truth: Truth, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(truth.tasks, copy)
    first = add_recipe(engine, "x", [RecipeEntry(include_paths=(str(truth.tasks),))])
    assert add_recipe(engine, "x", [RecipeEntry(include_paths=(str(copy),))]) == first
    with reading(engine) as conn:
        (content,) = conn.scalars(select(schema.named_recipe.c.content_json))
    assert str(truth.tasks.parent) not in content


def test_a_damaged_recipe_is_found(engine: Engine, store_url: str) -> None:
    add_recipe(engine, "x", [RecipeEntry()])
    with atomic(engine) as conn:
        conn.execute(update(schema.named_recipe).values(content_json="[]"))
    engine.dispose()
    found = lifecycle.check(store_url)
    assert [(one.where, one.what) for one in found.problems] == [
        ("named_recipe 1", "its hash is not that of its content")
    ]
    assert safe_url(store_url) == found.url


def test_the_same_verbs_in_python(store_url: str, tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("tasks: {gsm8k*: {bootstrap_iters: 10}}")
    with rescore_db.open(store_url) as store:
        (row,) = store.add_recipe("x", file=file)
        assert (row.name, row.tasks, row.bootstrap_iters) == ("x", ("gsm8k*",), 10)
        store.add_recipe("y", rescore_db.RecipeEntry(tasks=("gsm8k*",)))
        assert [one.name for one in store.recipes()] == ["x", "y"]
        assert list(store.recipe("x")) == [row]
        (difference,) = store.diff_recipes("x", "y")
        assert (difference.what, difference.a, difference.b) == ("bootstrap_iters", 10, 100_000)
        with pytest.raises(UsageError, match="tasks takes a tuple"):
            store.add_recipe("z", rescore_db.RecipeEntry(tasks="gsm8k"))  # type: ignore[arg-type]

"""Which groups a run has, which are complete, and what their metrics become."""

from __future__ import annotations

from rescore_db.records import ScoreRow
from rescore_db.rescoring import groups

MEMBERS = {"top": ["left", "c"], "left": ["a", "b"]}


def test_plain_tasks_are_not_groups() -> None:
    logged = {"group_subtasks": {"left": ["a", "b"], "a": [], "b": []}}
    assert groups.group_members(logged) == {"left": ["a", "b"]}
    assert groups.group_members({}) == {}


def test_leaves_are_the_tasks_below_at_any_depth() -> None:
    assert groups.leaves("top", MEMBERS) == {"a", "b", "c"}
    assert groups.leaves("left", MEMBERS) == {"a", "b"}


def test_a_group_in_itself_does_not_hang() -> None:
    assert groups.leaves("g", {"g": ["g", "a"]}) == {"a"}


def test_only_groups_with_all_their_tasks_are_whole() -> None:
    assert groups.whole_groups(MEMBERS, ["a", "b"]) == {"left": ["a", "b"]}
    assert groups.whole_groups(MEMBERS, ["a", "b", "c"]) == MEMBERS


def test_metrics_take_the_shape_of_lm_evals_results() -> None:
    rows = [
        ScoreRow("s", 1, "m", "a", "none", "acc", 0.5, 0.1, 4, "complete"),
        ScoreRow("s", 1, "m", "a", "none", "f1", 0.25, "N/A", 3, "complete"),
    ]
    (found,) = groups.aggregates_of(rows)
    assert found.as_lm_eval() == {
        "name": "a",
        "alias": "a",
        "sample_len": 4,
        "acc,none": 0.5,
        "acc_stderr,none": 0.1,
        "f1,none": 0.25,
        "f1_stderr,none": "N/A",
    }


def test_group_metrics_become_rows_with_their_own_counts() -> None:
    found = {
        "g": {
            "name": "g",
            "alias": "g",
            "sample_len": 7,
            "acc,none": 0.5,
            "acc_stderr,none": 0.1,
            "f1,strict,er": 0.25,
            "sample_count": {"acc,none": 5},
        }
    }
    rows = groups.new_metrics(3, found)
    assert [(r.metric, r.filter, r.n, r.value, r.stderr) for r in rows] == [
        ("acc", "none", 5, 0.5, 0.1),
        ("f1", "strict,er", 7, 0.25, None),
    ]

from __future__ import annotations

import json

import pytest

from rescore_db.harness_log.definition import definition_hash, definition_json

CONFIG = {
    "task": "sums",
    "doc_to_text": "Q: {{question}}\nA:",
    "process_docs": "functools.partial(<function process at 0x7f12>, subject='x')",
    "filter_list": [{"filter": [{"filter_fn": "<bound method F.f of <m.F object at 0xAB9>>"}]}],
    "metadata": {"version": 2.0, "pretrained": "larch/wren-1b", "config_source": "/a/b.yaml"},
}


def text(**changed: object) -> str:
    return json.dumps(CONFIG | changed)


def test_what_belongs_to_the_run_is_left_out() -> None:
    kept = json.loads(definition_json(text()))

    assert kept["metadata"] == {"version": 2.0}
    assert kept["process_docs"] == "functools.partial(<function process>, subject='x')"
    assert kept["filter_list"][0]["filter"][0]["filter_fn"] == "<bound method F.f of <m.F object>>"
    assert kept["doc_to_text"] == CONFIG["doc_to_text"]


def test_the_version_counts_as_0_4_0_has_it() -> None:
    assert definition_hash(text(metadata=[{"version": 2.0}])) == definition_hash(text())
    assert definition_hash(text(metadata=[])) == definition_hash(text(metadata=None))


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"version": 2.0, "pretrained": "other", "dtype": "float"}},
        {"process_docs": "functools.partial(<function process at 0x9999>, subject='x')"},
    ],
)
def test_models_and_machines_share_a_definition(changed: dict[str, object]) -> None:
    assert definition_hash(text(**changed)) == definition_hash(text())


@pytest.mark.parametrize(
    "changed",
    [
        {"metadata": {"version": 3.0}},
        {"doc_to_text": "Q: {{question}}"},
        {"process_docs": "functools.partial(<function other at 0x7f12>, subject='x')"},
        {"num_fewshot": 1},
    ],
)
def test_another_definition_is_another_task(changed: dict[str, object]) -> None:
    assert definition_hash(text(**changed)) != definition_hash(text())


def test_the_order_of_keys_does_not_matter() -> None:
    turned = json.dumps(dict(reversed(CONFIG.items())))

    assert definition_hash(turned) == definition_hash(text())


def test_the_unknown_definition_is_one() -> None:
    assert definition_hash(None) == definition_hash("null") != definition_hash("{}")
    assert len(definition_hash(None)) == 32

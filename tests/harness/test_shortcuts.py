"""What makes lm-eval faster gives the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rescore_db.harness.isolation import isolated
from rescore_db.harness.rouge import shorten_rouge
from rescore_db.harness.templates import cached_templates

DOC = {
    "question": "Häuser\u2028?",
    "choices": ["a", "b\n", "<c>"],
    "answer": 1,
    "nested": {"text": ["x"], "label": []},
    "empty": "",
}
TEMPLATES = [
    "{{question}}\nAnswer:",
    "{{choices[answer]}}",
    "{{choices}}",
    "{{nested.text[0]}} {{nested['label']|length}}\n",
    "{% set mark = 'A' %}{{mark + question}}",
    "{% for c in choices %}{{loop.index}}. {{c}}\n{% endfor %}",
    "{% if empty %}yes{% else %}no{% endif %}",
    "{{question|regex_replace('[aeiou]', '_')}}",
    "{% set s = namespace(n=0) %}{% for c in choices %}{% set s.n = s.n + 1 %}{% endfor %}{{s.n}}",
    "{%- macro m(x) -%}[{{x}}]{%- endmacro -%}{{m(answer)}}",
    "plain\n",
    "",
]


@pytest.mark.parametrize("sandboxed", [False, True])
@pytest.mark.parametrize("template", TEMPLATES)
def test_kept_templates_render_the_same(template: str, *, sandboxed: bool) -> None:
    with isolated():
        from lm_eval.utils import apply_template

        expected = apply_template(template, DOC)
        with cached_templates(sandboxed=sandboxed):
            rendered = [apply_template(template, DOC) for _ in range(3)]
            other = apply_template(template, {**DOC, "question": "other", "answer": 2})
        assert rendered == [expected] * 3
        assert other == apply_template(template, {**DOC, "question": "other", "answer": 2})


def test_a_kept_template_still_misses_what_a_document_lacks() -> None:
    from jinja2 import UndefinedError

    with isolated():
        from lm_eval.utils import apply_template

        with cached_templates():
            assert apply_template("{{question}}", {"question": "q"}) == "q"
            with pytest.raises(UndefinedError):
                apply_template("{{question}}", {})


def test_lm_evals_own_environment_comes_back() -> None:
    from lm_eval import utils

    before = utils.env
    with cached_templates():
        assert utils.env is not before
    assert utils.env is before


@pytest.mark.parametrize("count", [1, 3])
def test_rouge_gives_the_same_bits_without_its_thousand_resamples(count: int) -> None:
    scoring: Any = pytest.importorskip("rouge_score.scoring")
    shorten_rouge()
    draws = np.random.default_rng(7)
    aggregator = scoring.BootstrapAggregator()

    for _ in range(20):
        matrix = np.vstack([draws.random((count, 3)) * 10.0 ** -draws.integers(0, 9)])
        np.random.seed(1)  # noqa: NPY002 - what rouge_score draws from
        shortened = aggregator._bootstrap_resample(matrix)  # noqa: SLF001 - what is replaced
        np.random.seed(1)  # noqa: NPY002
        resampled = aggregator.resample_many(matrix)
        assert shortened.tobytes() == resampled.tobytes()

"""Made-up samples of tasks of lm-eval's, of every kind of scoring, and items of corpus metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from made_up_logs import choice_doc, open_doc, words

from rescore_db.harness.interface import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

Doc = dict[str, Any]
GREEDY = 0.3  # the share of choices that a model would have written
RIGHT = 0.5  # the share of words that a translation has right
UNTIL = {"until": ["\n\n"], "do_sample": False}


def choices(random: Random, doc: Doc, texts: Sequence[str]) -> Sample:
    """Return a document with a log-likelihood for each choice."""
    asked = [[str(doc), f" {text}"] for text in texts]
    said = [[[str(-random.expovariate(0.05)), str(random.random() < GREEDY)]] for _ in texts]
    return Sample(doc, asked, said)


def answered(doc: Doc, text: str) -> Sample:
    """Return a document with a generated answer."""
    return Sample(doc, [[str(doc), UNTIL]], [[text]])


def arc(random: Random) -> Sample:
    """Return one of arc_easy's shape."""
    doc = choice_doc(random, 1)
    return choices(random, doc, doc["choices"]["text"])


def gsm8k(random: Random) -> Sample:
    """Return one of gsm8k's shape."""
    said = f"{words(random, 20, 60)}. The answer is 12.\n#### {random.randint(2, 999)}"
    return answered(open_doc(random, 1), said)


def hellaswag(random: Random) -> Sample:
    """Return one of hellaswag's shape, its columns made by `process_docs` included."""
    ends = [words(random, 8, 25) for _ in range(4)]
    doc = {
        "ind": 4,
        "activity_label": words(random, 1, 3),
        "ctx_a": words(random, 10, 20),
        "ctx_b": words(random, 3, 5),
        "ctx": words(random, 15, 25),
        "endings": ends,
        "source_id": "activitynet~v_1",
        "split": "val",
        "split_type": "indomain",
        "label": str(random.randrange(4)),
        "query": words(random, 20, 40),
        "choices": ends,
        "gold": 1,
    }
    return choices(random, doc, ends)


def mmlu(random: Random) -> Sample:
    """Return one of mmlu's shape."""
    doc = {
        "question": words(random, 15, 45),
        "subject": "abstract_algebra",
        "choices": [words(random, 2, 6) for _ in range(4)],
        "answer": random.randrange(4),
    }
    return choices(random, doc, "ABCD")


def mmlu_pro(random: Random) -> Sample:
    """Return one of mmlu_pro's shape."""
    doc = {
        "question_id": 3,
        "question": words(random, 15, 45),
        "options": [words(random, 3, 6) for _ in range(10)],
        "answer": "B",
        "answer_index": 1,
        "cot_content": "",
        "category": "math",
        "src": "made-up",
    }
    return answered(doc, f"{words(random, 20, 60)}, so the answer is (B).")


def truthful(random: Random) -> Doc:
    """Return a question of truthfulqa with its answers in all shapes."""
    right, wrong = ([words(random, 5, 12) for _ in range(3)] for _ in range(2))
    return {
        "type": "Adversarial",
        "category": "Law",
        "question": words(random, 8, 15),
        "best_answer": right[0],
        "correct_answers": right,
        "incorrect_answers": wrong,
        "source": "https://example.org",
        "mc1_targets": {"choices": [right[0], *wrong], "labels": [1, 0, 0, 0]},
        "mc2_targets": {"choices": right + wrong, "labels": [1, 1, 1, 0, 0, 0]},
    }


def truthful_choices(random: Random) -> Sample:
    """Return one of truthfulqa_mc2's shape."""
    doc = truthful(random)
    return choices(random, doc, doc["mc2_targets"]["choices"])


def truthful_answer(random: Random) -> Sample:
    """Return one of truthfulqa_gen's shape."""
    return answered(truthful(random), words(random, 5, 12))


def cola(random: Random) -> Sample:
    """Return one of cola's shape, whose metric is of the whole corpus."""
    doc = {"sentence": words(random, 6, 12), "label": random.randrange(2), "idx": 7}
    return choices(random, doc, ["no", "yes"])


def wikitext(random: Random) -> Sample:
    """Return one of wikitext's shape: a rolling log-likelihood."""
    doc = {"page": words(random, 300, 600)}
    return Sample(doc, [[doc["page"]]], [[str(-random.expovariate(0.001))]])


def lambada(random: Random) -> Sample:
    """Return one of lambada_openai's shape."""
    return choices(random, {"text": words(random, 40, 80)}, ["word"])


def translation(random: Random) -> Sample:
    """Return one of wmt16-de-en's shape."""
    doc = {"translation": {"de": words(random, 10, 25), "en": words(random, 10, 25)}}
    return answered(doc, words(random, 10, 25))


KINDS: dict[str, Callable[[Random], Sample]] = {
    "gsm8k": gsm8k,
    "arc_easy": arc,
    "hellaswag": hellaswag,
    "mmlu_abstract_algebra": mmlu,
    "mmlu_pro_math": mmlu_pro,
    "truthfulqa_mc2": truthful_choices,
    "truthfulqa_gen": truthful_answer,
    "cola": cola,
    "wikitext": wikitext,
    "lambada_openai": lambada,
    "wmt16-de-en": translation,
}


def labels(random: Random) -> tuple[int, int]:
    """Return a gold and a predicted label."""
    return random.randrange(2), random.randrange(2)


def log_likelihood(random: Random) -> float:
    """Return a log-likelihood."""
    return -random.expovariate(0.2)


def texts(random: Random) -> tuple[str, str]:
    """Return a reference and a hypothesis that shares half of it."""
    reference = words(random, 10, 25).split()
    said = [one if random.random() < RIGHT else words(random, 1, 1) for one in reference]
    return " ".join(reference), " ".join(said)

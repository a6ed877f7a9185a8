"""What a file's lines ask: heads to requests, each stored once.

Most heads are known from an earlier run; then nothing of them is parsed.  A new one is taken apart
into its document, its target, and its contexts with what follows them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from rescore_db import json_exact
from rescore_db.harness_log.decode import argument_lists
from rescore_db.harness_log.lines import check_fields, span_of
from rescore_db.harness_log.records import HASHES, HEAD, checked, key_of
from rescore_db.ingest.contents import (
    quick_doc_hash,
    storable_json,
    target_content,
    text_content,
    unusable,
)
from rescore_db.store import schema
from rescore_db.store.content import (
    NewRequest,
    add_docs,
    add_requests,
    add_texts,
    find_requests,
    json_key,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from msgspec import Raw
    from sqlalchemy import Connection

    from rescore_db.harness_log.records import Record
    from rescore_db.store.content import Columns, KnownRequest

_string = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode

MAX_KNOWN: Final = 50_000  # requests that are remembered, some 300 bytes each
MAX_SPANS: Final = 1000
MAX_SPAN_BYTES: Final = 1000
LARGEST_ID: Final = 2**63 - 1
EMPTY: Final = msgspec.Raw()
MAX_DIGITS: Final = 18  # of a number that surely is no larger than `LARGEST_ID`


class Part(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One request as lm-eval logs it; what it lacks is empty."""

    arg_0: msgspec.Raw
    arg_1: msgspec.Raw = EMPTY


class Head(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A line's head."""

    doc_id: msgspec.Raw
    doc: msgspec.Raw
    target: msgspec.Raw
    arguments: dict[str, Part]


_head_of = msgspec.json.Decoder(Head).decode


class Requests:
    """Finds the requests of a file's records, or stores them."""

    def __init__(self) -> None:
        """Begin with nothing remembered."""
        self._known: dict[bytes, KnownRequest] = {}
        self._deletions = -1
        self._docs: dict[bytes, str] = {}
        self._targets: dict[bytes, Columns] = {}
        self._contexts: dict[bytes, Columns] = {}
        self._canonical: dict[bytes, bool] = {}

    def forget(self) -> None:
        """Forget everything: the transaction that stored some of it was rolled back."""
        for remembered in (self._known, self._docs, self._targets, self._contexts):
            remembered.clear()

    def begin(self, deletions: int) -> None:
        """Begin a transaction; `deletions` counts what was ever deleted from the store."""
        if deletions != self._deletions:
            self._known.clear()
        self._deletions = deletions

    def resolve(
        self, conn: Connection, records: list[Record], file: str
    ) -> dict[bytes, KnownRequest]:
        """Return the requests of records by their keys, stored where they are new.

        Args:
            conn: inside `atomic()`, after `lock_content`.
            records: some of a file; one that turns out not to be split is replaced by its whole.
            file: its name for messages.

        Raises:
            LogFormatError: a head cannot be read.
        """
        known = self._known
        if len(known) > MAX_KNOWN:
            known.clear()
        missing = {one.key for one in records if one.key not in known}
        if missing:
            known.update(find_requests(conn, missing))
            self._add_new(conn, records, file)
        return known

    def _add_new(self, conn: Connection, records: list[Record], file: str) -> None:
        """Store the requests of the records whose keys are still unknown."""
        known = self._known
        fresh: dict[bytes, NewRequest] = {}
        aliases: dict[bytes, bytes] = {}
        for at, record in enumerate(records):
            key = record.key
            if key in known or key in fresh or key in aliases:
                continue
            request = self._as_it_stands(record)
            if request is None:
                records[at] = whole = checked(record, file)
                aliases[whole.key], request = self._parsed(whole, file)
                key = aliases[whole.key]
                known.update(find_requests(conn, [key]))
            if key not in known:
                fresh[key] = request
        if fresh:
            ids = {
                "doc": add_docs(conn, self._docs),
                "target": add_texts(conn, schema.target, self._targets),
                "context": add_texts(conn, schema.context, self._contexts),
            }
            known.update(add_requests(conn, fresh, ids))
        known.update({alias: known[key] for alias, key in aliases.items()})
        for contents in (self._docs, self._targets, self._contexts):
            contents.clear()

    # ------------------------------------------------------------------------ as lm-eval writes

    def _as_it_stands(self, record: Record) -> NewRequest | None:
        """Take a head apart by its spans; None unless writing it again gives the same text."""
        text = record.text[: record.cut] + b"}"
        try:
            head = _head_of(text)
            contexts: list[bytes] = []
            rests: list[bytes] = []
            pieces: list[bytes | Raw] = []
            last, context = EMPTY, b""
            for index, part in enumerate(head.arguments.values()):
                if part.arg_0 != last:  # all choices of a document have one context
                    last = part.arg_0
                    context = self._context(bytes(last))
                    if not context:
                        return None
                rest = bytes(part.arg_1)
                contexts.append(context)
                rests.append(rest)
                pieces += (_opening(index), last, b', "arg_1": ' if rest else b"", rest)
            written = b"".join((
                *(b'{"doc_id": ', head.doc_id, b', "doc": ', head.doc),
                *(b', "target": ', head.target, b', "arguments": {'),
                *(*pieces, b"}}}" if pieces else b"}}"),
            ))  # fmt: skip
            if written != text or not self._are_canonical(rests):
                return None
            return self._whole(record, head, contexts, rests)
        except (ValueError, RecursionError):  # in any doubt it is parsed
            return None

    def _whole(
        self, record: Record, head: Head, contexts: list[bytes], rests: list[bytes]
    ) -> NewRequest | None:
        """Return the request of a head, once the rest of it proves to be as lm-eval writes it."""
        doc, target, number = bytes(head.doc), bytes(head.target), bytes(head.doc_id)
        fields = record.fields
        doc_key = quick_doc_hash(doc, bytes(fields.get("doc_hash", EMPTY))[1:-1])
        if doc_key is None or not self._is_canonical(target):
            return None
        if number.isdigit() and len(number) <= MAX_DIGITS:
            logged_id: int | None = int(number)
        elif self._is_canonical(number):
            logged_id = whole_number(number)
        else:
            return None
        self._docs[doc_key] = doc.decode()
        target_key, self._targets[target_key], target_hash = target_content(target)
        prompt_hash = self._prompt_hash(contexts)
        fit = hashes_fit(fields, (doc_key, prompt_hash, target_hash))
        rest_json = f"[[{b'], ['.join(rests).decode()}]]" if contexts else "[]"
        return NewRequest(
            doc_key,
            target_key,
            logged_id,
            tuple(contexts),
            rest_json,
            None,
            prompt_hash,
            None if logged_id is None and fit else fit,
        )

    def _are_canonical(self, spans: list[bytes]) -> bool:
        """Tell whether all of some spans are canonical."""
        text = b"".join(spans)
        if b"\\" in text or b"\x7f" in text:
            return all(map(self._is_canonical, spans))
        return all(one.startswith(b'"') or self._is_canonical(one) for one in spans)

    def _is_canonical(self, span: bytes) -> bool:
        """Tell whether a span is what `json.dumps` writes, or empty."""
        if span.startswith(b'"'):
            return (b"\\" not in span and b"\x7f" not in span) or _encode(_string(span)) == span
        known = self._canonical.get(span)
        if known is None:
            known = not span or span_of(json_exact.loads(span)) == span
            if len(span) <= MAX_SPAN_BYTES and len(self._canonical) < MAX_SPANS:
                self._canonical[span] = known
        return known

    def _context(self, span: bytes) -> bytes:
        """Keep a context, return its key; b"" when it is not written as `json.dumps` does."""
        if span.startswith(b'"'):
            text = _string(span)
            if _encode(text) != span:  # the same as `json.dumps` for every character
                return b""
            key, self._contexts[key] = text_content(text)
            return key
        if not self._is_canonical(span):
            return b""
        key = json_key(span)
        self._contexts[key] = (True, span.decode(), None)
        return key

    def _prompt_hash(self, contexts: Sequence[bytes]) -> bytes | None:
        """Return lm-eval's `prompt_hash`: of the first context, or of the one text in its list."""
        if not contexts:
            return None
        is_json, text, _ = self._contexts[contexts[0]]
        if not is_json:
            return contexts[0]
        match json_exact.loads(text):
            case [str(prompt)]:
                return json_exact.text_hash(prompt)
        return None

    # --------------------------------------------------------------------------- as others write

    def _parsed(self, record: Record, file: str) -> tuple[bytes, NewRequest]:
        """Take a head apart by parsing it; return the key of it as lm-eval would write it."""
        fields = record.line().fields
        check_fields(fields, record.number, file)
        try:
            head = {name: json_exact.loads(bytes(fields[name])) for name in HEAD if name in fields}
            doc_key = json_exact.doc_hash(head["doc"])
            self._docs[doc_key] = storable_json(head["doc"])
            written: dict[str, Raw] = {
                name: msgspec.Raw(span_of(value)) for name, value in head.items()
            }
            target_key, self._targets[target_key], target_hash = target_content(
                bytes(written["target"])
            )
            contexts, rest_json, exact = self._arguments(head["arguments"])
        except (ValueError, RecursionError) as error:
            raise unusable(file, record.number, error) from None
        prompt_hash = self._prompt_hash(contexts)
        fit = hashes_fit(fields, (doc_key, prompt_hash, target_hash))
        logged_id = whole_number(bytes(written["doc_id"])) if "doc_id" in head else None
        is_lost = logged_id is None and "doc_id" in head
        hashes: dict[str, Raw] = {name: fields[name] for name in HASHES if name in fields}
        return key_of({**written, **hashes}), NewRequest(
            doc_key,
            target_key,
            logged_id,
            contexts,
            rest_json,
            exact,
            prompt_hash,
            None if is_lost and fit else fit,
        )

    def _arguments(self, value: Any) -> tuple[tuple[bytes, ...], str | None, str | None]:  # noqa: ANN401 - any JSON value
        """Return the contexts' keys, `rest_json` and `exact` of parsed arguments."""
        lists = argument_lists(value)
        if not isinstance(value, dict) or lists is value or not all(lists):
            return (), None, storable_json(value)
        contexts = []
        for context, *_ in lists:
            if isinstance(context, str):
                key, self._contexts[key] = text_content(context)
            else:
                text = storable_json(context)
                key = json_key(text.encode())
                self._contexts[key] = (True, text, None)
            contexts.append(key)
        return tuple(contexts), storable_json([rest for _, *rest in lists]), None


@cache
def _opening(index: int) -> bytes:
    """Return what stands in front of a request's context."""
    opening = b'"gen_args_%d": {"arg_0": ' % index
    return b"}, " + opening if index else opening


def hashes_fit(
    fields: Mapping[str, Raw], computed: tuple[bytes, bytes | None, bytes]
) -> bool | None:
    """Tell whether logged hashes are those of the content; None where one can't be told."""
    doc, prompt, target = computed
    if prompt is not None:  # most lines have three hashes, and they fit
        fitting = f'"{doc.hex()}""{prompt.hex()}""{target.hex()}"'.encode()
        if b"".join([fields.get(name, EMPTY) for name in HASHES]) == fitting:
            return True
    logged = [fields.get(name) for name in HASHES]
    fit: bool | None = True
    for raw, own in zip(logged, computed, strict=True):
        if raw is None:
            continue
        if own is None:  # a prompt that is no text
            fit = None
        elif bytes(raw) != b'"%b"' % own.hex().encode():
            return False
    return fit


def whole_number(raw: bytes) -> int | None:
    """Return an integer that a database holds, None for anything else."""
    try:
        number = int(raw)
    except ValueError:
        return None
    return number if -LARGEST_ID <= number <= LARGEST_ID else None

"""The language of users' conditions: parsed by sqlglot, allowed node by node.

    doc->>'level' > 3 AND task = 'gsm8k' AND response LIKE '%####%'

Only what `nodes` names exists; everything else is refused.  What is allowed becomes
SQLAlchemy expressions whose values are parameters or escaped literals, so a condition can't turn
into anything else.  The same text means the same on every database:

*   `->>` gives a text; where it meets a number or true/false it is read as one, or is NULL.
*   Numbers are doubles: 7 / 2 is 3.5, and x / 0 is NULL.
*   Texts are ordered by code points; `lower`, `upper` and ILIKE know the case of ASCII letters
    only; LIKE heeds case, and has no escape character unless ESCAPE names one.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from sqlglot import Token, TokenType, exp
from sqlglot.dialects import Postgres
from sqlglot.errors import ParseError, TokenError

from rescore_db.errors import BadSqlError
from rescore_db.json_exact import UNSTORABLE
from rescore_db.store.conditions.nodes import Compiler, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import ColumnElement

    from rescore_db.store.conditions.values import Dialect

_ARROWS: Final = frozenset({TokenType.ARROW, TokenType.DARROW})
_NAMES: Final = frozenset({TokenType.VAR, TokenType.IDENTIFIER})
MAX_LENGTH: Final = 100_000  # characters of a condition


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that can stand in a query.

    Attributes:
        where: the expression, over the tables of `schema`.
        fields: those of `nodes.FIELDS` that it reads.
    """

    where: ColumnElement[bool]
    fields: frozenset[str]


def compile_condition(text: str, dialect: Dialect, scope: Scope = Scope.SAMPLE) -> Condition:
    """Turn what a user typed into an expression.

    Raises:
        BadSqlError: not a condition, something that conditions don't know, an unknown field.
    """
    compiler = Compiler(dialect, scope)
    try:
        where = compiler.truth(_parse(text))
    except RecursionError:
        msg = "the condition is nested too deeply"
        raise BadSqlError(msg) from None
    return Condition(where, frozenset(compiler.fields))


def _parse(text: str) -> exp.Expr:
    if len(text) > MAX_LENGTH:
        msg = f"the condition has {len(text):,} characters; {MAX_LENGTH:,} is the most"
        raise BadSqlError(msg)
    if UNSTORABLE.search(text):
        msg = "the condition holds a character (NUL, half a surrogate pair) that no text can hold"
        raise BadSqlError(msg)
    try:
        dialect = Postgres()
        tokens = bind_arrows(dialect.tokenize(text))
        parsed = dialect.parser().parse_into(exp.Condition, tokens, text)
    except ParseError as error:
        raise BadSqlError(_syntax_message(error)) from error
    except TokenError as error:
        msg = f"the condition can't be read; is a quote left open? ({error})"
        raise BadSqlError(msg) from error
    if len(parsed) != 1 or parsed[0] is None:
        msg = "one condition only, without ;" if any(parsed) else "the condition is empty"
        raise BadSqlError(msg)
    condition: exp.Expr = parsed[0]
    return condition


def bind_arrows(tokens: Iterable[Token]) -> list[Token]:
    """Put every `x -> key` in parentheses.

    In SQLite arrows bind more tightly than anything else, in PostgreSQL less than arithmetic, so
    that `doc->>'a' + 1` asks for the key `'a' + 1` there.  Here it means what it looks like.
    """
    bound: list[Token] = []
    opened: list[int] = []  # where the parentheses that are still open stand in `bound`
    operand: int | None = None  # where the operand that ends at the last token begins
    left = deque(tokens)
    while left:
        token = left.popleft()
        key = _key_length(left) if token.token_type in _ARROWS and operand is not None else 0
        if key and operand is not None:
            bound.insert(operand, _like(token, TokenType.L_PAREN, "("))
            bound += [token, *(left.popleft() for _ in range(key))]
            token = _like(token, TokenType.R_PAREN, ")")
        elif token.token_type is TokenType.L_PAREN:
            opened.append(len(bound))
            operand = None
        elif token.token_type is TokenType.R_PAREN:
            operand = opened.pop() if opened else None
        else:
            operand = len(bound) if token.token_type in _NAMES else None
        bound.append(token)
    return bound


def _key_length(following: Sequence[Token]) -> int:
    """Return how many tokens the key after an arrow has, 0 if there is none."""
    kinds = [token.token_type for token in islice(following, 2)]
    if kinds[:1] in ([TokenType.STRING], [TokenType.NUMBER]):
        return 1
    return 2 if kinds == [TokenType.DASH, TokenType.NUMBER] else 0


def _like(token: Token, kind: TokenType, text: str) -> Token:
    """Return a token that stands where another one does."""
    return Token(kind, text, token.line, token.col, token.start, token.end)


def _syntax_message(error: ParseError) -> str:
    """Say where the condition stops making sense, in one line."""
    if not error.errors:
        return f"the condition can't be read: {error}"
    first = error.errors[0]
    what = re.sub(r" for <class '.*\.(\w+)'>", r" in \1", str(first.get("description")))
    near = str(first.get("highlight") or "")
    place = f"line {first.get('line')}, column {first.get('col')}"
    return f"the condition can't be read at {place}{f' (near {near!r})' if near else ''}: {what}"

"""The frozen dataclasses that layers hand each other.

Plain data: no behaviour beyond what is derived from the fields themselves.
"""

from rescore_db.records.compared import CompareRow, HistoryRow
from rescore_db.records.ingested import FileError, IngestReport, Skipped
from rescore_db.records.lifecycle import Check, Current, Migration, Problem
from rescore_db.records.progress import Progress
from rescore_db.records.rows import Rows, SqlResult
from rescore_db.records.scored import (
    Difference,
    ScoredRow,
    ScoreKind,
    ScoreRow,
    ScoringDetail,
    VerifyRow,
)
from rescore_db.records.stored import (
    EvaluationRow,
    RunDetail,
    RunRow,
    SampleDetail,
    SampleRow,
    SampleScore,
    ScoringRow,
    SubsetRow,
    TaskRow,
)

__all__ = [
    "Check",
    "CompareRow",
    "Current",
    "Difference",
    "EvaluationRow",
    "FileError",
    "HistoryRow",
    "IngestReport",
    "Migration",
    "Problem",
    "Progress",
    "Rows",
    "RunDetail",
    "RunRow",
    "SampleDetail",
    "SampleRow",
    "SampleScore",
    "ScoreKind",
    "ScoreRow",
    "ScoredRow",
    "ScoringDetail",
    "ScoringRow",
    "Skipped",
    "SqlResult",
    "SubsetRow",
    "TaskRow",
    "VerifyRow",
]

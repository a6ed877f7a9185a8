"""The frozen dataclasses that layers hand each other.

Plain data: no behaviour beyond what is derived from the fields themselves.
"""

from rescore_db.records.compared import CompareRow, HistoryRow
from rescore_db.records.exported import ExportedFile, ExportReport
from rescore_db.records.ingested import (
    FileError,
    IngestOptions,
    IngestReport,
    QuarantineRow,
    Skipped,
    Taken,
)
from rescore_db.records.lifecycle import Check, Current, Migration, Problem
from rescore_db.records.managed import Deletion, StoreInfo, TableSpace, Vacuumed
from rescore_db.records.progress import Progress
from rescore_db.records.recipes import RecipeDifference, RecipeRow
from rescore_db.records.rows import Rows, SqlResult
from rescore_db.records.scored import (
    Difference,
    DriftSign,
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
    "Deletion",
    "Difference",
    "DriftSign",
    "EvaluationRow",
    "ExportReport",
    "ExportedFile",
    "FileError",
    "HistoryRow",
    "IngestOptions",
    "IngestReport",
    "Migration",
    "Problem",
    "Progress",
    "QuarantineRow",
    "RecipeDifference",
    "RecipeRow",
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
    "StoreInfo",
    "SubsetRow",
    "TableSpace",
    "Taken",
    "TaskRow",
    "Vacuumed",
    "VerifyRow",
]

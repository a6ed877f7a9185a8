"""`rescore export` and `rescore ingest --responses`, as users type them."""

from __future__ import annotations

import json
from pathlib import Path

from rescore_db.cli.main import main
from tests.cli.conftest import LOGS
from tests.cli.running import HERON, Captured, answer
from tests.export.exporting import files_in


def test_the_demos_logs_come_back(filled_url: str, tmp_path: Path, capsys: Captured) -> None:
    assert filled_url
    out = tmp_path / "out"

    assert main(["export", "--format", "lm-eval", str(out)]) == 0

    told = capsys.readouterr()
    assert files_in(out) == {
        name: content for name, content in files_in(Path(LOGS)).items() if "json" in name
    }
    assert told.out.splitlines()[-1].startswith(f"{len(files_in(out))} files in {out} (")
    assert told.err == ""


def test_programs_get_files_lines_and_bytes(
    filled_url: str, tmp_path: Path, capsys: Captured
) -> None:
    assert filled_url
    line = ["export", str(tmp_path / "out"), "--run", HERON, "--task", "shop_sums"]

    found = answer(capsys, *line)

    assert {"format", "out", "runs", "files", "lines", "bytes", "notes"} <= found.keys()
    results, samples = found["files"]
    assert (results["kind"], samples["kind"], samples["task"]) == (
        "results",
        "samples",
        "shop_sums",
    )
    assert samples["bytes"] == len((tmp_path / "out" / samples["file"]).read_bytes())
    assert found["bytes"] == results["bytes"] + samples["bytes"]
    assert samples["lines"] == found["lines"] > 0
    assert samples["status"] == "written"


def test_a_scoring_is_named_by_run_and_name(
    filled_url: str, tmp_path: Path, capsys: Captured
) -> None:
    assert filled_url
    line = ["export", str(tmp_path / "out"), "--scoring"]

    found = answer(capsys, *line, f"{HERON}:logged", "--task", "shop_sums")

    assert [one["kind"] for one in found["files"]] == ["results", "samples"]
    assert main([*line, "loged"]) == 2
    assert "no scoring named 'loged'; did you mean logged?" in capsys.readouterr().err
    assert main([*line, "logged", "--format", "responses"]) == 2
    assert "responses have no scores: leave one out" in capsys.readouterr().err


def test_a_file_in_the_way_is_told(filled_url: str, tmp_path: Path, capsys: Captured) -> None:
    assert filled_url
    line = ["export", str(tmp_path), "--run", HERON, "--task", "shop_sums"]
    assert main(line) == 0
    path = next(tmp_path.rglob("samples_*"))
    path.write_text("mine", encoding="utf-8")
    capsys.readouterr()

    assert main(line) == 1

    told = capsys.readouterr()
    assert f"rescore: {path} was there with other content and stays" in told.err
    assert f"{path}: " in told.out
    assert main([*line, "--force"]) == 0
    assert path.read_text(encoding="utf-8") != "mine"


def test_what_cannot_be_exported_is_usage(
    filled_url: str, tmp_path: Path, capsys: Captured
) -> None:
    assert filled_url
    assert main(["export", str(tmp_path), "--task", "shop_sum"]) == 2
    assert "no task named 'shop_sum'; did you mean shop_sums" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--format", "parquet"]) == 2
    assert main(["export"]) == 2


def test_responses_go_out_and_in(store_url: str, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "answers.jsonl"
    line = {"doc_id": 0, "doc": {"q": "1 + 1?"}, "arguments": [["1 + 1?", {"until": ["."]}]]}
    line |= {"response": "two", "target": "2"}
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    db = ["--db", store_url]
    take = ["ingest", "--responses", str(path), "--task", "sums", "--model", "my/model", *db]

    first = answer(capsys, *take, "--name", "mine")
    assert (first["evaluations"], first["samples"]) == (1, 1)
    assert answer(capsys, *take)["evaluations"] == 0
    assert (
        main(["export", str(tmp_path / "out"), "--format", "responses", "--run", "mine", *db]) == 0
    )
    written = (tmp_path / "out" / "my__model" / "responses_sums.jsonl").read_text(encoding="utf-8")
    assert json.loads(written) == line

    path.write_text("{}\n", encoding="utf-8")
    assert main(take) == 1
    message = f"rescore: {path}:1: doc: missing: give doc, or doc_id or doc_hash"
    assert message in capsys.readouterr().err

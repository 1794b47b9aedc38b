"""The benchmark of replay memories: a small one prints its table, and what cannot be measured is told."""

from __future__ import annotations

import pytest
import replay_benchmark as benchmark

from purejaxrl import command_line


def test_a_small_one_prints_a_line_with_every_memory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # a busy machine's figures are long
    words = "--capacities 1024 --seeds 2 --batch-size 4 --iterations 3 --repeats 1"
    assert command_line.exit_code(lambda: benchmark.main(words.split())) == 0
    said = capsys.readouterr().out
    rows = [line.split("│")[1:-1] for line in said.splitlines() if line.startswith("│")]
    (row,) = rows
    assert [cell.strip() for cell in row[:2]] == ["2", "1,024"]
    assert len(row) == 6
    assert "(1.0)" in row[2], "the first is the measure of the others"
    assert all(float(cell.split()[0]) > 0 for cell in row[2:])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--repeats 0", "repeats must be a whole number of at least 1, not 0"),
        ("--iterations 0", "iterations must be a whole number of at least 1, not 0"),
        ("--seeds 0", "seeds must be a whole number of at least 1, not (0,)"),
        ("--seeds", "seeds must name one number or more"),
        ("--capacities", "capacities must name one number or more"),
        ("--capacities 100 0", "capacities must be a whole number of at least 1, not (100, 0)"),
        ("--batch-size -1", "batch_size must be a whole number of at least 1, not -1"),
        ("--num-envs 0", "num_envs must be a whole number of at least 1, not 0"),
        ("--n-step 0", "n_step must be a whole number of at least 1, not 0"),
        ("--capacities 2 --seeds 1", "3 in a row"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_error(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.exit_code(lambda: benchmark.main(words.split())) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.strip().splitlines()) == 1

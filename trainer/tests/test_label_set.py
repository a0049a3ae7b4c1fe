"""Files, splits and filters; whatever is wrong with a label set is named with its file, column and fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import numpy as np
import pyarrow as pa
import pytest

from making import HIDDEN, label_rows, label_set, slm_folder, table, write_parquet
from r2r_trainer.config import parse_config
from r2r_trainer.errors import TrainerError
from r2r_trainer.label_set import find_files
from r2r_trainer.splits import Divided, divide


def divided(folder: Path, shared_ids: bool = False, window: int = 1, **data: Any) -> Divided:
    return divide(parse_config({"data": data}), find_files(folder), window, shared_ids)


def questions_of(found: Divided, name: str) -> set[int]:
    from r2r_trainer.label_set import read_group

    ids: set[int] = set()
    rows = found.splits[name]
    for group, chosen in zip(rows.groups, rows.chosen):
        column = np.concatenate([batch.column("data_id").to_numpy() for batch in read_group(group, ["data_id"])])
        ids |= set(column[chosen].tolist())
    return ids


def test_one_set_is_split_by_question_without_a_leak(labels: Path):
    found = divided(labels)
    sets = [questions_of(found, name) for name in ("train", "validation", "test")]
    assert [len(each) for each in sets] == [32, 4, 4]
    assert len(set.union(*sets)) == 40


def test_the_split_does_not_depend_on_how_rows_lie_in_files(labels: Path, tmp_path: Path):
    write_parquet(tmp_path / "x" / "b.parquet", label_rows(range(20)), group=37)
    write_parquet(tmp_path / "x" / "a.parquet", label_rows(range(20, 40)), group=51)
    one, other = divided(labels), divided(tmp_path / "x")
    for name in ("train", "validation", "test"):
        assert questions_of(one, name) == questions_of(other, name)


def test_another_seed_gives_another_split(labels: Path):
    one, other = divided(labels), divided(labels, test={"random_seed": 7})
    assert questions_of(one, "test") != questions_of(other, "test")


def test_given_splits_are_kept(tmp_path: Path):
    for name, ids in (("train", range(20)), ("validation", range(20, 30)), ("test", range(30, 40))):
        write_parquet(tmp_path / "data" / f"{name}-00000.parquet", label_rows(ids))
    found = divided(tmp_path)
    assert questions_of(found, "train") == set(range(20)) and questions_of(found, "test") == set(range(30, 40))


def test_a_single_held_out_split_is_halved_by_question(tmp_path: Path):
    write_parquet(tmp_path / "train" / "0.parquet", label_rows(range(20)))
    write_parquet(tmp_path / "test" / "0.parquet", label_rows(range(20, 40)))
    found = divided(tmp_path)
    early, late = questions_of(found, "validation"), questions_of(found, "test")
    assert len(early) == len(late) == 10 and early | late == set(range(20, 40))


def test_a_question_in_two_splits_is_refused_unless_ids_are_the_splits_own(tmp_path: Path):
    write_parquet(tmp_path / "train.parquet", label_rows(range(20)))
    write_parquet(tmp_path / "test.parquet", label_rows(range(19, 40)))
    with pytest.raises(TrainerError, match="1 questions are in test and in train|1 questions are in train and in test") as caught:
        divided(tmp_path)
    assert "--ids-per-split" in caught.value.fix
    assert len(questions_of(divided(tmp_path, shared_ids=True), "train")) == 20


def test_only_masked_rows_with_a_label_are_used(labels: Path):
    found = divided(labels)
    rows = {name: np.concatenate((label_rows(range(20))[name], label_rows(range(20, 40))[name])) for name in ("mask", "divergent", "mismatch")}
    used = (rows["mask"] == 1) & (rows["divergent"] >= 0)
    assert sum(len(each) for each in found.splits.values()) == used.sum()
    facts = list(found.facts.values())
    assert sum(each["divergent"] for each in facts) == (used & (rows["divergent"] == 1)).sum()
    assert sum(each["neutral"] for each in facts) == (used & (rows["mismatch"] == 1) & (rows["divergent"] == 0)).sum()


def test_filters(labels: Path):
    everything = divided(labels).facts["train"]
    mismatches = divided(labels, train={"filter": ["is_mismatch"]}).facts
    assert mismatches["train"]["identical"] == 0 and mismatches["train"]["divergent"] > 0
    balanced = divided(labels, train={"filter": [{"type": "downsample_match_data", "align": "mismatch"}]}).facts["train"]
    assert balanced["divergent"] == everything["divergent"] and balanced["identical"] < everything["identical"]
    few = divided(labels, train={"filter": [{"type": "filter_data_id_critical", "max_critical_ratio": 0.06}]}).facts["train"]
    assert 0 < few["questions"] < everything["questions"]


def test_windows_need_the_rows_before_them(labels: Path):
    rows = divided(labels, window=3).splits["train"]
    whole = divided(labels).splits["train"]
    # neither the first two rows of a question nor those of a row group
    assert len(rows) < len(whole) and all(chosen.min() >= 2 for chosen in rows.chosen)


@pytest.mark.parametrize("stream", (True, False))
def test_arrow_files_as_datasets_saves_them(labels: Path, tmp_path: Path, trained: Callable[..., Path], stream: bool):
    for number, ids in enumerate((range(20), range(20, 40))):
        data = table(label_rows(ids))
        open_file = pa.ipc.new_stream if stream else pa.ipc.new_file
        with open_file(str(tmp_path / f"data-0000{number}-of-00002.arrow"), data.schema) as writer:
            writer.write_table(data, max_chunksize=100)
    (tmp_path / "state.json").write_text("{}")
    one, other = trained("one", "--data", str(tmp_path)), trained("other")
    assert (one / "router.pt").read_bytes() == (other / "router.pt").read_bytes()


def broken(tmp_path: Path, change: Callable[[dict], None]) -> Path:
    rows = label_rows(range(40))
    change(rows)
    write_parquet(tmp_path / "broken" / "part.parquet", rows)
    return tmp_path / "broken"


def ragged(rows: dict) -> None:
    lists = list(rows["small_logits"])
    lists[150] = lists[150][:3]
    rows["small_logits"] = np.array(lists, dtype=object)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.pop("divergent"), "column divergent: is missing; there are data_id"),
        (lambda rows: rows.pop("data_id"), "column data_id: is missing"),
        (lambda rows: rows.pop("small_last_hidden_states"), "column small_last_hidden_states: is missing"),
        (lambda rows: rows.pop("small_token"), "column small_token: is missing"),
        (lambda rows: rows.update(divergent=rows["divergent"] + 2), "column divergent: holds"),
        (lambda rows: rows.update(divergent=rows["divergent"].astype(float)), "column divergent: holds double; whole numbers are expected"),
        (lambda rows: rows.update(mask=0 * rows["mask"]), "the split for training: has no row"),
        (lambda rows: rows.update(divergent=0 * rows["divergent"]), "the split for training: has no divergent row"),
        (lambda rows: rows.update(small_logits=rows["small_token"]), "column small_logits: holds int64; lists of float32 are expected"),
        (lambda rows: rows.update(small_token=rows["small_token"] + 1000), "the SLM has 40 tokens; give the SLM that drafted them"),
        (lambda rows: rows["small_last_hidden_states"].__setitem__((7, 3), np.nan), "column small_last_hidden_states: holds a value that is no"),
        (ragged, "column small_logits: has rows of different lengths"),
    ],
)
def test_what_is_wrong_in_a_label_set(tmp_path: Path, refused: Callable[..., str], change: Callable[[dict], None], message: str):
    text = refused("--data", str(broken(tmp_path, change)))
    assert message in text and "LABEL_SET_INVALID" in text


def test_files_that_are_not_there_or_cannot_be_read(tmp_path: Path, refused: Callable[..., str], labels: Path):
    assert "is not there; give --data" in refused("--data", str(tmp_path / "nowhere"))
    assert "holds no .parquet or .arrow file" in refused("--data", str(tmp_path))
    part = write_parquet(tmp_path / "torn" / "part-0.parquet", label_rows(range(20)))
    part.write_bytes(part.read_bytes()[:5000])
    assert f"{part}: cannot be read" in refused("--data", str(part.parent))
    damaged = write_parquet(tmp_path / "damaged" / "part-0.parquet", label_rows(range(40)))
    content = bytearray(damaged.read_bytes())
    content[6000:9000] = bytes(3000)
    damaged.write_bytes(bytes(content))
    assert "part-0.parquet (row group" in refused("--data", str(damaged.parent))
    write_parquet(tmp_path / "mixed" / "train.parquet", label_rows(range(20)))
    write_parquet(tmp_path / "mixed" / "more.parquet", label_rows(range(20, 40)))
    assert "more.parquet: belongs to no split" in refused("--data", str(tmp_path / "mixed"))


def test_slm_folders_that_do_not_serve(tmp_path: Path, refused: Callable[..., str], labels: Path):
    assert "has no config.json; give --slm" in refused("--slm", str(tmp_path))
    torn = slm_folder(tmp_path / "torn")
    (torn / "model.safetensors").write_bytes((torn / "model.safetensors").read_bytes()[:200])
    assert "SLM_INVALID" in refused("--slm", str(torn))
    other = slm_folder(tmp_path / "other", hidden=HIDDEN, vocabulary=20)
    assert "the SLM has 20 tokens" in refused("--slm", str(other))
    (other / "model.safetensors").unlink()
    assert "cannot be read" in refused("--slm", str(other))
    untied = slm_folder(tmp_path / "untied", hidden=8, tied=False)
    text = refused("--slm", str(untied), model={"model_type": "HiddenStatesClassifierWithLMHead", "init_args": {"hidden_dims": [8]}})
    assert "the SLM's LM head takes 8 values, not 16" in text

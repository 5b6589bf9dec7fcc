"""Tables follow from records; the README's figures follow from the kept ones."""

from pathlib import Path

import numpy as np

from gholm_lib import Config
from gholm_lib.evaluation import Predictions
from gholm_lib.records import Record
from gholm_lib.tables import load_records, records_folder, results_table

ROOT = Path(__file__).resolve().parents[1]


def record(right: int, seed: int, crop: bool = True) -> Record:
    """A run of four test images, of which ``right`` are answered rightly."""
    config = Config(seed=seed) if crop else Config(seed=seed, crop=False, sup=False, drop=False)
    said = np.array([1] * right + [0] * (4 - right), np.int16)
    none = np.full(4, -1, np.int16)
    predictions = Predictions(
        label=np.ones(4, np.int16),
        raw=said,
        crop=said if crop else none,
        both=said if crop else none,
        box=np.zeros((4, 4), np.int16),
        fallback=np.zeros(4, bool),
        image_size=160,
    )
    return Record(
        config=config.to_dict(),
        data={"classes": 2, "test": 4},
        results={"last": predictions.summary()},
        curve=[],
        cost={},
        environment={},
        predictions=predictions,
    )


def test_a_row_is_the_mean_over_its_seeds():
    rows = results_table([record(3, seed=0), record(1, seed=1)]).splitlines()
    assert len(rows) == 3
    cells = [c.strip() for c in rows[2].strip("|").split("|")]
    assert cells[4:6] == ["raw + crop + sup + drop", "2"]
    assert cells[9] == "50.0 ± 35.4"  # 75 and 25 %
    assert cells[10] == "21.5 to 78.5"  # Wilson's interval of 4 in 8


def test_raw_alone_comes_first_and_has_no_crop():
    rows = results_table([record(3, seed=0), record(2, seed=0, crop=False)]).splitlines()[2:]
    cells = [c.strip() for c in rows[0].strip("|").split("|")]
    assert cells[4] == "raw"
    assert cells[8:10] == ["–", "50.0"]


def test_the_readme_shows_what_the_kept_records_give():
    readme = (ROOT / "README.md").read_text()
    for row in results_table(load_records(records_folder())).splitlines():
        assert row in readme, f"the README lacks this row of `gholm results`: {row}"

"""A lake in which nobody agrees is refused before histories are made."""

from __future__ import annotations

import datetime as dt

import pyarrow.parquet as pq
import pytest

from pipeline.errors import GateError
from pipeline.histories.consent_check import refuse_no_consent
from pipeline.lake import Lake, Run
from tests.lake_rows import user_id_of, write_again, write_rows

NIGHT = dt.date(2026, 3, 1)


def user(name: str, *, consent: bool) -> dict[str, object]:
    return {"user_id": user_id_of(name), "consent": consent, "source": "test"}


@pytest.mark.parametrize("statistics", [True, False])
def test_nobody_and_somebody(lake: Lake, statistics: bool) -> None:
    def rewritten(file, target) -> None:  # type: ignore[no-untyped-def]
        pq.write_table(pq.read_table(file), target, write_statistics=statistics)

    with pytest.raises(GateError, match="none of the 0 rows of users"):
        refuse_no_consent(lake, NIGHT)
    write_rows(lake, "cleaned_users", Run(NIGHT, "r1"), [user("ann", consent=False)] * 3)
    write_again(lake, "cleaned_users", NIGHT, rewritten)
    with pytest.raises(GateError, match="none of the 3 rows of users .* has consent"):
        refuse_no_consent(lake, NIGHT)
    before = NIGHT - dt.timedelta(days=1)
    write_rows(lake, "cleaned_users", Run(before, "r0"), [user("bob", consent=True)])
    write_again(lake, "cleaned_users", before, rewritten)
    refuse_no_consent(lake, NIGHT)
    with pytest.raises(GateError):
        refuse_no_consent(lake, before - dt.timedelta(days=1))

"""Workers with trials that train nothing are measured, and the page has the table of the results."""

import json

from benchmarks import search_workers


def test_a_small_measurement_has_all_trials_once(postgres):
    """Two workers, each in a process of its own."""
    found = search_workers.measure(postgres, 2, 6)
    assert (found["workers"], found["trials"], found["other_states"], found["duplicates"]) == (2, 6, 0, 0)
    assert found["trials_per_second"] > 0
    assert found["transactions_per_trial"] > 10


def test_the_page_has_the_table_of_the_results():
    """`python -m benchmarks.search_workers` writes both."""
    page, rows = search_workers.PAGE.read_text(), json.loads(search_workers.RESULTS.read_text())["rows"]
    begin, end = search_workers.MARKS
    block = page[page.index(begin) + len(begin) : page.index(end)]
    assert block.strip() == search_workers.table_of(rows).strip()

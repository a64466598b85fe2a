"""Rows that are kept from each batch."""

import pytest
import torch

from lit_ae.metrics.kept_rows import KeptRows


@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
@pytest.mark.parametrize("sizes", [[1], [0, 3], [5, 5, 5, 1], [1] * 40, [0]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_all_rows_are_those_that_were_added(shape, sizes, dtype):
    batches = [(100 * torch.rand(n, *shape)).to(dtype) for n in sizes]
    kept = KeptRows()
    for batch in batches:
        kept.add(batch)
    assert len(kept) == sum(sizes)
    assert torch.equal(kept.all(), torch.cat(batches))
    assert kept.all().dtype == dtype


def test_what_is_kept_is_a_copy_without_a_gradient():
    kept, batch = KeptRows(), torch.ones(2, 3, requires_grad=True)
    kept.add(2 * batch)
    rows = kept.all().clone()
    with torch.no_grad():
        batch.zero_()
    assert torch.equal(kept.all(), rows)
    assert not kept.all().requires_grad


def test_memory_is_moved_a_few_times_alone():
    kept, places = KeptRows(), set()
    for _ in range(1000):
        kept.add(torch.zeros(4, 5))
        places.add(kept.all().data_ptr())
    assert len(places) < 25


def test_without_a_batch_there_is_nothing():
    assert len(KeptRows()) == 0
    with pytest.raises(ValueError, match="no batch has been added"):
        KeptRows().all()

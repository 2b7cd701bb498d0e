import torch

from stica_pv.evaluation.features.rows import _packed, _unpacked


def test_rows_come_back_from_bytes_as_they_were():
    entries = [(i, {"a": torch.randn(3, 5), "b c": torch.randn(1, 2)}) for i in (7, 2)]
    found = _unpacked(_packed(entries))
    assert list(found) == [7, 2]
    for index, rows in entries:
        assert all(torch.equal(found[index][name], row) for name, row in rows.items())
    assert _unpacked(_packed([])) == {}

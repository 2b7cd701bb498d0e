from pathlib import Path

import pytest

from stica_pv.data.decoding.container import local_path, size_and_mtime
from stica_pv.data.decoding.tar_entry import TarEntry, file_of, tar_entry_of
from stica_pv.errors import UnreadableClip


@pytest.mark.parametrize(
    "member",
    [
        TarEntry("a.tar", 0, 1, "b.mp4"),
        TarEntry("folder/a b.tar", 1536, 2**40, "c d/e::1+2::f.mp4"),
        TarEntry("s3://bucket/a.tar", 512, 7, "b.mp4"),
    ],
)
def test_a_name_says_where_its_bytes_are(member: TarEntry):
    assert tar_entry_of(str(member)) == member
    assert file_of(str(member)) == member.shard


@pytest.mark.parametrize("path", ["a.mp4", "a::b.mp4", "a.tar::12::b.mp4", "a.tar::1+2::", "::1+2::b.mp4", "C::x+1::y"])
def test_other_names_are_files(path: str):
    assert tar_entry_of(path) is None
    assert file_of(path) == path


def test_a_member_has_its_own_size_and_the_age_of_its_shard(tmp_path: Path):
    shard = tmp_path / "a.tar"
    shard.write_bytes(b"x" * 100)
    assert size_and_mtime(f"{shard}::90+10::b.mp4") == (10, shard.stat().st_mtime_ns)
    assert local_path(f"{shard}::90+10::b.mp4") == f"{shard}::90+10::b.mp4"
    with pytest.raises(UnreadableClip, match="the shard ends at 100 bytes, before this file does"):
        size_and_mtime(f"{shard}::90+11::b.mp4")
    with pytest.raises(FileNotFoundError):
        size_and_mtime(f"{tmp_path}/b.tar::0+1::b.mp4")

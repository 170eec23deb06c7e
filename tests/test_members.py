"""Folders and archives: the same files under the same names, nothing followed, nothing unpacked, no bomb goes off."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ragmed.corpora import Corpus, archives, load_recipe
from ragmed.corpora.members import Member, load_object, members
from ragmed.errors import DataError

FILES = {"b/two.md": b"# Two", "a.md": b"one", "c.png": b"\x89PNG", ".hidden/x.md": b"h", "d/._a.md": b"h"}
PACK: dict[str, Callable[[bytes], bytes]] = {
    ".tar": lambda data: data,
    ".tar.gz": gzip.compress,
    ".tar.xz": lzma.compress,
    ".tar.bz2": bz2.compress,
}


def tar(files: dict[str, bytes], *infos: tarfile.TarInfo) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in infos:
            archive.addfile(info)
    return made.getvalue()


def zipped(files: dict[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return made.getvalue()


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def walk(path: Path) -> list[tuple[str, str, object]]:
    """Kind, name below the path, and bytes or reason of all that is there."""
    found: list[tuple[str, str, object]] = []
    for item in members(path, (".md",)):
        if isinstance(item, Member):
            try:
                found.append(("member", item.name, item.read()))
            except ValueError as error:
                found.append(("unread", item.name, str(error)))
        else:
            name = item.file.removeprefix(str(path)).lstrip("!/")
            found.append((type(item).__name__.lower(), name, item.reason))
    return found


def test_a_folder_is_walked_in_order_and_archives_in_it_are_left_alone(tmp_path: Path) -> None:
    for name, data in FILES.items():
        put(tmp_path / "f" / name, data)
    put(tmp_path / "f" / "b" / "more.md.gz", gzip.compress(b"packed"))
    put(tmp_path / "f" / "all.zip", zipped({"x.md": b"x"}))
    assert walk(tmp_path / "f") == [
        ("member", "a.md", b"one"),
        ("ignored", "all.zip", "not one of .md"),
        ("ignored", "c.png", "not one of .md"),
        ("member", "b/more.md", b"packed"),
        ("member", "b/two.md", b"# Two"),
    ]
    paths = [item.path for item in members(tmp_path / "f", (".md",)) if isinstance(item, Member)]
    assert paths == [tmp_path / "f" / "a.md", None, tmp_path / "f" / "b" / "two.md"]


@pytest.mark.parametrize("suffix", [*PACK, ".zip"])
@pytest.mark.parametrize("named", [True, False])
def test_an_archive_is_read_in_place_whatever_its_name(tmp_path: Path, suffix: str, named: bool) -> None:
    data = zipped(dict(FILES)) if suffix == ".zip" else PACK[suffix](tar(FILES))
    path = put(tmp_path / (f"all{suffix}" if named else "download"), data)
    assert walk(path) == [
        ("member", "b/two.md", b"# Two"),
        ("member", "a.md", b"one"),
        ("ignored", "c.png", "not one of .md"),
    ]
    first = next(item for item in members(path, (".md",)) if isinstance(item, Member))
    assert (first.file, first.path) == (f"{path}!b/two.md", None)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_one_file_is_a_member_packed_or_not(tmp_path: Path) -> None:
    for name, data in (("one.md", b"x"), ("one.md.gz", gzip.compress(b"x")), ("one.md.xz", lzma.compress(b"x")),
                       ("one.md.bz2", bz2.compress(b"x"))):  # fmt: skip
        assert walk(put(tmp_path / name, data)) == [("member", "one.md", b"x")]
    two = put(tmp_path / "two.md.xz", lzma.compress(b"x") + bytes(8) + lzma.compress(b"y"))
    assert walk(two) == [("member", "two.md", b"xy")]
    assert walk(put(tmp_path / "other.org", b"x")) == [("member", "other.org", b"x")]
    cut = walk(put(tmp_path / "cut.md.gz", gzip.compress(random.Random(1).randbytes(999))[:500]))
    assert cut[0][:2] == ("unread", "cut.md")
    assert "cut or damaged" in str(cut[0][2])


def test_packed_members_of_archives_are_unpacked(tmp_path: Path) -> None:
    files = {"a.md.gz": gzip.compress(b"x"), "b.md.xz": lzma.compress(b"y"), "c.md.gz": gzip.compress(b"z" * 99)[:15]}
    for data in (lzma.compress(tar(files)), zipped(dict(files))):
        found = walk(put(tmp_path / "all", data))
        assert found[:2] == [("member", "a.md", b"x"), ("member", "b.md", b"y")]
        assert found[2][:2] == ("unread", "c.md")


def test_text_in_an_archive_makes_the_same_corpus_as_in_a_folder(tmp_path: Path) -> None:
    for name, data in FILES.items():
        put(tmp_path / "pages" / name, data)
    put(tmp_path / "pages.tgz", gzip.compress(tar(dict(sorted(FILES.items())))))
    found = []
    for path in ("pages", "pages.tgz"):
        put(tmp_path / "recipe.yaml", f"title: T\nreader: markdown\npaths: [{path}]\n".encode())
        found.append(list(Corpus(load_recipe(tmp_path / "recipe.yaml", data=tmp_path)).documents()))
    assert [(one.id, one.title) for one in found[0]] == [("a", "a"), ("b/two", "Two")]
    assert found[0] == found[1]


def test_what_leads_out_of_a_tar_is_rejected(tmp_path: Path) -> None:
    path = put(tmp_path / "all.tar", tar(
        {"../out.md": b"x", "/etc/abs.md": b"x", "a/../../b.md": b"x", "good.md": b"good", "./also.md": b"also"},
        entry("link.md", tarfile.SYMTYPE, "/etc/passwd"), entry("hard.md", tarfile.LNKTYPE, "good.md"),
        entry("pipe.md", tarfile.FIFOTYPE), entry("disk.md", tarfile.BLKTYPE), entry("folder.md", tarfile.DIRTYPE),
        entry("link", tarfile.SYMTYPE, ".."),
    ))  # fmt: skip
    assert walk(path) == [
        ("rejected", "../out.md", "its path leads out of the archive ('..')"),
        ("rejected", "etc/abs.md", "its path is absolute"),
        ("rejected", "a/../../b.md", "its path leads out of the archive ('..')"),
        ("member", "good.md", b"good"),
        ("member", "also.md", b"also"),
        ("rejected", "link.md", "a link; links in archives are not followed"),
        ("rejected", "hard.md", "a link; links in archives are not followed"),
        ("rejected", "pipe.md", "not a regular file"),
        ("rejected", "disk.md", "not a regular file"),
        ("rejected", "link", "a link; links in archives are not followed"),
    ]


def test_what_leads_out_of_a_zip_is_rejected(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.md")
    link.external_attr = 0o120777 << 16
    data = zipped({"../out.md": b"x", "/abs.md": b"x", "a\\..\\b.md": b"x", "C:/x.md": b"x", link: b"/etc/passwd",
                   "win\\a.md": b"good", "locked.md": b"secret"})  # fmt: skip
    at = data.rindex(b"locked.md") - 46  # its entry in the table of contents; bit 0 of the flags is encryption
    assert data[at : at + 4] == b"PK\x01\x02"
    data = data[: at + 8] + bytes([data[at + 8] | 1]) + data[at + 9 :]
    assert walk(put(tmp_path / "all.zip", data)) == [
        ("rejected", "../out.md", "its path leads out of the archive ('..')"),
        ("rejected", "abs.md", "its path is absolute"),
        ("rejected", "a/../b.md", "its path leads out of the archive ('..')"),
        ("rejected", "C:/x.md", "its path is absolute"),
        ("rejected", "link.md", "a link; links in archives are not followed"),
        ("member", "win/a.md", b"good"),
        ("rejected", "locked.md", "encrypted; repack the archive without a password"),
    ]


def test_a_member_too_large_is_not_read_whole(tmp_path: Path) -> None:
    for data in (tar({"a.md": b"x" * 11}), zipped({"a.md": b"x" * 11}), b"x" * 11, gzip.compress(b"x" * 11)):
        walking = members(put(tmp_path / "one", data), (".md",))
        member = next(walking)
        assert isinstance(member, Member)
        with pytest.raises(ValueError, match="larger than 10 bytes"):
            member.read(10)
    (member,) = members(put(tmp_path / "same.md.gz", gzip.compress(b"x" * 70_000_000)), (".md",))
    assert isinstance(member, Member)
    with pytest.raises(ValueError, match="larger than 67108864 bytes"):
        member.read()


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.xz", ".tar.bz2", ".zip", ".gz"])
def test_a_bomb_does_not_go_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(archives, "RATIO_FROM", 1_000_000)
    files = {"a.md": b"good", "same.png" if suffix in PACK else "same.md": b"x" * 40_000_000}
    if suffix == ".zip":
        data = zipped(dict(files))
    else:
        data = gzip.compress(files["same.md"]) if suffix == ".gz" else PACK[suffix](tar(files))
    with pytest.raises(DataError, match=rf"all{suffix}.* unpacks to more than 200 times its size.*unpack it yourself"):
        walk(put(tmp_path / f"all{suffix}", data))
    monkeypatch.setattr(archives, "RATIO_FROM", 10**12)
    monkeypatch.setattr(archives, "MAX_ARCHIVE_BYTES", 30_000_000)
    with pytest.raises(DataError, match=rf"all{suffix}' unpacks to more than 30000000 bytes; split it"):
        walk(put(tmp_path / f"all{suffix}", data))


def test_a_dictionary_that_fills_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "XZ_MEMORY", 1_000_000)
    with pytest.raises(DataError, match=r"all\.tar\.xz' is cut or damaged at its start \(Memory usage limit"):
        walk(put(tmp_path / "all.tar.xz", lzma.compress(tar(FILES))))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_claims_gigabytes_is_refused(tmp_path: Path, kind: bytes) -> None:
    forged = tarfile.TarInfo("long")
    forged.type, forged.size = kind, 8 * 1024**3
    data = tar({"a.md": b"good"})[:1024] + forged.tobuf(tarfile.GNU_FORMAT) + tar({"b.md": b"x"})
    with pytest.raises(DataError, match=r"after member 1, 'a\.md' \(a header with an impossible size\)"):
        walk(put(tmp_path / "all.tar", data))


BOOK = {f"{n}.md": random.Random(n).randbytes(3000) for n in range(40)}


# bzip2 packs blocks of 900 kB: where its only one is cut, nothing of it can be had.
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_a_cut_archive_says_where_and_what_came_before_is_kept(tmp_path: Path, suffix: str) -> None:
    data = PACK[suffix](tar(BOOK))
    path = put(tmp_path / f"all{suffix}", data[: len(data) // 2])
    read: dict[str, bytes] = {}
    with pytest.raises(DataError, match=rf"all{suffix}' is cut or damaged at .*member \d+, '\d+\.md'.*fetch or make"):
        read.update((item.name, item.read()) for item in members(path, (".md",)) if isinstance(item, Member))
    assert 15 < len(read) < 25
    assert read.items() <= BOOK.items()


@pytest.mark.parametrize("cut", [4 * 512, 4 * 512 + 100, 512 + 100, 3000, 3 * 512])
def test_a_tar_cut_anywhere_is_told(tmp_path: Path, cut: int) -> None:
    # a header and a block a file: the end marks are at 2048, so that even a cut right before them is seen
    data = tar({"a.md": b"x", "b.md": b"y"})
    path = put(tmp_path / "all.tar", data[:cut] if cut < 3000 else data[:1024] + b"\x01" * 512 + data[1536:])
    with pytest.raises(DataError, match="is cut or damaged at"):
        walk(path)


def test_damage_in_a_zip_costs_one_member_or_the_table(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.md": b"x" * 50, "b.md": b"y" * 50}, zipfile.ZIP_STORED))
    data[data.index(b"x" * 50)] = 0
    found = walk(put(tmp_path / "all.zip", bytes(data)))
    assert found[0][:2] == ("unread", "a.md")
    assert "damaged" in str(found[0][2])
    assert found[1] == ("member", "b.md", b"y" * 50)
    with pytest.raises(DataError, match="damaged at its table of contents"):
        walk(put(tmp_path / "all.zip", bytes(data[:-30])))


def test_what_is_no_archive_has_a_remedy(tmp_path: Path) -> None:
    for name in ("all.tar.gz", "all.zip", "all.7z", "all.tar.zst"):
        with pytest.raises(DataError, match=r"named as an archive.*repack it as"):
            walk(put(tmp_path / name, b"<html>404</html>"))
    for data in (tar({}), zipped({})):
        with pytest.raises(DataError, match="is empty"):
            walk(put(tmp_path / "all", data))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"the folder '.*folder' is empty"):
        walk(tmp_path / "folder")


def test_formats_that_are_zips_themselves_are_files(tmp_path: Path) -> None:
    path = put(tmp_path / "a.docx", zipped({"word/document.xml": b"<x/>"}))
    (member,) = members(path, (".docx",))
    assert isinstance(member, Member)
    assert member.path == path


def test_no_regular_file_is_no_member(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert walk(tmp_path / "pipe.md") == [("unread", "pipe.md", "not a regular file")]
    assert walk(put(tmp_path / "empty.md", b"")) == [("member", "empty.md", b"")]


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    path = put(tmp_path / "all.tar", tar({f"{n}.md": b"x" * 2000 for n in range(2000)}))
    tracemalloc.start()
    try:
        assert sum(isinstance(item, Member) and len(item.read()) == 2000 for item in members(path, (".md",))) == 2000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_member_is_read_in_its_turn_and_once(tmp_path: Path) -> None:
    path = put(tmp_path / "all.tar", tar({"a.md": b"x", "b.md": b"y"}))
    first, _ = members(path, (".md",))
    walking = members(path, (".md",))
    third = next(walking)
    assert isinstance(first, Member)
    assert isinstance(third, Member)
    third.read()
    for late in (first, third):
        with pytest.raises(RuntimeError, match="before the next one is asked for, and once"):
            late.read()


def test_json_objects_are_loaded_or_refused(tmp_path: Path) -> None:
    for data, words in ((b"[1]", "found a list"), (b"{", "not JSON"), (b"\xff", "UTF-8"), (b"[" * 99999, "nested"),
                        (b"\xef\xbb\xbf{}", "")):  # fmt: skip
        (member,) = members(put(tmp_path / "a.json", data), (".json",))
        assert isinstance(member, Member)
        if words:
            with pytest.raises(ValueError, match=words):
                load_object(member)
        else:
            assert load_object(member) == {}


@pytest.mark.parametrize("suffix", [*PACK, ".zip"])
def test_mutated_archives_end_in_a_reason(tmp_path: Path, suffix: str) -> None:
    random_ = random.Random(3)
    files = {**FILES, "e.md": random_.randbytes(300)}
    whole = zipped(dict(files)) if suffix == ".zip" else PACK[suffix](tar(files))
    told = 0
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(random_.randint(1, 5)):
            at = random_.randrange(len(data))
            if random_.random() < 0.8:
                data[at] = random_.randrange(256)
            else:
                del data[at : at + random_.randint(1, 600)]
        try:
            found = walk(put(tmp_path / f"all{suffix}", bytes(data)))
            told += any(kind in ("unread", "rejected") for kind, _, _ in found)
        except DataError:
            told += 1
    assert told > 20


def test_a_link_out_of_a_folder_is_rejected(tmp_path: Path) -> None:
    put(tmp_path / "f" / "a.md", b"x")
    (tmp_path / "f" / "b.md").symlink_to(put(tmp_path / "out.md", b"secret"))
    (tmp_path / "f" / "c.md").symlink_to("a.md")
    assert walk(tmp_path / "f") == [
        ("member", "a.md", b"x"),
        ("rejected", "b.md", "a link that leaves the corpus folder is not followed"),
        ("member", "c.md", b"x"),
    ]

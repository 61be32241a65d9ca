"""Archives are read as numpy wrote them; what lies about itself, or holds code, is one sentence and takes no memory."""

import gzip
import os
import struct
import zipfile

import numpy as np
import pytest

from dynamics import reading
from dynamics.reading import archive, contents

pytestmark = pytest.mark.exact
MOST = 10_000


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_wrote_is_read_back(tmp_path, save):
    arrays = {
        "floats": np.linspace(0, 1, 6).reshape(2, 3), "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "none": np.zeros((0, 3)),
        "one": np.array(7), "swapped": np.arange(3, dtype=">i4"), "flags": np.array([True, False]), "text": np.array("aß"),
        "complex": np.array([1j], np.complex64), "half": np.ones(2, np.float16),
    }  # fmt: skip
    save(tmp_path / "net.npz", **arrays)
    found = archive(tmp_path / "net.npz", MOST)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].shape == array.shape, name
        assert found[name].dtype == array.dtype, name
        assert (found[name] == array).all(), name
        assert found[name].flags.writeable, name
        assert found[name].flags.c_contiguous, name


def npy(header, body=b"", version=b"\1\0"):
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + body


def archive_of(path, *members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, raw in members:
            file.writestr(name, raw)
    return path


SIDES = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }\n"


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (npy(SIDES % b"2,", b"\0" * 16, b"\2\0"), ""),
        (npy(SIDES % b"3,", b"\0" * 16), r"array 'a' says shape \(3,\) of float64, which takes 24 bytes: found 16$"),
        (npy(SIDES % b"2,", b"\0" * 15), r"which takes 16 bytes: found 15$"),
        (npy(SIDES % b"1099511627776,"), r"says shape \(1099511627776,\) of float64, which takes 8,796,093,022,208 bytes: found 0"),
        (npy(SIDES % b"0, 99999999999999999999"), r"cannot be read as an \.npz file: "),
        (npy(SIDES % b"2,")[:30], "array 'a' has no header as numpy.save writes it, or ends within it$"),
        (npy((SIDES % b"2,").replace(b"<f8", b"|O")), "array 'a' holds Python objects, which are not loaded: expected numbers$"),
        (npy((SIDES % b"2,").replace(b"<f8", b"<M8[ns]")), r"array 'a' holds the type '<M8\[ns\]': expected numbers$"),
        (npy((SIDES % b"2,").replace(b"'<f8'", b"[('f', '<f8')]")), "no header as numpy.save writes it"),
        (npy((SIDES % b"1,").replace(b"<f8", b"<U1"), b"\xff" * 4), r"cannot be read as an \.npz file: 'utf-32-le' codec"),
        (npy(b"__import__('os').system('false')\n"), "no header as numpy.save writes it"),
        (npy(b"(" * 9000), "no header as numpy.save writes it"),
        (b"", "no header as numpy.save writes it"),
        (b"PK\3\4" + b"\0" * 100, "no header as numpy.save writes it"),
    ],
)  # fmt: skip
def test_a_member_that_is_no_array_of_numbers_is_named(tmp_path, raw, sentence):
    path = archive_of(tmp_path / "net.npz", ("a.npy", raw))
    if not sentence:
        assert (archive(path, MOST)["a"] == np.zeros(2)).all()
        return
    with pytest.raises(ValueError, match=sentence) as caught:
        archive(path, MOST)
    assert str(caught.value).startswith(f"{path} cannot be read as an .npz file: ")


def test_no_pickle_is_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    np.savez(tmp_path / "net.npz", allow_pickle=True, couplings=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match="array 'couplings' holds Python objects, which are not loaded"):
        archive(tmp_path / "net.npz", MOST)
    assert not (tmp_path / "sprung").exists()


def test_members_that_numpy_does_not_write_are_refused(tmp_path):
    path, array = tmp_path / "net.npz", npy(SIDES % b"2,", b"\0" * 16)
    for members, method, sentence in (
        ([("a.npy", array)], zipfile.ZIP_LZMA, "its member 'a.npy' is packed in a way that numpy does not use"),
        ([("a.npy", array)], zipfile.ZIP_BZIP2, "packed in a way that numpy does not use"),
        ([("a.txt", array)], zipfile.ZIP_STORED, "its member 'a.txt' is no array, which ends with .npy"),
        ([(f"{k}.npy", b"") for k in range(1001)], zipfile.ZIP_STORED, "at most 1000 members, each once, got 1001"),
        (
            [("a.npy", b"\0" * 2_000_000)],
            zipfile.ZIP_DEFLATED,
            "it unpacks to 2,000,000 bytes, more than the 10,000 that",
        ),
        ([("a.npy", b"\0" * 2_000_000)], zipfile.ZIP_STORED, "holds more than 10,000 bytes"),
    ):
        archive_of(path, *members, method=method)
        with pytest.raises(ValueError, match=sentence):
            archive(path, MOST)
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive_of(path, ("a.npy", array), ("a.npy", array))
    with pytest.raises(ValueError, match="each once"):
        archive(path, MOST)


def test_the_ends_of_an_archive_are_looked_at_before_it_is_read(tmp_path):
    path = archive_of(tmp_path / "net.npz", ("a.npy", npy(SIDES % b"2,", b"\0" * 16)))
    raw = path.read_bytes()
    locator = b"PK\6\7" + b"\0" * 16
    for change, sentence in (
        (b"", "it has 0 bytes, too few"),
        (raw[:-1], "it does not end as a zip file without a comment"),
        (raw[:-2] + b"\5\0" + b"hello", "it does not end as a zip file without a comment"),
        (raw[:-10] + struct.pack("<I", 2**21) + raw[-6:], "its list of members takes more than 1,048,576 bytes"),
        (raw[:-22] + locator + raw[-22:], "its list of members takes more than 1,048,576 bytes"),
        (raw[:60] + b"\xff" + raw[61:], "cannot be read as an .npz file: Bad CRC-32|no header"),
        (raw.replace(b"\0\0\0\0a.npy", b"\1\0\0\0a.npy"), "cannot be read as an .npz file: "),
    ):
        path.write_bytes(change)
        with pytest.raises(ValueError, match=sentence):
            archive(path, MOST)


def test_a_member_that_unpacks_to_more_than_it_says_takes_no_memory(tmp_path, tracing):
    path = archive_of(tmp_path / "net.npz", ("a.npy", b"\0" * 300_000_000), method=zipfile.ZIP_DEFLATED)
    raw = path.read_bytes().replace(struct.pack("<I", 300_000_000), struct.pack("<I", 100))
    path.write_bytes(raw)
    with tracing() as peak:
        with pytest.raises(ValueError, match=r"net\.npz cannot be read as an \.npz file: "):
            archive(path, 2**20)
        assert peak() < 4 * 2**20


def test_a_packed_file_far_larger_than_what_it_may_hold_is_not_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "many.gz"
    path.write_bytes(gzip.compress(b"") * 60_000)
    with pytest.raises(ValueError, match=r"many\.gz holds more than 10 bytes, the most that was expected"):
        contents(path, 10)
    monkeypatch.setattr(reading, "OVERHEAD", 2 * path.stat().st_size)
    assert contents(path, 10) == b""

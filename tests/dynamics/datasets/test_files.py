"""Every loader on files in the true format, written here: what is right is read, what is wrong is one sentence."""

import gzip
import hashlib
import os
import struct

import numpy as np
import pytest

from dynamics.datasets import Missing, Motion, cifar10, dvs_gesture, fashion_mnist, idx, load, mnist, one_line, summary
from dynamics.reading import contents

pytestmark = pytest.mark.exact


def idx_file(array):
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, *, train=40, test=10, packed=False):
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for prefix, count in (("train", train), ("t10k", test)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx_file(array)))
            else:
                (folder / name).write_bytes(idx_file(array))
        parts.append((images, labels))
    return parts


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_files_are_read_and_split(tmp_path, packed):
    (images, labels), (test_images, test_labels) = write_mnist(tmp_path, packed=packed)
    data = load("mnist", 3, validation_images=8, train_images=20, data_dir=tmp_path)
    assert (data.shape, data.inputs, data.classes, data.total) == ((1, 28, 28), 784, 10, 50)
    assert [len(part.labels) for part in (data.train, data.validation, data.test)] == [20, 8, 10]
    chosen = np.concatenate([data.train.indices, data.validation.indices])
    assert len(set(chosen.tolist())) == 28
    for part in (data.train, data.validation):
        assert (part.batch(slice(None)) == images.reshape(40, -1)[part.indices] / 255).all()
        assert (part.labels == labels[part.indices]).all()
    assert (data.test.indices == np.arange(40, 50)).all()
    assert (data.test.batch(slice(None)) == test_images.reshape(10, -1) / 255).all()
    assert (data.test.labels == test_labels).all()
    again = load("mnist", 4, validation_images=8, train_images=20, data_dir=tmp_path)
    assert (again.train.indices != data.train.indices).any()
    whole = load("mnist", 3, validation_images=8, data_dir=tmp_path)
    assert len(whole.train.labels) == 32
    assert (whole.train.indices[:20] == data.train.indices).all()


def test_a_folder_of_the_sets_own_name_comes_first(tmp_path):
    write_mnist(tmp_path, train=12)
    write_mnist(tmp_path / "mnist", train=24)
    assert len(load("mnist", 0, validation_images=4, data_dir=tmp_path).train.labels) == 20


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"train_images": 39, "validation_images": 2}, r"mnist has 40 training images: .* got 39 and 2"),
        ({"validation_images": 40}, r"mnist has 40 training images: .* got None and 40"),
        ({"validation_images": 0}, r"mnist has 40 training images: .* got None and 0, at least one each"),
        ({"train_images": 0, "validation_images": 4}, r"mnist has 40 training images: .* got 0 and 4"),
        ({}, r"mnist has 40 training images: .* got None and 5,000"),
        (
            {"motion": Motion(5)},
            r"data\.motion is for data\.name = 'saccades' alone, got \(5, 2\.0, 0\.3\) with 'mnist'",
        ),
    ],
)
def test_more_images_than_there_are_cannot_be_split(tmp_path, given, sentence):
    write_mnist(tmp_path)
    with pytest.raises(ValueError, match=sentence):
        load("mnist", 0, data_dir=tmp_path, **given)


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        (IMAGES, lambda raw: raw[:-1], r"says shape \(40, 28, 28\), which takes 31,376 bytes: found 31,375"),
        (IMAGES, lambda raw: raw + b"x", "which takes 31,376 bytes: found 31,377"),
        (IMAGES, lambda raw: b"", "expected it to begin with 00000803, found nothing"),
        (IMAGES, lambda raw: b"PK" + raw[2:], "expected it to begin with 00000803, found 504b0803"),
        (IMAGES, lambda raw: raw[:3] + b"\1" + raw[4:], "found 00000801"),
        (IMAGES, lambda raw: raw[:9], "ends within its header: expected 16 bytes at least, found 9"),
        (IMAGES, lambda raw: raw[:4] + b"\xff" * 12 + raw[16:], "which takes .* bytes: found 31,376"),
        (IMAGES, lambda raw: idx_file(np.zeros((40, 28, 27), np.uint8)), r"images of \(28, 27\) pixels, expected \(28, 28\)"),
        (LABELS, lambda raw: idx_file(np.zeros(39, np.uint8)), "holds 40 images, but .*labels.* 39 labels"),
        (LABELS, lambda raw: raw[:-1] + b"\x0a", "must hold labels 0 to 9, found label 10"),
        (IMAGES, lambda raw: b"\0" * (idx.MOST_BYTES + 1), "holds more than 54,880,016 bytes"),
    ],
)  # fmt: skip
def test_a_damaged_idx_file_is_named_with_what_was_expected_and_found(tmp_path, name, change, sentence):
    write_mnist(tmp_path)
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=sentence) as caught:
        load("mnist", 0, validation_images=4, data_dir=tmp_path)
    assert name in str(caught.value)


def test_packed_files_that_lie_are_refused_before_they_fill_the_memory(tmp_path, tracing):
    write_mnist(tmp_path, packed=True)
    path = tmp_path / f"{IMAGES}.gz"
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ValueError, match=r"images-idx3-ubyte\.gz cannot be read"):
        load("mnist", 0, data_dir=tmp_path)
    path.write_bytes(b"not gzip")
    with pytest.raises(ValueError, match=r"images-idx3-ubyte\.gz cannot be read: Not a gzipped file"):
        load("mnist", 0, data_dir=tmp_path)
    path.write_bytes(gzip.compress(b"\0" * 200_000_000))
    with tracing() as peak:
        with pytest.raises(ValueError, match=r"unpacks to more than 54,880,016 bytes"):
            load("mnist", 0, data_dir=tmp_path)
        assert peak() < 1.5 * idx.MOST_BYTES
    with pytest.raises(ValueError, match="unpacks to more than 10 bytes"):
        contents(tmp_path / f"{LABELS}.gz", 10)


def test_pipes_folders_and_names_that_no_file_can_have_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ValueError, match="must be a regular file"):
            contents(tmp_path / name, 10)
    with pytest.raises(ValueError, match="cannot be read: File name too long"):
        contents(tmp_path / ("x" * 300), 10)
    write_mnist(tmp_path)
    (tmp_path / IMAGES).unlink()
    os.mkfifo(tmp_path / IMAGES)
    with pytest.raises(ValueError, match=f"lacks {IMAGES}"):
        load("mnist", 0, data_dir=tmp_path)


def test_what_is_nowhere_says_where_it_was_looked_for_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "SYSTEM", [tmp_path / "debian"])
    with pytest.raises(
        Missing, match=r"apt-get install dataset-fashion-mnist.*experiments/digits_\*\.toml need no data"
    ) as caught:
        load("fashion_mnist", 0)
    for folder in ("debian", "cache/stochep/fashion_mnist"):
        assert str(tmp_path / folder) in str(caught.value)
    for name in ("mnist", "cifar10", "dvs_gesture", "saccades", "fashion_mnist"):
        assert one_line(summary(name)).startswith(f"{name}: ")
        assert "not here: " in one_line(summary(name))
    write_mnist(tmp_path / "cache/stochep/mnist")
    (tmp_path / "cache/stochep/mnist" / LABELS).unlink()
    # a folder that holds a part is damaged, not absent
    with pytest.raises(ValueError, match=rf"mnist lacks {LABELS} \(or {LABELS}\.gz\)") as caught:
        summary("mnist")
    assert not isinstance(caught.value, Missing)


def test_other_images_than_fashion_mnists_are_refused(tmp_path):
    write_mnist(tmp_path)
    sentence = rf"{IMAGES} is not fashion_mnist's: expected SHA-256 c59f468a2f67… \(unpacked\), found [0-9a-f]{{12}}…"
    with pytest.raises(ValueError, match=sentence):
        load("fashion_mnist", 0, data_dir=tmp_path)


def test_a_fingerprint_is_of_the_whole_file_and_each_file_has_its_own(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    known = [hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in idx.FILES]
    monkeypatch.setattr(fashion_mnist, "FINGERPRINTS", known)
    assert load("fashion_mnist", 0, validation_images=4, data_dir=tmp_path).total == 50
    with pytest.raises(ValueError, match=rf"{LABELS} in .* is Fashion-MNIST's, expected MNIST's"):
        mnist.read(tmp_path)
    for number, name in enumerate(idx.FILES):
        others = [*known[:number], "0" * 64, *known[number + 1 :]]
        monkeypatch.setattr(fashion_mnist, "FINGERPRINTS", others)
        with pytest.raises(ValueError, match=f"{name} is not fashion_mnist's: expected SHA-256 000000000000…"):
            load("fashion_mnist", 0, validation_images=4, data_dir=tmp_path)


def test_fashion_mnist_is_read_where_it_is_installed():
    try:
        data = load("fashion_mnist", 0, train_images=100)
    except Missing:
        pytest.skip("Fashion-MNIST is not installed: apt-get install dataset-fashion-mnist")
    assert [len(part.labels) for part in (data.train, data.validation, data.test)] == [100, 5000, 10000]
    assert (np.bincount(data.test.labels) == 1000).all()
    assert one_line(summary("fashion_mnist")).startswith(
        "fashion_mnist: 70,000 images of 784 pixels, 10 classes, split 55,000 / 5,000 / 10,000"
    )


def write_cifar(folder, images, labels):
    """One record an image: the label, then all red, all green, all blue bytes, row by row."""
    parts = np.array_split(np.arange(len(labels)), 6)
    for name, part in zip((*cifar10.TRAINING, *cifar10.TEST), parts, strict=True):
        records = b"".join(bytes([labels[k]]) + images[k].transpose(2, 0, 1).tobytes() for k in part)
        (folder / name).write_bytes(records)


def test_cifar_records_become_images_with_channels_last(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar10, "RECORDS", 4)
    generator = np.random.default_rng(1)
    images, labels = generator.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8), np.arange(24, dtype=np.uint8) % 10
    write_cifar(tmp_path, images, labels)
    data = load("cifar10", 0, validation_images=5, data_dir=tmp_path)
    assert (data.shape, data.classes, data.total) == ((3, 32, 32), 10, 24)
    assert (data.train.raw.reshape(-1, 32, 32, 3) == images[data.train.indices]).all()
    assert (data.test.raw.reshape(-1, 32, 32, 3) == images[20:]).all()
    assert (data.test.labels == labels[20:]).all()
    path = tmp_path / "data_batch_2.bin"
    raw = path.read_bytes()
    for change, sentence in (
        (raw[:-1], "must hold 4 records of 3,073 bytes, 12,292 in all, found 12,291"),
        (raw[:3073], "must hold 4 records of 3,073 bytes, 12,292 in all, found 3,073"),
        (raw + b"x", "holds more than 12,292 bytes"),
        (b"\x0b" + raw[1:], "must hold labels 0 to 9, found 11"),
    ):
        path.write_bytes(change)
        with pytest.raises(ValueError, match=rf"data_batch_2\.bin {sentence}"):
            load("cifar10", 0, validation_images=5, data_dir=tmp_path)


def packet(events, *, kind=1, overflow=0, size=8, number=None):
    """An AEDAT 3.1 packet; events (valid, on, y, x, time)."""
    body = b"".join(struct.pack("<Ii", valid | on << 1 | y << 2 | x << 17, time) for valid, on, y, x, time in events)
    count = len(events) if number is None else number
    return struct.pack("<hhiiiiii", kind, 1, size, 4, overflow, count, count, count) + body


HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"


def test_aedat_events_are_read_as_written(tmp_path):
    path = tmp_path / "user01_natural.aedat"
    special = struct.pack("<hhiiiiii", 0, 1, 8, 4, 0, 1, 1, 1) + b"\0" * 8
    path.write_bytes(
        HEADER + packet([(1, 1, 5, 7, 100), (0, 1, 9, 9, 150), (1, 0, 127, 0, 200)]) + special
        + packet([(1, 1, 0, 127, 3)], overflow=1)
    )  # fmt: skip
    found = dvs_gesture.read_aedat(path)
    assert found.x.tolist() == [7, 0, 127]
    assert found.y.tolist() == [5, 127, 0]
    assert found.on.tolist() == [True, False, True]
    assert found.time.tolist() == [100, 200, 2**31 + 3]
    frames = dvs_gesture.binned(found, 50, frames=4, interval=100, factor=4)
    assert frames.shape == (4, 2048)
    lit = np.argwhere(frames.reshape(4, 32, 32, 2)).tolist()
    assert lit == [[0, 1, 1, 0], [1, 31, 0, 1]]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"#!AER-DAT2.0\r\n", r"is no AEDAT 3\.1 file: .* found b'#!AER-DAT2\.0'"),
        (b"", r"is no AEDAT 3\.1 file: .* found b''"),
        (b"#!AER-DAT3.1", "ends within its header at byte 12"),
        (
            b"#!AER-DAT3.1\r\n#" + b"x" * 2**20 + b"\n",
            "ends within its header at byte .*, or has one of more than 1,048,576",
        ),
        (HEADER + b"\1\0\1", "ends within a packet's header at byte"),
        (HEADER + packet([(1, 1, 1, 1, 1)])[:-1], "has a packet of 1 events of 8 bytes .* but 7 bytes are left"),
        (HEADER + packet([], number=2**31 - 1), "has a packet of 2,147,483,647 events"),
        (HEADER + packet([], number=-5), "has a packet of -5 events"),
        (HEADER + packet([], size=0, number=9), "has a packet of 9 events of 0 bytes"),
        (HEADER + packet([], size=4, number=0), "has polarity events of 4 bytes at byte .* expected 8"),
        (HEADER + packet([(1, 1, 128, 1, 1)]), r"has an event at \(1, 128\), beyond 128 × 128 pixels"),
    ],
)
def test_a_damaged_aedat_file_is_one_sentence(tmp_path, raw, sentence):
    path = tmp_path / "broken.aedat"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=rf"broken\.aedat {sentence}"):
        dvs_gesture.read_aedat(path)


def test_a_flood_of_empty_packets_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "flood.aedat"
    path.write_bytes(HEADER + packet([]) * 5)
    assert not dvs_gesture.read_aedat(path).x.size
    monkeypatch.setattr(dvs_gesture, "MOST_PACKETS", 4)
    with pytest.raises(ValueError, match=r"flood\.aedat has more than 4 packets"):
        dvs_gesture.read_aedat(path)


def test_times_at_the_ends_of_their_range_fall_into_no_wrong_frame(tmp_path):
    path = tmp_path / "late.aedat"
    last = 2**31 - 1
    path.write_bytes(
        HEADER + packet([(1, 1, 0, 0, last)], overflow=last) + packet([(1, 1, 0, 0, 0)], overflow=-(2**31))
    )
    found = dvs_gesture.read_aedat(path)
    assert found.time.tolist() == [2**62 - 1, -(2**62)]
    assert not dvs_gesture.binned(found, 2**62 - 2 - 20 * 75_000).any()
    assert dvs_gesture.binned(found, 2**62 - 20 * 75_000).sum() == 1


def write_gestures(folder):
    for trials, user in zip(dvs_gesture.TRIALS, ("user01_led", "user24_led"), strict=True):
        (folder / trials).write_text(f"{user}.aedat\n")
        events = [(1, k % 2, 4 * k, 8, 1000 + 100_000 * k) for k in range(12)]
        (folder / f"{user}.aedat").write_bytes(HEADER + packet(events))
        (folder / f"{user}_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,0,6000\n11,500000,900000\n")


def test_gestures_are_streams_with_labels_from_zero(tmp_path):
    write_gestures(tmp_path)
    data = load("dvs_gesture", 0, validation_images=1, data_dir=tmp_path)
    assert (data.shape, data.classes, data.total) == ((2, 32, 32), 11, 4)
    assert sorted([*data.train.labels, *data.validation.labels]) == [0, 10]
    frames = data.test.frames(np.array([0, 1]))
    assert frames.shape == (2, 20, 2048)
    assert set(np.unique(frames)) == {0, 1}
    assert frames.sum(axis=(1, 2)).tolist() == [12, 7]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("user01_led_labels.csv", "h\n1,2\n", "row 2 must be class, start, end as whole numbers, found '1,2'"),
        ("user01_led_labels.csv", "h\na,b,c\n", "row 2 must be class, start, end as whole numbers, found 'a,b,c'"),
        (
            "user01_led_labels.csv",
            "h\n12,1,2\n",
            "row 2 must have a class of 1 to 11 and 0 ≤ start < end < 2⁶², found '12,1,2'",
        ),
        ("user01_led_labels.csv", "h\n1,2,2\n", "start < end < 2⁶², found '1,2,2'"),
        ("user01_led_labels.csv", "h\n1,-1,2\n", "start < end < 2⁶², found '1,-1,2'"),
        ("user01_led_labels.csv", f"h\n1,2,{2**62}\n", "start < end < 2⁶², found"),
        ("user01_led_labels.csv", "h\n" + "9" * 200_000, f"found '{'9' * 60}'$"),
        ("user01_led_labels.csv", "h\n" + "1,1,2\n" * 21, "has 21 rows of gestures, expected at most 20"),
        ("trials_to_train.txt", "user01_led.aedat\n" * 201, "names 201 recordings, expected at most 200"),
        (
            "trials_to_train.txt",
            "user01_led.aedat\n" * 2,
            r"must name each recording once, found 'user01_led\.aedat' again",
        ),
        ("trials_to_train.txt", "a\0b.aedat\n", r"must name \.aedat files beside it, found 'a\\x00b\.aedat'"),
        ("trials_to_train.txt", "../up.aedat\n", r"must name \.aedat files beside it, found '\.\./up\.aedat'"),
        ("trials_to_train.txt", "absent.aedat\n", "absent_labels.csv cannot be read: No such file or directory"),
        ("trials_to_train.txt", "", "names no recording with a gesture"),
    ],
)
def test_a_damaged_gesture_folder_is_one_sentence(tmp_path, name, text, sentence):
    write_gestures(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        load("dvs_gesture", 0, validation_images=1, data_dir=tmp_path)

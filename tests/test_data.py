"""Readers: what a user has on disk or in memory becomes Items, and whatever is wrong with it is said in one line."""

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from PIL import Image

import unlabeled.data.images
import unlabeled.data.storage
import unlabeled.data.tables
from unlabeled.data import Items, as_items, read
from unlabeled.data.jpegs import decode_into, shape_of, small_jpeg
from unlabeled.errors import InputError

RNG = np.random.default_rng(0)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def picture(*shape):
    return Image.fromarray(pixels(*shape))


def encoded(image, format="PNG", **options):
    data = io.BytesIO()
    image.save(data, format, **options)
    return data.getvalue()


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def complaint(function, *args, **options):
    """The one line that a mistake earns."""
    with pytest.raises(InputError) as error:
        function(*args, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# -- pictures --------------------------------------------------------------------------------------------------------------------------


def test_a_folder_of_pictures_is_read_in_natural_order_of_its_paths(tmp_path):
    for name in ("b/10.png", "b/9.png", "a.png", "c/d/1.jpg"):
        picture(8, 8, 3).save(write(tmp_path, name, b""))
    items = read(tmp_path)
    assert (items.kind, list(items.ids)) == ("image", ["a.png", "b/9.png", "b/10.png", "c/d/1.jpg"])
    assert items.values.shape == (4, 8, 8, 3) and items.values.dtype == np.uint8
    assert items.source == str(tmp_path)


def test_pictures_of_one_small_size_are_kept_pixel_for_pixel(tmp_path):
    original = pixels(12, 20)
    Image.fromarray(original).save(tmp_path / "a.png")
    items = read(tmp_path)
    assert np.array_equal(items.values[0, ..., 0], original)
    assert items.describe() == "1 image, 20x12 grey; 0 unreadable"


@pytest.mark.parametrize(("sides", "wanted"), [([100, 200, 300], 64), ([20, 30, 50], 30), ([3, 4, 5], 8), ([100, 100], 64)])
def test_other_pictures_become_squares_of_the_median_side_between_8_and_64(sides, wanted):
    items = as_items([picture(side, 2 * side, 3) for side in sides])
    assert items.values.shape == (len(sides), wanted, wanted, 3)


def test_the_working_side_can_be_given(tmp_path):
    picture(8, 8).save(tmp_path / "a.png")
    assert read(tmp_path, size=16).values.shape == (1, 16, 16, 1)
    assert "size is 0" in complaint(read, tmp_path, size=0)


def test_the_middle_of_a_long_picture_is_kept_and_averaged():
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 100:200] = pixels(100, 100, 3) // 2 + 100
    values = as_items([Image.fromarray(wide)], size=10).values[0].astype(float)
    blocks = wide[:, 100:200].reshape(10, 10, 10, 10, 3).mean(axis=(1, 3))
    assert np.abs(values - blocks).mean() < 8  # without antialiasing the difference is about 30


def test_grey_holds_only_when_all_readable_pictures_are_grey(tmp_path):
    picture(8, 8).save(tmp_path / "grey.png")
    picture(8, 8).convert("P").save(tmp_path / "palette.png")
    assert read(tmp_path).values.shape[-1] == 1
    colour = encoded(picture(90, 90, 3))
    write(tmp_path, "broken.png", colour[: len(colour) // 2])
    items = read(tmp_path)
    assert items.values.shape == (2, 8, 8, 1)  # neither the size nor the colour of the broken one counts
    write(tmp_path, "colour.png", encoded(picture(8, 8, 3)))
    assert read(tmp_path).values.shape == (3, 8, 8, 3)


def test_broken_pictures_are_listed_with_a_reason_and_skipped(tmp_path):
    whole = picture(60, 60, 3)
    write(tmp_path, "good.png", encoded(whole))
    write(tmp_path, "cut.png", encoded(whole)[:3000])
    write(tmp_path, "cut.jpg", encoded(whole, "JPEG")[:2000])
    write(tmp_path, "nothing.png", b"")
    write(tmp_path, "words.gif", "these are words")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    items = read(tmp_path)
    assert list(items.ids) == ["good.png"] and np.array_equal(items.values[0], np.asarray(whole))
    reasons = dict(items.unreadable)
    assert set(reasons) == {"cut.png", "cut.jpg", "nothing.png", "words.gif", "gone.png"}
    assert "truncated" in reasons["cut.png"] and "truncated" in reasons["cut.jpg"]
    assert "0 bytes" in reasons["nothing.png"] and "not a picture" in reasons["words.gif"] and "not there" in reasons["gone.png"]
    assert items.describe().endswith("; 5 unreadable")


def test_rows_and_ids_still_correspond_when_pictures_in_between_are_broken(tmp_path):
    for number in range(100):
        data = encoded(Image.fromarray(np.full((60, 60), number, np.uint8)))
        write(tmp_path, f"{number}.png", data[:60] if number % 7 == 3 else data)
    items = read(tmp_path)
    assert len(items.unreadable) == 14 and len(items) == 86
    assert [f"{value}.png" for value in items.values[:, 30, 30, 0]] == list(items.ids)


def test_all_modes_of_pictures_are_understood(tmp_path):
    flat = Image.new("RGB", (30, 30), (200, 40, 40))
    flat.convert("CMYK").save(tmp_path / "cmyk.jpg")
    flat.convert("P").save(tmp_path / "palette.png")
    flat.save(tmp_path / "plain.webp", lossless=True)
    flat.save(tmp_path / "plain.tiff")
    flat.save(tmp_path / "plain.bmp")
    flat.save(tmp_path / "animated.gif", save_all=True, append_images=[Image.new("RGB", (30, 30), "blue")] * 2)
    Image.new("RGBA", (30, 30), (200, 40, 40, 255)).save(tmp_path / "rgba.png")
    items = read(tmp_path, size=8)
    assert len(items) == 7 and not items.unreadable
    assert np.abs(items.values.astype(int) - [200, 40, 40]).max() <= 4
    assert any("1 animated" in note for note in items.notes)


def test_what_is_transparent_is_seen_on_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "rgba.png")
    Image.new("LA", (8, 8), (0, 0)).save(tmp_path / "la.png")
    keyed = Image.new("RGB", (8, 8), (10, 20, 30))
    keyed.save(tmp_path / "key.png", transparency=(10, 20, 30))
    assert (read(tmp_path).values == 255).all()


def test_sixteen_bits_become_eight(tmp_path):
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024
    Image.fromarray(deep).save(tmp_path / "a.png")
    items = read(tmp_path)
    assert np.abs(items.values[0, ..., 0] - deep / 257).max() <= 0.5
    assert any("8 bits" in note for note in items.notes)


def test_the_camera_s_orientation_is_applied(tmp_path):
    upright = np.zeros((20, 30, 3), np.uint8)
    upright[:, 20:] = 255  # bright on the right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: bright at the bottom
    Image.fromarray(upright).save(tmp_path / "a.jpg", exif=exif, quality=95)
    Image.fromarray(upright).save(tmp_path / "a.png", exif=exif)
    for small in read(tmp_path).values:
        assert small.shape == (30, 20, 3) and small[-5:].min() > 230 and small[:5].max() < 25
    turned = read(tmp_path, size=8).values
    assert turned[:, -1].min() > 130 and turned[:, 0].max() < 90


@pytest.mark.parametrize(("format", "shape"), [("PNG", (20, 20_000)), ("JPEG", (20, 20_000)), ("PNG", (20_000, 20)), ("WEBP", (20, 9000))])
def test_a_picture_20_000_pixels_long_is_read(tmp_path, format, shape):
    write(tmp_path, f"a.{format.lower()}", encoded(picture(*shape, 3), format))
    assert read(tmp_path).values.shape == (1, 20, 20, 3)


def test_a_picture_that_claims_a_billion_pixels_is_listed_and_not_decoded(tmp_path):
    small = encoded(Image.new("L", (10, 10)), "BMP")
    write(tmp_path, "bomb.bmp", small[:18] + (60_000).to_bytes(4, "little") * 2 + small[26:])
    write(tmp_path, "large.bmp", small[:18] + (40_000).to_bytes(4, "little") * 2 + small[26:])
    picture(8, 8).save(tmp_path / "good.png")
    reasons = dict(read(tmp_path).unreadable)
    assert "3,600,000,000" in reasons["bomb.bmp"].replace(" x ", "x") or "60,000 x 60,000" in reasons["bomb.bmp"]
    assert "GiB to decode" in reasons["large.bmp"] or "more than" in reasons["large.bmp"]


def test_hidden_files_and_thumbs_are_passed_over(tmp_path):
    picture(8, 8).save(tmp_path / "a.png")
    for name in (".b.png", ".git/c.png", "Thumbs.db", "__MACOSX/d.png", "README.txt"):
        write(tmp_path, name, "x")
    items = read(tmp_path)
    assert list(items.ids) == ["a.png"] and items.unreadable == []


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    picture(8, 8).save(tmp_path / "a.png")
    (tmp_path / "again").symlink_to(tmp_path)
    assert len(read(tmp_path)) == 1


def test_pictures_go_to_the_cache_as_a_plain_npy_file(tmp_path):
    (tmp_path / "in").mkdir()
    picture(8, 8, 3).save(tmp_path / "in" / "a.png")
    items = read(tmp_path / "in", cache=tmp_path / "cache")
    assert np.array_equal(np.load(tmp_path / "cache" / "images.npy"), items.values)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["images.npy"]


def test_many_pictures_are_decoded_by_several_processes_to_the_same_result(tmp_path, monkeypatch):
    for number in range(100):
        data = encoded(Image.fromarray(np.full((60, 60), number, np.uint8)))
        write(tmp_path, f"{number}.png", data[:60] if number % 7 == 3 else data)
    used, processes = [], unlabeled.data.images._processes
    monkeypatch.setattr(unlabeled.data.images, "_processes", lambda *args: used.append(processes(*args)) or used[-1])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    single = read(tmp_path)
    monkeypatch.setattr(unlabeled.data.images, "MANY", 50)
    several = read(tmp_path)
    assert used[:2] == [None, None] and (None not in used[2:] or sys.platform != "linux")
    assert np.array_equal(single.values, several.values)
    assert (list(single.ids), single.unreadable) == (list(several.ids), several.unreadable)


def test_progress_is_reported_up_to_the_last_picture(tmp_path):
    for number in range(70):
        picture(8, 8).save(tmp_path / f"{number}.png")
    seen = []
    read(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 70), (70, 70)]


def test_a_temporary_file_goes_with_the_items(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(unlabeled.data.storage, "IN_MEMORY", 0)
    items = as_items([picture(8, 8)])
    assert isinstance(items.values, np.memmap) and len(list(tmp_path.iterdir())) == 1
    del items
    assert list(tmp_path.iterdir()) == []


# -- texts and tables ------------------------------------------------------------------------------------------------------------------


def test_each_line_of_a_txt_file_is_a_text_and_empty_ones_are_dropped(tmp_path):
    items = read(write(tmp_path, "a.txt", "one two\r\n\n   \nthree\n"))
    assert (items.kind, items.take([0, 1]), list(items.ids)) == ("text", ["one two", "three"], ["0", "3"])
    assert "2 empty texts dropped" in items.notes
    assert items.describe() == "2 texts, 2 words on average"


def test_each_txt_file_of_a_folder_is_a_text(tmp_path):
    write(tmp_path, "b/2.txt", "the second\nfile")
    write(tmp_path, "b/10.txt", "Caf\xe9 noir".encode("latin-1"))
    write(tmp_path, "b/3.txt", "")
    write(tmp_path, "b/4.txt", bytes(100))
    items = read(tmp_path)
    assert (list(items.values), list(items.ids)) == (["the second\nfile", "Caf\xe9 noir"], ["b/2.txt", "b/10.txt"])
    assert [name for name, _ in items.unreadable] == ["b/4.txt"]
    assert any("b/10.txt" in note for note in items.notes)


@pytest.mark.parametrize(("codec", "said"), [("utf-8", None), ("utf-8-sig", None), ("cp1252", "cp1252"), ("utf-16", "UTF-16")])
@pytest.mark.parametrize("suffix", ["csv", "txt", "jsonl"])
def test_texts_of_other_encodings_are_read_and_the_guess_is_told(tmp_path, codec, said, suffix):
    text = "Gr\xfc\xdfe aus K\xf6ln \u2013 \u201ebis bald\u201c"
    content = {"csv": f'text,n\n"{text}",1\n', "txt": f"{text}\n", "jsonl": f'{{"text": "{text}"}}\n'}[suffix]
    items = read(write(tmp_path, f"a.{suffix}", content.encode(codec)))
    assert items.take([0]) == [text]
    assert [note for note in items.notes if said and said in note] or said is None and not any("read as" in note for note in items.notes)


def test_a_byte_that_cp1252_does_not_have_is_read_as_latin_1(tmp_path):
    assert any("latin-1" in note for note in read(write(tmp_path, "a.txt", b"caf\xe9 \x81\n")).notes)


def test_one_wrong_byte_in_much_utf_8_does_not_turn_all_accents_into_rubbish(tmp_path):
    items = read(write(tmp_path, "a.txt", ("\xe9t\xe9\n" * 100).encode() + b"\xff bad\n"))
    assert items.take([0, 100]) == ["\xe9t\xe9", "\ufffd bad"]


def test_ragged_rows_are_skipped_counted_and_the_first_is_named(tmp_path):
    items = read(write(tmp_path, "a.csv", 'text,n\nhello there,1\n"two\nlines",2\nshort\nlong,3,4\nbye now,5\n'))
    assert items.take(slice(None)) == ["hello there", "two\nlines", "bye now"]
    assert items.columns["n"].tolist() == [1, 2, 5]
    assert any(note.startswith("2 rows skipped, the first is row 4: 1 field, wanted 2") for note in items.notes)


def test_a_quote_left_open_is_told(tmp_path):
    assert any("quote is left open" in note for note in read(write(tmp_path, "a.csv", 'n,t\n1,"open\n3,4\n5,6\n')).notes)


def test_the_column_that_reads_like_text_is_chosen_and_the_others_are_kept_beside(tmp_path):
    rows = ["id,genre,plot,stars", "m1,drama,a long story about a dog,5", "m2,comedy,a short story about the sea,3"]
    items = read(write(tmp_path, "a.csv", "\n".join(rows)))
    assert (items.kind, list(items.ids)) == ("text", ["m1", "m2"])
    assert items.values[0] == "a long story about a dog"
    assert items.columns["genre"] == ["drama", "comedy"] and items.columns["stars"].tolist() == [5, 3]


def test_a_table_of_numbers_with_a_category_is_a_table(tmp_path):
    items = read(write(tmp_path, "a.tsv", "width\tlength\tspecies\n1.5\t2\tsetosa\n+2\t3e1\tvirginica\n"))
    assert (items.kind, items.fields) == ("table", ["width", "length"])
    assert items.values.dtype == np.float32 and items.values.tolist() == [[1.5, 2], [2, 30]]
    assert items.describe() == "2 rows of 2 numbers"


def test_labels_are_columns_and_are_never_learned_from_unless_named(tmp_path):
    path = write(tmp_path, "a.csv", "a,b,label\n1,2,0\n3,4,1\n")
    assert read(path).fields == ["a", "b"] and read(path).columns["label"].tolist() == [0, 1]
    assert read(path, column="label").fields == ["label"]
    assert "besides labels" in complaint(read, write(tmp_path, "b.csv", "id,label\n1,0\n2,1\n"))


def test_columns_can_be_named_and_a_named_category_becomes_one_number_a_value(tmp_path):
    path = write(tmp_path, "a.csv", "a,b,s\n1,2,x\n3,4,y\n5,6,x\n")
    items = read(path, column="b,s")
    assert items.fields == ["b", "s=x", "s=y"] and items.values.tolist() == [[2, 1, 0], [4, 0, 1], [6, 1, 0]]
    assert items.columns["a"].tolist() == [1, 3, 5]
    many = write(tmp_path, "many.csv", "n,s\n" + "".join(f"{number},v{number}\n" for number in range(60)))
    assert "more than 50" in complaint(read, many, column="n,s")


def test_texts_of_several_columns_are_joined(tmp_path):
    assert read(write(tmp_path, "a.csv", "title,text\nA dog,It barks\n"), column="title,text").values == ["A dog\nIt barks"]


def test_missing_and_odd_numbers_are_filled_with_the_mean_and_told(tmp_path):
    items = read(write(tmp_path, "a.csv", "a,b,c\n1,10,\nNA,oops,\n3,30,\ninf,20,\n"))
    assert items.values.tolist() == [[1, 10], [2, 20], [3, 30], [2, 20]] and items.fields == ["a", "b"]
    notes = " | ".join(items.notes)
    assert "column 'b': 1 value not a number" in notes and "no value at all in 'c': dropped" in notes and "filled with the mean" in notes


def test_a_numeric_column_without_any_value_is_dropped_from_the_vectors(tmp_path):
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": pa.array([None, float("nan")], pa.float64())}), tmp_path / "a.parquet")
    items = read(tmp_path / "a.parquet")
    assert items.fields == ["a"] and items.values.tolist() == [[1], [2]]


def test_a_file_without_header_is_not_robbed_of_its_first_row(tmp_path):
    items = read(write(tmp_path, "a.csv", "1,2\n3,4\n"))
    assert len(items) == 2 and any("no header" in note for note in items.notes)


def test_semicolons_and_decimal_commas_are_understood(tmp_path):
    assert read(write(tmp_path, "a.csv", "a;b\n1,5;2\n2,5;3\n")).values.tolist() == [[1.5, 2], [2.5, 3]]


def test_repeated_ids_are_made_different_and_told(tmp_path):
    items = read(write(tmp_path, "a.csv", "id,text\nx,hello there\nx,good morning\nx (2),good day\n,good night\n"))
    assert list(items.ids) == ["x", "x (3)", "x (2)", "row 3"]
    assert any("1 repeated id" in note for note in items.notes)


def test_json_lines_with_broken_lines_odd_characters_and_nested_values_are_read(tmp_path):
    items = read(
        write(
            tmp_path,
            "a.jsonl",
            '{"text": "half \\ud83d pair", "n": 1, "tags": ["a", {"b": 2}]}\nnot json\n'
            '{"text": "nul \\u0000 here", "n": 2}\n[1]\n{"text": ""}\n"a plain string"\n',
        )
    )
    assert items.take(slice(None)) == ["half \ufffd pair", "nul   here", "a plain string"]
    assert items.columns["tags"][0] == '["a", {"b": 2}]' and items.columns["n"][:2].tolist() == [1, 2]
    assert any(note.startswith("2 lines not a JSON object") and "line 2" in note for note in items.notes)


def test_lists_of_numbers_are_vectors(tmp_path):
    items = read(write(tmp_path, "a.jsonl", '{"id": "p", "v": [1, 2]}\n{"id": "q", "v": [3, 4]}\n{"id": "r"}\n'))
    assert (items.kind, items.values.tolist(), list(items.ids)) == ("vector", [[1, 2], [3, 4]], ["p", "q"])
    pq.write_table(pa.table({"v": pa.array([[1.0, 2.0], [3.0, float("nan")]])}), tmp_path / "a.parquet")
    assert "1 vector in column 'v' with NaN" in complaint(read, tmp_path / "a.parquet")


def test_encoded_pictures_in_a_parquet_file_are_read_as_pictures(tmp_path):
    good = [pixels(8, 8, 3) for _ in range(3)]
    data = [encoded(Image.fromarray(image)) for image in good]
    pq.write_table(pa.table({"img": [data[0], data[1][:60], data[2], None], "label": [0, 1, 2, 3]}), tmp_path / "a.parquet")
    items = read(tmp_path / "a.parquet")
    assert items.kind == "image" and np.array_equal(items.values, [good[0], good[2]])
    assert items.columns["label"].tolist() == [0, 2] and list(items.ids) == ["0", "2"]
    assert [name for name, _ in items.unreadable] == ["1", "3"]
    pq.write_table(pa.table({"image": [{"bytes": one, "path": "x"} for one in data]}), tmp_path / "hf.parquet")
    assert np.array_equal(read(tmp_path / "hf.parquet").values, good)


def test_parquet_texts_that_are_not_utf_8_are_repaired(tmp_path):
    raw = pa.array([b"fine here", b"caf\xe9 noir"], pa.binary())
    wrong = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    pq.write_table(pa.table({"text": wrong}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet").values == ["fine here", "caf\ufffd noir"]


def test_many_texts_are_kept_on_disk_and_taken_in_the_order_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(unlabeled.data.tables, "IN_MEMORY", 1000)
    items = read(write(tmp_path, "a.txt", "".join(f"text number {number}\n" for number in range(25_000))))
    assert isinstance(items.values, pa.ChunkedArray) and len(items) == 25_000
    assert items.take([24_999, 3, 3]) == ["text number 24999", "text number 3", "text number 3"]
    assert items.subset([5, 4]).take(slice(None)) == ["text number 5", "text number 4"]


# -- arrays ----------------------------------------------------------------------------------------------------------------------------


def test_arrays_of_two_dimensions_are_vectors_and_of_three_or_four_pictures():
    assert as_items(RNG.random((4, 5))).describe() == "4 vectors of 5 numbers"
    assert as_items(pixels(4, 6, 5)).describe() == "4 images, 5x6 grey; 0 unreadable"
    assert as_items(pixels(4, 6, 5, 3)).values.shape == (4, 6, 5, 3)
    assert as_items(pixels(4, 3, 6, 7)).values.shape == (4, 6, 7, 3)
    assert as_items(pixels(4, 3), kind="table").kind == "table"


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x / 255.0,
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.int32),
        lambda x: x.astype(np.uint16) * 257,
        lambda x: (x / 255).astype(np.float16),
    ],
)
def test_pixels_of_other_types_become_bytes(change):
    original = pixels(4, 6, 5, 3)
    original[0, 0, 0] = 255
    values = as_items(change(original)).values
    assert values.dtype == np.uint8 and np.abs(values.astype(int) - original).max() <= (1 if change(original).dtype == np.float16 else 0)


def test_npy_files_are_mapped_and_npz_files_give_the_one_array_or_the_one_named(tmp_path):
    vectors = RNG.random((50, 8)).astype(np.float32)
    np.save(tmp_path / "a.npy", vectors)
    assert isinstance(read(tmp_path / "a.npy").values, np.memmap)
    np.savez(tmp_path / "a.npz", x=pixels(5, 8, 8), y=np.arange(5))
    items = read(tmp_path / "a.npz")
    assert items.kind == "image" and items.columns["y"].tolist() == list(range(5))
    np.savez(tmp_path / "b.npz", p=vectors, q=vectors[:, :3])
    assert "p, q" in complaint(read, tmp_path / "b.npz")
    assert read(tmp_path / "b.npz", column="q").values.shape == (50, 3)
    assert "it has p, q" in complaint(read, tmp_path / "b.npz", column="r")


def test_a_large_array_of_another_type_is_converted_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("unlabeled.data.arrays.IN_MEMORY", 100)
    monkeypatch.setattr(unlabeled.data.storage, "IN_MEMORY", 100)
    monkeypatch.setattr(unlabeled.data.storage, "BLOCK", 1000)
    original = np.asfortranarray(RNG.random((300, 7)))
    values = as_items(original).values
    assert isinstance(values, np.memmap) and np.array_equal(values, original.astype(np.float32))


def test_vectors_that_are_not_finite_name_the_first_row_and_the_count(tmp_path):
    vectors = RNG.random((20, 3)).astype(np.float32)
    vectors[[4, 9], 1] = np.nan, np.inf
    np.save(tmp_path / "a.npy", vectors)
    for said in (complaint(read, tmp_path / "a.npy"), complaint(as_items, vectors), complaint(as_items, vectors.astype(np.float64))):
        assert "2 rows of 20" in said and "first is row 4" in said and "drop" in said
    assert "NaN" in complaint(as_items, np.full((2, 4, 4), np.nan))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (np.zeros((3, 2), object), "dtype object"),
        (np.zeros((3, 2), complex), "Complex data not supported"),
        (np.arange(3.0), "Reshape your data"),
        (scipy.sparse.csr_matrix(np.eye(3)), "sparse"),
        (np.zeros((0, 3)), "0 rows"),
        (np.zeros((3, 0)), "0 feature(s)"),
        (RNG.normal(size=(3, 4, 4)), "wanted 0 to 255, or 0 to 1"),
        (np.zeros((2, 5, 5, 7), np.uint8), "1 or 3 channels"),
        ([], "empty"),
        (["a", None], "item 1 of the list is NoneType"),
        ([[1, 2], [3]], "one length"),
        (None, "NoneType"),
        ({"a": 1}, "dict"),
        ("no such file", "no file or folder"),
        (3, "int"),
    ],
)
def test_what_cannot_be_items_is_refused_in_one_line(data, said):
    assert said in complaint(as_items, data)


def test_lists_tensors_and_tables_in_memory_are_items():
    assert as_items(["one text", "", "nul \0"]).values == ["one text", "", "nul  "]  # nothing is dropped: rows must correspond
    assert as_items([[1, 2], [3, 4]]).values.tolist() == [[1, 2], [3, 4]]
    assert as_items([pixels(8, 8), pixels(8, 8)]).kind == "image"
    assert as_items(np.array(["a b", "c"])).kind == "text"
    items = as_items(pa.table({"text": ["one two", "", "three"], "y": [1, 2, 3]}))
    assert items.values == ["one two", "", "three"] and items.columns["y"].tolist() == [1, 2, 3]
    assert as_items(items) is items
    assert "kind 'image'" in complaint(as_items, items, kind="image")
    torch = pytest.importorskip("torch")
    assert as_items(torch.rand(4, 3, 8, 8)).values.shape == (4, 8, 8, 3)


# -- mistakes --------------------------------------------------------------------------------------------------------------------------


def test_each_mistake_with_a_path_is_said_in_one_line(tmp_path):
    assert "no file or folder" in complaint(read, tmp_path / "nowhere")
    assert "has no file" in complaint(read, tmp_path)
    write(tmp_path, "in/a.docx", "x")
    assert "only a.docx" in complaint(read, tmp_path / "in")
    assert "type that isn't known (.docx)" in complaint(read, tmp_path / "in" / "a.docx")
    write(tmp_path, "bad/a.png", b"")
    write(tmp_path, "bad/b.png", b"xx")
    said = complaint(read, tmp_path / "bad")
    assert "none of 2 pictures" in said and "a.png: empty (0 bytes)" in said
    assert "0 bytes" in complaint(read, write(tmp_path, "a.csv", ""))
    assert "no rows" in complaint(read, write(tmp_path, "a.csv", "a,b\n"))
    assert "all 2 texts" in complaint(read, write(tmp_path, "a.txt", "\n\n"))
    for name in ("a.npy", "a.npz", "a.parquet"):
        assert "not a readable" in complaint(read, write(tmp_path, name, "rubbish"))
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    assert "Python objects" in complaint(read, tmp_path / "o.npy")
    assert "binary" in complaint(read, write(tmp_path, "b.txt", bytes(50)))


def test_a_folder_of_mixed_kinds_says_the_counts_and_asks(tmp_path):
    picture(8, 8).save(tmp_path / "a.png")
    write(tmp_path, "b.txt", "some words")
    write(tmp_path, "c.txt", "some more")
    said = complaint(read, tmp_path)
    assert "1 picture" in said and "2 texts" in said and "--kind" in said
    assert read(tmp_path, kind="image").kind == "image" and len(read(tmp_path, kind="text")) == 2


def test_a_kind_that_contradicts_the_data_is_refused(tmp_path):
    write(tmp_path, "t/a.txt", "some words")
    (tmp_path / "p").mkdir()
    picture(8, 8).save(tmp_path / "p" / "a.png")
    np.save(tmp_path / "a.npy", np.zeros((3, 4)))
    table = write(tmp_path, "a.csv", "a,b\n1,2\n")
    for path, kind in (("t", "image"), ("p", "text"), ("p", "vector"), ("a.npy", "text"), ("a.npy", "image"), ("t/a.txt", "vector")):
        assert f"kind {kind!r}" in complaint(read, tmp_path / path, kind=kind)
    assert "column of texts" in complaint(read, table, kind="text") and "column of encoded pictures" in complaint(read, table, kind="image")
    assert "wanted one of" in complaint(read, table, kind="sound")


def test_a_wrong_column_lists_those_that_are_there(tmp_path):
    said = complaint(read, write(tmp_path, "a.csv", "title,year\nsome words,1999\n"), column="titel")
    assert "it has title, year" in said and "did you mean 'title'" in said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_said(tmp_path):
    path = write(tmp_path, "a.csv", "a,b\n1,2\n")
    path.chmod(0)
    assert "permission denied" in complaint(read, path)


def test_a_full_disk_is_said_in_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    picture(8, 8).save(tmp_path / "a.png")
    monkeypatch.setattr(os, "pwrite", full)
    assert "no space left" in complaint(read, tmp_path, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


# -- items -----------------------------------------------------------------------------------------------------------------------------


def test_take_gives_copies_of_rows_in_the_order_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(unlabeled.data.storage, "RESIDENT", 0)  # so that this small map is read as a large one is
    original = RNG.integers(0, 1000, (500, 3, 5)).astype(np.int32)
    np.save(tmp_path / "a.npy", original)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    for cut in (np.s_[:], np.s_[7:300], np.s_[::3], np.s_[:, 1:]):
        view, wanted = mapped[cut], original[cut]
        for rows in (np.array([3, 1, 1, 90]), np.arange(20, 60), np.array([], np.int64)):
            assert np.array_equal(unlabeled.data.storage.gather(view, rows), wanted[rows])
    items = Items("vector", mapped.reshape(500, 15))
    assert np.array_equal(items.take([-1, 0]), original.reshape(500, 15)[[-1, 0]])
    assert np.array_equal(items.take(np.arange(500) % 2 == 0), original.reshape(500, 15)[::2])
    assert np.array_equal(items.take(slice(10, 0, -2)), original.reshape(500, 15)[10:0:-2])
    assert "row 500" in complaint(items.take, [500])


def test_a_private_map_gives_what_was_changed_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(unlabeled.data.storage, "RESIDENT", 0)
    np.save(tmp_path / "a.npy", np.zeros((10, 2), np.float32))
    private = np.load(tmp_path / "a.npy", mmap_mode="c")
    private[3] = 7
    assert Items("vector", private).take([3]).tolist() == [[7, 7]]


def test_a_subset_keeps_ids_and_columns_together():
    items = Items("vector", np.eye(4, dtype=np.float32), columns={"y": np.arange(4), "s": list("abcd")}).subset([2, 0])
    assert (items.values.argmax(axis=1).tolist(), list(items.ids), items.columns["y"].tolist(), items.columns["s"]) == (
        [2, 0],
        ["2", "0"],
        [2, 0],
        ["c", "a"],
    )


def test_columns_and_ids_must_be_as_many_as_the_items():
    assert "2 entries for 3 items" in complaint(Items, "vector", np.zeros((3, 2)), ids=["a", "b"])
    assert "kind is 'sound'" in complaint(Items, "sound", np.zeros((3, 2)))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to measure memory")
def test_a_3_gb_map_is_read_in_order_and_at_random_without_becoming_resident(tmp_path):
    rows = 1_000_000
    with open(tmp_path / "big.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (rows, 32, 32, 3)})
        file.truncate(file.tell() + rows * 3072)  # a sparse file: no disk, but its pages are as real as any when they are read
    code = """if True:
        import sys
        import numpy as np
        from unlabeled.data import read
        items = read(sys.argv[1])
        assert items.describe() == "1,000,000 images, 32x32 colour; 0 unreadable"
        rng = np.random.default_rng(0)
        for _ in range(100):
            items.take(rng.integers(0, len(items), 256))
        for start in range(0, 400_000, 1000):
            items.take(slice(start, start + 1000))
        # ru_maxrss of a new process begins with its parent's; VmHWM is its own
        print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
        """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path / "big.npy")], capture_output=True, text=True, env=env)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) < 300


def test_rows_of_a_large_map_are_taken_fast(tmp_path, monkeypatch):
    monkeypatch.setattr(unlabeled.data.storage, "RESIDENT", 0)
    np.save(tmp_path / "a.npy", pixels(5000, 32, 32, 3))
    items = read(tmp_path / "a.npy")
    times = []
    for _ in range(30):
        rows = RNG.integers(0, 5000, 256)
        start = time.perf_counter()
        items.take(rows)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.003  # about 0.0005 on a machine with nothing else to do


def test_reading_needs_no_picture_or_table_library_until_it_is_used():
    code = "import sys, unlabeled.data, unlabeled.datasets; print([m for m in ('PIL', 'pyarrow', 'sklearn', 'torch') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env).stdout.strip() == "[]"


def test_dataframes_are_tables():
    pandas = pytest.importorskip("pandas")
    items = as_items(pandas.DataFrame({"a": [1.0, 2.0], "b": [3, 4]}))
    assert items.kind == "table" and items.fields == ["a", "b"]


def test_a_single_picture_file_is_one_item(tmp_path):
    picture(30, 30, 3).save(tmp_path / "cat.jpg")
    items = read(Path(tmp_path / "cat.jpg"), size=8)
    assert list(items.ids) == ["cat.jpg"] and items.values.shape == (1, 8, 8, 3)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("settings", [{}, {"quality": 30, "subsampling": 0}, {"progressive": True}, {"restart_marker_blocks": 1}])
def test_a_small_jpeg_has_the_pixels_that_pillow_gives(tmp_path, mode, settings):
    pixels = np.random.default_rng(0).integers(0, 255, (21, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.jpg", **settings)
    data = (tmp_path / "a.jpg").read_bytes()
    assert small_jpeg(tmp_path / "a.jpg") == small_jpeg(data) == data and shape_of(data) == (21, 30, len(mode))
    for channels, wanted in ((3, "RGB"), (1, "L"))[: 2 if mode == "L" else 1]:
        out = np.zeros((21, 30, channels), np.uint8)
        assert decode_into(out, data)
        with Image.open(tmp_path / "a.jpg") as image:
            assert (out.squeeze() == np.asarray(image.convert(wanted))).all()
    assert not decode_into(np.zeros((21, 31, 3), np.uint8), data)


def test_what_the_short_way_cannot_take_goes_through_pillow(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    turned, inks = Image.Exif(), Image.fromarray(pixels).convert("CMYK")
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=turned)
    inks.save(tmp_path / "b.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert small_jpeg(tmp_path / "pipe") is None  # at once: nobody writes into it
        (tmp_path / "pipe").unlink()
    Image.fromarray(pixels).save(tmp_path / "c.jpg")
    (tmp_path / "d.jpg").write_bytes((tmp_path / "c.jpg").read_bytes()[:-200])
    assert small_jpeg(tmp_path / "a.jpg") is None and small_jpeg(tmp_path / "nothing.jpg") is None and small_jpeg(None) is None
    assert shape_of((tmp_path / "b.jpg").read_bytes()) is None
    assert not decode_into(np.zeros((16, 16, 3), np.uint8), (tmp_path / "d.jpg").read_bytes())
    items = read(tmp_path)
    assert list(items.ids) == ["a.jpg", "b.jpg", "c.jpg"] and [name for name, _ in items.unreadable] == ["d.jpg"]
    with Image.open(tmp_path / "a.jpg") as image:
        assert (items.values[0] == np.asarray(image.transpose(Image.Transpose.ROTATE_270))).all()

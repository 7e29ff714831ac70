"""Seeds of the fuzz targets, a few kB in all: corpus/TARGET/NAME. Needs numpy and PIL. usage: make_corpus.py"""
import io
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent / "corpus"


def put(target, name, data):
    path = HERE / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


def saved(write):
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def url_rows():
    put("url_rows", "cc3m", "\0a dog\thttp://x.org/200\nno url\n\thttp://x.org/a.jpg\na cat \u00e9\thttps://y.org/200.jpg?w=1\r\n")
    put("url_rows", "cc12m", "\1http://x.org/b/200\ta <person>\thas a tab\nhttp://z\t\n" + "\xff\n")


def safetensors():
    header = {"__metadata__": {"format": "pt"}, "a.weight": entry("F32", [2, 2], 0, 16), "h": entry("F16", [3], 16, 22),
              "n": entry("I64", [1], 22, 30), "b": entry("BF16", [2], 30, 34), "e": entry("U8", [0, 4], 34, 34), "s": entry("F64", [], 34, 42)}
    text, data = json.dumps(header).encode(), bytes(range(42))
    put("safetensors", "header", b"\0" + text + b"\0" + data)
    put("safetensors", "file", b"\1" + struct.pack("<Q", len(text)) + text + data)
    put("safetensors", "huge_header", b"\1" + struct.pack("<Q", 2 ** 63) + b"{}")
    for name, e in {"hole": [entry("U8", [2], 1, 3)], "overlap": [entry("U8", [2], 0, 2), entry("U8", [2], 1, 3)],
                    "overflow": [entry("F32", [2 ** 62, 4], 0, 0)], "negative": [entry("F32", [-1], 0, 0)]}.items():
        put("safetensors", name, b"\0" + json.dumps(dict(zip("xy", e))).encode() + b"\0abc")


def npy():
    a = np.arange(6, dtype="<f4").reshape(2, 3)
    for name, x in {"c": a, "fortran": np.asfortranarray(a), "half": a.astype("<f2"), "i8": a.astype("<i8"), "bool": a > 2, "big": a.astype(">f4"),
                    "scalar": np.float64(3), "empty": np.zeros((0, 2), "<i4"), "record": np.zeros(1, [("a", "<i4")])}.items():
        put("npy", name + ".npy", saved(lambda out: np.save(out, x)))
    put("npy", "object.npy", saved(lambda out: np.save(out, np.array([None, "x"], dtype=object), allow_pickle=True)))
    put("npy", "v2.npy", saved(lambda out: np.lib.format.write_array(out, a, version=(2, 0))))
    put("npy", "stored.npz", saved(lambda out: np.savez(out, a=a, b=a[0])))
    put("npy", "deflated.npz", saved(lambda out: np.savez_compressed(out, a=a, z=np.zeros(500))))


def images():
    rgb = Image.fromarray((np.arange(12 * 10 * 3) % 251).astype("u1").reshape(10, 12, 3))
    for name, image, form, options in [("rgb.jpg", rgb, "JPEG", {}), ("progressive.jpg", rgb, "JPEG", {"progressive": True}),
                                       ("gray.jpg", rgb.convert("L"), "JPEG", {}), ("cmyk.jpg", rgb.convert("CMYK"), "JPEG", {}),
                                       ("sub.jpg", rgb, "JPEG", {"subsampling": 2, "restart_marker_blocks": 1}), ("rgb.png", rgb, "PNG", {}),
                                       ("palette.png", rgb.convert("P"), "PNG", {}), ("alpha.png", rgb.convert("RGBA"), "PNG", {}),
                                       ("one.png", rgb.convert("1"), "PNG", {}), ("deep.png", Image.fromarray(np.arange(80, dtype="u2").reshape(8, 10) * 800), "PNG", {})]:
        put("image", name, saved(lambda out: image.save(out, form, **options)))
    put("image", "page.jpg", "<!DOCTYPE html><html></html>")


def texts():
    put("json", "all", '{"a": [1, -2.5e3, true, false, null, "x\\u00e9\\ud83d\\ude00\\n"],\n "big": 9007199254740993, "o": {}, "e": ""}')
    put("json", "lines", '{"id": "01235", "img": "img/01235.png", "label": 0, "text": "a dog"}\n{"id": 2, "text": "\u535a"}\n\n[1, 2]\n')
    put("json", "bad", '{"a": 01, "b": "\\ud800"}')
    put("json", "deep", "[" * 140)
    vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwant\n##want\n##ed\nun\nrunn\n##ing\n,\n[unused0]\n\u535a\n\u03c3\n##\u03c2\n"
    put("tokenizer", "words", vocabulary + "\0UNwant\u00e9d,running \u03a3\u03a3 \u535a\ud55c  \u2028x\u0301 [MASK]")
    put("tokenizer", "long", vocabulary + "\0" + "a" * 201 + " " + "b" * 99)
    pieces = vocabulary.split("\n")[:-1]
    tokenizer = {"added_tokens": [{"id": 0, "content": "[PAD]", "special": True}],
                 "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
                 "pre_tokenizer": {"type": "BertPreTokenizer"},
                 "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                           "vocab": {p: i for i, p in enumerate(pieces)}}}
    put("tokenizer", "json", json.dumps(tokenizer) + "\0UNwant\u00e9d [MASK] \u03a3\u03a3")
    put("tokenizer", "config", vocabulary + "\0" + json.dumps({"do_lower_case": False, "tokenizer_class": "BertTokenizerFast"}))
    put("tokenizer", "bad", vocabulary.replace("[MASK]", "") + "\0a\xff")
    put("captions", "good", "200\tA dog .\n200\tThe dog runs .\n./200\tA cat .\n/proc/self/fd/200\tA bird .\r\n")
    put("captions", "bad", "200\tA dog .\nno tab\n\tx\n200\t \nmissing.jpg\tx\n200\t\xff\n200\t\0")


def tars():
    def archive(form, members):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as t:
            for name, body in members:
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(body), 1700000000.25 if form == tarfile.PAX_FORMAT else 1700000000
                t.addfile(info, io.BytesIO(body))
        data = out.getvalue().rstrip(b"\0")
        return data + bytes(-len(data) % 512 + 1024)

    pax = archive(tarfile.PAX_FORMAT, [("000000000.jpg", b"image"), ("000000000.txt", b"caption")])
    put("tar", "pax", pax)
    put("tar", "cut", pax[:1500])
    put("tar", "damaged", pax[:2048] + b"\xff" * 1024 + pax)
    put("tar", "gnu_long", archive(tarfile.GNU_FORMAT, [("d/" * 60 + "long.txt", b"text")]))
    ustar = archive(tarfile.USTAR_FORMAT, [("a" * 60 + "/" + "b" * 90, b"x")])
    put("tar", "ustar_prefix", ustar)
    header = ustar[:257] + bytes(255)
    total = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    put("tar", "v7", header[:148] + b"%06o\0 " % total + header[156:] + ustar[512:1024])


def large_json():
    put("json_each", "coco", json.dumps({"info": {"year": 2014}, "images": [{"id": 9, "file_name": "9.jpg"}],
                                         "annotations": [{"id": 1, "image_id": 9, "caption": "a \u535a"}, None, [1, [2.5e3]], "x"]}))
    put("json_each", "array", '[["what color ?", "red", 0], [[], {}, {"a": [null, true]}]]')
    put("json_each", "scalars", '{"a": -1.5, "images": {"b": {"c": 1}}, "annotations": 1e999}')
    put("json_each", "deep", '{"a":' + "[" * 70)
    put("json_each", "long_number", "[0." + "0" * 70 + "5e71]")


if __name__ == "__main__":
    for make in (safetensors, npy, images, texts, url_rows, tars, large_json):
        make()

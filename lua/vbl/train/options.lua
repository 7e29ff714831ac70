-- Keys of an experiment's config that the trainer reads: {type, default, meaning, from =, to =, whole =}; numbers lie in from .. to (both
-- included), whole: without a fraction. A script lists the ones it cares about; the rest have these defaults.
return {
  data = {"string", "scenes", "scenes, or captions:PATH (TSV: image path, caption)"},
  data_options = {"table", {}, "options of the data set: vbl.data.open"},
  model = {"table", {}, "keys of vbl.models.vilbert"},
  tasks = {"table", {mlm = {}, ap = {}, mim = {}}, "task name -> its options: vbl.tasks"},
  mix = {"table", {how = "joint", weighting = "fixed"}, "how tasks share a step: vbl.train.mix"},
  epochs = {"number", 4, "passes over the training pairs; 0 only evaluates", from = 0, whole = true},
  batch = {"number", 32, "pairs an optimizer step", from = 1, whole = true},
  micro_batch = {"number", 0, "pairs at a time; the gradient is that of the whole batch (0: as many as fit in memory)", from = 0, whole = true},
  lr = {"number", 1e-3, "peak learning rate", from = 0},
  min_lr_fraction = {"number", 0.2, "the cosine ends at this share of the peak", from = 0, to = 1},
  warmup = {"number", 0.1, "share of the steps that warm up linearly", from = 0, to = 1},
  weight_decay = {"number", 0.01, "decoupled decay of tensors of two or more dims", from = 0},
  betas = {"table", {0.9, 0.98}, "AdamW's decay rates"},
  clip = {"number", 1.0, "global gradient norm to clip at; 0: none", from = 0},
  freeze = {"table", {}, "parameters that stay as they are, by name pattern: {\"bert.*\"}"},
  test_samples = {"number", 1024, "held-out pairs to evaluate on", from = 1, whole = true},
  probe_samples = {"number", 256, "held-out pairs of the layer analysis, at least 8; 0: no analysis", from = 0, whole = true},
  partners = {"table", {"matched", "mismatched"}, "partners of the layer analysis: matched, mismatched, none"},
  log_every = {"number", 50, "steps between lines of metrics.jsonl", from = 1, whole = true},
  checkpoint_every = {"number", 500, "steps between checkpoints within an epoch", from = 1, whole = true},
}

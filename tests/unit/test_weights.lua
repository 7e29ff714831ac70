-- Weights of the field's files (tests/golden/weights, made by make_weights.py): loaded by their own names and configs, with the hidden states that
-- PyTorch computes; refused with a report where something is wrong, and then nothing is changed; written and read again.
local check = require "check"
local system = require "vbl.system.c"
local vbl = require "vbl"
local names = require "vbl.models.weights.names"
local positions = require "vbl.models.weights.positions"

local folder = "tests/golden/weights"
local expected = vbl.load(folder .. "/expected.safetensors")
io.stderr:setvbuf "full"

local function maximum(a, b) return (a - b):abs():max():item() end

local function temporary()
  local path = os.tmpname()
  os.remove(path)
  system.mkdir(path)
  return path
end

local function model_of(given)
  given.fusion, given.placement = "interleaved", "none"
  return vbl.models.vilbert(given):eval()
end

local function run(model)
  model:tap {"text.*", "vision.*"}
  local S = model.config.image
  local images = S == 16 and expected.images or vbl.zeros(2, 3, S, S)
  return vbl.no_grad(function() return model:forward {tokens = expected.tokens, lengths = expected.lengths, images = images} end).taps
end

check.group("BertModel's names: prefixes, shards, gamma and beta, no pooler", function()
  for _, name in ipairs {"bert", "bert_sharded", "bert_old"} do
    local model = model_of {weights = folder .. "/" .. name}
    check.equal(model.config.dim, 16)
    check.equal(model.config.layers, 2)
    check.equal(model.config.attention_heads, 2)
    check.equal(model.config.mlp, 24)
    check.equal(model.config.vocab, 20)
    check.equal(model.config.max_positions, 8)
    check.equal(model.config.text_eps, 1e-3)
    local taps = run(model)
    for _, tap in ipairs {"text.embeddings", "text.0", "text.1"} do check.near(maximum(taps[tap], expected[tap]), 0, 1e-5) end
    check.equal(#model.loaded.missing, 0)
  end
  local model = model_of {weights = folder .. "/bert", heads = {"mlm"}}
  local p, file = model:parameters(), vbl.load(folder .. "/bert/model.safetensors")
  check.equal(maximum(p["heads.mlm.weight"], file["bert.embeddings.word_embeddings.weight"]), 0)  -- tied
  check.equal(maximum(p["heads.mlm.bias"], file["cls.predictions.bias"]), 0)
  check.ok(model.loaded.unused["cls.predictions.transform.dense.weight"])
  local headless = model_of {weights = folder .. "/bert", heads = {}}.loaded.unused
  check.ok(headless["cls.predictions.bias"])
  check.equal(headless["bert.embeddings.word_embeddings.weight"], nil)  -- read, though the tied head is not
end)

check.group("ViT in timm's and Hugging Face's names", function()
  for name, prefix in pairs {vit_timm = "timm.", vit_hf = "hf."} do
    local model = model_of {weights = folder .. "/" .. name, vocab = 20, max_positions = 8, heads = {}}
    check.equal(model.config.image, 16)
    check.equal(model.config.patch, 4)
    check.near(model.config.vision_eps, name == "vit_hf" and 1e-3 or 1e-6, 0)
    local taps = run(model)
    for _, tap in ipairs {"embeddings", "1", "norm"} do check.near(maximum(taps["vision." .. tap], expected[prefix .. tap]), 0, 1e-5) end
    check.near(model.config.mean[1], name == "vit_timm" and 0.485 or 0.5, 0)
  end
  local both = model_of {weights = {text = folder .. "/bert", vision = folder .. "/vit_timm"}}
  local taps = run(both)
  check.near(maximum(taps["text.1"], expected["text.1"]), 0, 1e-5)
  check.near(maximum(taps["vision.norm"], expected["timm.norm"]), 0, 1e-5)
  check.ok(both.loaded.text:find("mean {0.485, 0.456, 0.406}", 1, true))
end)

check.group("positions of another length", function()
  local file = vbl.load(folder .. "/vit_timm/model.safetensors").pos_embed
  for side, name in pairs {[2] = "timm.pos_8", [7] = "timm.pos_28"} do check.near(maximum(positions.image(file, side), expected[name]), 0, 1e-6) end
  local model = model_of {weights = {text = folder .. "/bert", vision = folder .. "/vit_timm"}, image = 28, max_positions = 6}
  check.near(maximum(model:parameters()["vit.pos_embed"], expected["timm.pos_28"]), 0, 1e-6)
  check.near(maximum(run(model)["text.1"], expected["text.1"]), 0, 1e-5)
  check.ok(model.loaded.text:find("resampled from [1, 17, 16] to [1, 50, 16]", 1, true))
  check.ok(model.loaded.text:find("the first 6 of the file's 8", 1, true))
end)

check.group("what does not fit is refused, by the key to set", function()
  local function fails(given, ...) local parts = {...}; check.error(function() model_of(given) end, table.unpack(parts)) end
  fails({weights = folder .. "/bert", dim = 32}, "dim = 16", "config says 32", "leave the key out")
  fails({weights = folder .. "/bert", vocab = 8192}, "vocab = 20")
  fails({weights = folder .. "/bert", max_positions = 9}, "8 text positions")
  fails({weights = {text = folder .. "/vit_hf"}}, "no BERT")
  fails({weights = {txt = folder}}, "did you mean 'text'")
  fails({weights = "/nonexistent"}, "/nonexistent: no such file or folder")
  fails({weights = "/dev/null.pt"}, "no such file")
  fails({weights = 3}, "expected a path")
end)

-- A folder with the BERT's config, changed, and its tensors, changed.
local function changed(change_config, change_tensors)
  local at, config, tensors = temporary(), vbl.load(folder .. "/bert/config.json"), vbl.load(folder .. "/bert/model.safetensors")
  if change_config then change_config(config) end
  if change_tensors then change_tensors(tensors) end
  vbl.save(at .. "/config.json", config)
  vbl.save(at .. "/model.safetensors", tensors)
  return at
end

check.group("another architecture is never loaded in silence", function()
  local function fails(change_config, change_tensors, ...)
    local at, parts = changed(change_config, change_tensors), {...}
    check.error(function() model_of {weights = at} end, table.unpack(parts))
    os.execute("rm -r " .. at)
  end
  fails(function(c) c.hidden_act = "gelu_new" end, nil, "hidden_act = \"gelu_new\"", "erf GELU")
  fails(function(c) c.position_embedding_type = "relative_key" end, nil, "relative_key")
  fails(function(c) c.is_decoder = true end, nil, "is_decoder")
  fails(function(c) c.type_vocab_size = 1 end, nil, "type_vocab_size = 1")
  fails(function(c) c.model_type = "roberta" end, nil, "roberta")
  fails(function(c) c.num_hidden_layers = "two" end, nil, "num_hidden_layers")
  fails(nil, function(t) t["bert.encoder.layer.0.crossattention.self.query.weight"] = vbl.zeros(16, 16) end, "cross-attention")
  fails(nil, function(t) t["bert.encoder.layer.0.output.dense.wieght"], t["bert.encoder.layer.0.output.dense.weight"] = vbl.zeros(16, 24), nil end,
        "missing", "bert.encoder.layer.0.output.dense.weight", "unexpected", "did you mean 'bert.encoder.layer.0.output.dense.weight'?", "nothing was loaded")
  fails(nil, function(t) t["bert.encoder.layer.1.output.dense.bias"] = vbl.full({16}, 0 / 0) end, "bert.encoder.layer.1.output.dense.bias", "NaN")
  fails(nil, function(t) t["bert.encoder.layer.1.output.dense.bias"] = vbl.zeros(17) end, "expected [16], got [17]")
  fails(nil, function(t) t["bert.encoder.layer.1.output.dense.bias"] = vbl.tensor({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, {dtype = "i32"}) end, "floats")
end)

check.group("a refused load changes nothing; strict = false takes what matches", function()
  local at = changed(nil, function(t) t["bert.embeddings.word_embeddings.weight"], t["bert.extra"] = vbl.zeros(20, 16), vbl.zeros(1) end)
  local model = model_of {weights = folder .. "/bert"}
  local before = model:parameters()["bert.embeddings.word_embeddings.weight"]:clone()
  check.error(function() model:load(at) end, "bert.extra", "nothing was loaded")
  check.equal(maximum(model:parameters()["bert.embeddings.word_embeddings.weight"], before), 0)
  local report = model:load(at, {strict = false})
  check.equal(report.unexpected[1], "bert.extra")
  check.equal(model:parameters()["bert.embeddings.word_embeddings.weight"]:abs():max():item(), 0)
  os.execute("rm -r " .. at)
  -- Three heads where the file's config says two: nothing in the shapes tells.
  local other = vbl.models.vilbert {dim = 16, layers = 2, attention_heads = 4, mlp = 24, vocab = 20, max_positions = 8, text_eps = 1e-3}
  check.error(function() other:load(folder .. "/bert") end, "attention_heads = 2")
  local wrong = vbl.models.vilbert {dim = 32, layers = 3, attention_heads = 2, mlp = 24, vocab = 20, max_positions = 8}
  check.error(function() wrong:load(folder .. "/bert") end, "set dim = 16, layers = 2", "(the model has 32, 3)")
end)

check.group("parameters that a script gave its model", function()
  local keys = {dim = 16, layers = 1, attention_heads = 2, mlp = 24, vocab = 20, max_positions = 8, image = 16, patch = 4}
  local own, plain, file = vbl.models.vilbert(keys), vbl.models.vilbert(keys), temporary() .. "/own.safetensors"
  vbl.nn.scope(own.list, "gate", function() return 0 end):parameter("scale", {2}, vbl.nn.init.zeros)
  check.equal(own.list[#own.list].name:match "^gate", "gate")
  own:save(file)
  local report = plain:load(file)
  check.ok(report.text:find("gate", 1, true) and report.text:find("of a part that a script gave its model", 1, true))
  check.equal(#report.unexpected, 0)
  check.equal(maximum(plain.list[1].tensor, own.list[1].tensor), 0)
  -- A name within a part that is there is a mistake still.
  own.list[#own.list].name = "vit.gate"
  own:save(file)
  check.error(function() plain:load(file) end, "vit.gate", "nothing was loaded")
end)

check.group("distilled DeiT and other ViTs are refused by name", function()
  local at, file = temporary(), vbl.load(folder .. "/vit_timm/model.safetensors")
  for _, extra in ipairs {{"dist_token", "distillation"}, {"reg_token", "register"}, {"blocks.0.ls1.gamma", "layer scale"}, {"norm_pre.weight", "CLIP"}} do
    file[extra[1]] = vbl.zeros(16)
    vbl.save(at .. "/x.safetensors", file)
    check.error(function() model_of {weights = at, dim = 16, layers = 2, attention_heads = 2, mlp = 24, image = 16, patch = 4} end, extra[2])
    file[extra[1]] = nil
  end
  os.execute("rm -r " .. at)
end)

check.group("a model's own file says what it is", function()
  local at = temporary()
  vbl.manual_seed(3)
  local model = vbl.models.vilbert {dim = 16, layers = 4, attention_heads = 2, mlp = 24, vocab = 20, max_positions = 8, image = 16, patch = 4, text_eps = 1e-9,
                                    fusion = "interleaved", placement = "late", coattention = {dim = 8, heads = 4}, classifier = {hidden = 5, outputs = 3}}
  model:save(at .. "/m.safetensors")
  local again = vbl.models.vilbert {weights = at .. "/m.safetensors"}
  check.equal(tostring(again), tostring(model))
  for _, p in ipairs(model:parameters()) do check.equal(maximum(again:parameters()[p.name], p.tensor), 0) end
  check.equal(again.config.text_eps, 1e-9)
  check.equal(again.config.coattention.heads, 4)
  -- Another head and another fusion over the same encoders.
  local stacked = vbl.models.vilbert {weights = {text = at .. "/m.safetensors", vision = at .. "/m.safetensors"}, fusion = "stacked", heads = {"ap"}}
  check.equal(maximum(stacked:parameters()["vit.norm.weight"], model:parameters()["vit.norm.weight"]), 0)
  check.equal(#stacked.blocks, 4)
  check.error(function() stacked:load(at .. "/m.safetensors") end, "missing", "fusion.1.text.norm1.weight")
  os.execute("rm -r " .. at)
end)

check.group("an index that lies", function()
  local at = temporary()
  os.execute(("cp %s/bert_sharded/* %s"):format(folder, at))
  local index = vbl.load(at .. "/model.safetensors.index.json")
  index.weight_map["bert.nothing"] = "model-00001-of-00002.safetensors"
  vbl.save(at .. "/model.safetensors.index.json", index)
  check.error(function() model_of {weights = at} end, "'bert.nothing' is not in model-00001-of-00002.safetensors")
  index.weight_map["bert.nothing"] = "../../etc/passwd"
  vbl.save(at .. "/model.safetensors.index.json", index)
  check.error(function() model_of {weights = at} end, "expected the name of a file beside the index")
  os.execute("rm -r " .. at)
end)

check.group("export", function()
  local at = temporary()
  local model = vbl.models.vilbert {weights = {text = folder .. "/bert", vision = folder .. "/vit_timm"}}
  model:save(at .. "/m.safetensors")
  local code = system.run {system.executable(), "export", at .. "/m.safetensors", at .. "/out"}
  check.equal(code, 0)
  local text = model_of {weights = {text = at .. "/out/bert", vision = at .. "/out/vit"}, heads = {}}
  check.near(maximum(run(text)["text.1"], expected["text.1"]), 0, 1e-5)
  check.near(maximum(run(text)["vision.norm"], expected["timm.norm"]), 0, 1e-5)
  check.near(text.config.std[2], 0.224, 1e-12)
  local whole = vbl.models.vilbert {weights = at .. "/out/vilbert.safetensors"}
  check.equal(tostring(whole), tostring(model))
  check.equal(system.run {system.executable(), "export", at .. "/m.safetensors", at .. "/out"}, 1)  -- is there already
  check.equal(system.run {system.executable(), "export", folder .. "/bert", at .. "/no"}, 1)
  check.ok(not system.exists(at .. "/no"))
  os.execute("rm -r " .. at)
end)

check.group("blocks that were trained between other layers are told of", function()
  local at = temporary()
  local function made(given)
    for key, value in pairs {preset = "tiny", dim = 16, attention_heads = 2, mlp = 32, vocab = 40} do given[key] = value end
    return vbl.models.vilbert(given)
  end
  local function notes_of(given)
    given.weights = at .. "/m.safetensors"
    return table.concat(made(given).loaded.notes, "\n")
  end
  made({fusion = "interleaved", placement = "late"}):save(at .. "/m.safetensors")
  check.ok(notes_of({fusion = "interleaved", placement = "early"}):find("at text {3}, vision {3} when they were trained, here at text {1}, vision {1}", 1, true))
  for _, given in ipairs {{}, {fusion = "interleaved", placement = "late"}, {fusion = "interleaved", placement = "none"}} do
    check.ok(not notes_of(given):find("attended across", 1, true))
  end
  os.execute("rm -r " .. at)
end)

check.group("what a file says of its model and decides its outputs", function()
  local at = temporary()
  local function of(config, folder_name)
    os.execute(("rm -rf %s/x && cp -r %s/%s %s/x && chmod -R u+w %s/x"):format(at, folder, folder_name, at, at))
    local path = at .. "/x/config.json"
    local file = vbl.load(path)
    for key, value in pairs(config) do file[key] = value end
    vbl.save(path, file)
    return function() return model_of {weights = {vision = at .. "/x"}} end
  end
  local args = vbl.load(folder .. "/vit_timm/config.json").model_args or {}
  local function with(key, value)
    local copy = {[key] = value}
    for k, v in pairs(args) do copy[k] = copy[k] == nil and v or copy[k] end
    return {model_args = copy}
  end
  check.ok(pcall(of(with("act_layer", "gelu"), "vit_timm")))
  check.error(of(with("act_layer", "relu"), "vit_timm"), "model_args: act_layer = relu; this model has a plain ViT")
  check.error(of(with("img_size", {16, 36}), "vit_timm"), "img_size = [16, 36]; this model's images are square")
  check.error(of(with("something_new", true), "vit_timm"), "model_args: something_new = true")
  local unknown = with("num_heads", nil)
  unknown.model_args.num_heads, unknown.architecture = nil, "vit_giant_patch14_224"
  check.error(of(unknown, "vit_timm"), "its number of heads is not known")
  check.error(of({architecture = false, pretrained_cfg = 3}, "vit_timm"), "no architecture in it, which timm's configs have")
  local own, all = vbl.models.vilbert({preset = "tiny", vocab = 40}):parameters(), {}
  for i, p in ipairs(own) do all[i] = p.name end
  vbl.save(at .. "/own.safetensors", own, {names = all, metadata = {vilbert = "3"}})
  -- A model of a million layers is not made to be told that the file has four.
  vbl.save(at .. "/many.safetensors", own, {names = all, metadata = {vilbert = '{"preset":"tiny","dim":128,"layers":1000000,"vocab":40}'}})
  check.error(function() model_of {weights = at .. "/many.safetensors"} end, "many.safetensors: its config says layers = 1000000 and its tensors 4")
  check.error(function() model_of {weights = at .. "/own.safetensors"} end, "own.safetensors: metadata: expected the config of a model, got 3")
  -- Files of doubles, and a decoder whose bias is another than the one beside it.
  local tensors = vbl.load(folder .. "/vit_timm/model.safetensors")
  for name, t in pairs(tensors) do tensors[name] = t:to "f64" end
  of({}, "vit_timm")
  vbl.save(at .. "/x/model.safetensors", tensors)
  check.near(maximum(run(model_of {weights = {vision = at .. "/x"}})["vision.norm"], run(model_of {weights = {vision = folder .. "/vit_timm"}})["vision.norm"]), 0, 0)
  local both = names.plan({["bert.embeddings.word_embeddings.weight"] = {shape = {4, 2}}, ["cls.predictions.bias"] = {shape = {4}}, ["cls.predictions.decoder.bias"] = {shape = {4}},
                           ["cls.predictions.decoder.weight"] = {shape = {4, 2}}}, {bert = "bert."}, {text = true, rest = true})
  check.equal(both.targets["heads.mlm.bias"][1], "cls.predictions.decoder.bias")
  os.execute("rm -r " .. at)
end)

check.group("a single stream's layers are no other stream's", function()
  local at = temporary()
  local small = {preset = "tiny", dim = 16, attention_heads = 2, mlp = 32, vocab = 40, layers = 2, image = 16, patch = 8}
  local function made(changes)
    local given = {}
    for key, value in pairs(small) do given[key] = value end
    for key, value in pairs(changes) do given[key] = value end
    return vbl.models.vilbert(given)
  end
  made({fusion = "single_stream"}):save(at .. "/single.safetensors")
  check.ok(pcall(made, {weights = at .. "/single.safetensors"}))
  check.error(function() made {weights = {vision = at .. "/single.safetensors"}} end, "is of a single stream", "read words and patches together")
  check.error(function() made {weights = at .. "/single.safetensors", fusion = "interleaved"} end, "is of a single stream")
  local text, code = system.output {system.executable(), "export", at .. "/single.safetensors", at .. "/out"}
  check.equal(code, 0)
  check.ok(text:find("bert: not written: a single stream's text has no layers of its own", 1, true) and text:find("vit: not written", 1, true), text)
  check.ok(not system.exists(at .. "/out/bert") and system.exists(at .. "/out/vilbert.safetensors"))
  os.execute("rm -r " .. at)
end)

check.group("preprocessor_config.json", function()
  local at, preprocess = temporary(), require "vbl.models.weights.preprocess"
  local store = require "vbl.store.c"
  local function read(config)
    config.image_mean, config.image_std = config.image_mean or {0.5, 0.5, 0.5}, config.image_std or {0.5, 0.5, 0.5}
    store.write_atomic(at .. "/preprocessor_config.json", store.json_encode(config))
    return preprocess.of({folder = at, path = at .. "/model.safetensors"}, {hf_vit = "vit."})
  end
  check.near(read({do_center_crop = true, size = {height = 256, width = 256}, crop_size = {height = 224, width = 224}}).crop_pct, 0.875, 1e-12)
  check.near(read({do_center_crop = true, size = {shortest_edge = 256}, crop_size = 224}).crop_pct, 0.875, 1e-12)
  local plain = read {do_normalize = false}
  check.equal(plain.mean[1] .. " " .. plain.std[1], "0 1")
  check.error(function() read {rescale_factor = 1.0} end, "rescale_factor = 1; expected 1/255")
  check.ok(read {rescale_factor = 1 / 255})
  -- Sizes that are no numbers say nothing of the crop.
  check.equal(read({do_center_crop = true, size = {height = "x"}, crop_size = 224}).crop_pct, 1)
  check.equal(read({do_center_crop = true, size = 256, crop_size = {1}}).crop_pct, 1)
  store.write_atomic(at .. "/preprocessor_config.json", "3")
  check.error(function() preprocess.of({folder = at, path = at .. "/model.safetensors"}, {hf_vit = "vit."}) end, "preprocessor_config.json: expected an object, got 3")
  os.execute("rm -r " .. at)
end)

check.group("names that give a family away", function()
  check.error(function() names.families {["a.patch_embed.proj.weight"] = {}, ["b.patch_embed.proj.weight"] = {}} end, "two models")
  check.equal(names.families({["0.auto_model.embeddings.word_embeddings.weight"] = {}}).bert, "0.auto_model.")
end)

check.done()

-- vbl.config: words of the command line into the script's table, errors that name key, type and the nearest, --help from
-- the source's comments, and writing the result as Lua.
local check = require "check"
local comments = require "vbl.config.comments"
local config = require "vbl.config"
local values = require "vbl.config.values"

-- config(defaults, schemas, operands) as if these words were the script's.
local function with(words, defaults, schemas, operands)
  local saved = arg
  arg = {[0] = "experiments/try.lua", table.unpack(words)}
  local ok, result = pcall(config, defaults, schemas, operands)
  arg = saved
  if not ok then error(result, 0) end
  return result
end

local function defaults()
  return {data = "scenes", epochs = 4, lr = 1e-4, shuffle = true, layers = {1, 3}, none = {},
          model = {preset = "tiny", mlp = {hidden = 8}}}
end

check.group("values by the default's type", function()
  local c = with({"epochs=8", "lr=3e-4", "shuffle=false", "layers={2,4,6}", "model.preset=small", "data=captions:a=b.tsv"}, defaults())
  check.equal(math.type(c.epochs), "integer")
  check.equal(c.epochs, 8)
  check.equal(c.lr, 3e-4)
  check.equal(c.shuffle, false)
  check.equal(table.concat(c.layers, ","), "2,4,6")
  check.equal(c.model.preset, "small")
  check.equal(c.data, "captions:a=b.tsv")
  check.equal(with({"data=12"}, defaults()).data, "12")
  check.equal(with({"none={5}"}, defaults()).none[1], 5)
end)

check.group("tables merge by name, defaults stay whole", function()
  local given = defaults()
  local c = with({"model={mlp={hidden=16}}"}, given)
  check.equal(c.model.mlp.hidden, 16)
  check.equal(c.model.preset, "tiny")
  check.equal(given.model.mlp.hidden, 8)
  check.error(function() with({"model={1}"}, defaults()) end, "key 'model'", "named fields")
  check.error(function() with({"layers={1,'a'}"}, defaults()) end, "key 'layers'", "item 2", "number", "\"a\"")
end)

check.group("mistakes name the key, the type and the nearest", function()
  check.error(function() with({"epoch=3"}, defaults()) end, "try.lua", "unknown key 'epoch'", "did you mean 'epochs'?")
  check.error(function() with({"model.prest=small"}, defaults()) end, "'model.prest'", "'model.preset'")
  check.error(function() with({"epochs=four"}, defaults()) end, "'epochs'", "expected a number", "'four'", "default 4")
  check.error(function() with({"shuffle=1"}, defaults()) end, "'shuffle'", "expected a boolean", "'1'")
  check.error(function() with({"layers=3"}, defaults()) end, "'layers'", "expected a table such as {1, 3}")
  check.error(function() with({"layers={os.exit()}"}, defaults()) end, "'layers'")
  check.error(function() with({"model={prest='x'}"}, defaults()) end, "'model.prest'", "'model.preset'")
  check.error(function() with({"epochs"}, defaults()) end, "expected key=value", "'epochs'", "did you mean epochs=VALUE?")
  check.error(function() with({"-epochs", "3"}, defaults()) end, "'-epochs'", "did you mean epochs=VALUE?")
  check.error(function() with({"--epochs", "3"}, defaults()) end, "unknown flag '--epochs'", "did you mean epochs=VALUE?")
  check.error(function() with({"--model.preset=tiny"}, defaults()) end, "did you mean model.preset=VALUE?")
  check.error(function() with({"--banana"}, defaults()) end, "unknown flag '--banana' (--help lists the keys)")
  check.error(function() with({"hidden=3"}, defaults()) end, "did you mean 'model.mlp.hidden'?")
  check.error(function() with({"name=mine"}, defaults()) end, "did you mean '--name mine'?")
  check.error(function() with({"--plan", "x"}, defaults(), nil, {"RUN"}) end, "--plan: this script makes no run")
  check.error(function() require("vbl").train.job(with({"--plan"}, defaults())) end, "--plan: this script takes its own steps")
  check.error(function() with({"banana=1"}, defaults()) end, "unknown key 'banana' (--help lists the keys)")
  check.error(function() with({"seed=3"}, {scenes = {seed = 1}}) end, "unknown key 'seed', did you mean '--seed 3'?")
  check.error(function() with({"plan=true"}, defaults()) end, "did you mean '--plan'?")
  check.error(function() with({"model.hidden=3"}, {model = {heads = 1, dim = 2}}) end, "unknown key 'model.hidden', did you mean 'model.dim'?")
  check.error(function() with({"model.hidden=3"}, {model = {heads = 1}}) end, "did you mean 'model.heads'?")
  check.error(function() with({"lasyers={1}"}, defaults()) end, "did you mean 'layers'?")
  check.error(function() with({"model=tiny"}, defaults()) end, "expected a table such as {mlp = {hidden = 8}, preset = \"tiny\"}", "model.mlp=VALUE")
  check.error(function() config(3) end, "expected a table", "number")
end)

check.group("a table is asked for with its own default or keys", function()
  local schemas = {[""] = {betas = {nil, "decay rates", type = "table", unset = "{0.9, 0.98}"}, freeze = {nil, 'by pattern: {"bert.*"}', type = "table"},
                           captions = {nil, "options", type = "table"}}, captions = {crop = {nil, "how", type = "string"}}}
  check.error(function() with({"layers=3"}, {layers = {"a", "b"}}) end, 'expected a table such as {"a", "b"}, got')
  check.error(function() with({"betas=1"}, {}, schemas) end, "expected a table such as {0.9, 0.98}, got")
  check.error(function() with({"freeze=bert"}, {}, schemas) end, 'expected a table such as {"bert.*"}, got')
  check.error(function() with({"captions=x"}, {captions = {}}, schemas) end, "expected a table, got 'x' (its keys one by one: captions.crop=VALUE)")
end)

check.group("schemas allow keys that the table lacks", function()
  local schemas = {model = {dropout = {0.1, "probability"}, weights = {nil, "a file", type = "string"}, preset = {nil, "", type = "table"}}}
  local c = with({"model.dropout=0", "model.weights=a.safetensors"}, defaults(), schemas)
  check.equal(c.model.dropout, 0)
  check.equal(c.model.weights, "a.safetensors")
  check.equal(with({}, defaults(), schemas).model.dropout, nil)
  check.equal(with({"model.preset={1}"}, defaults(), schemas).model.preset[1], 1)
  schemas.model.weights.also = "table"
  check.equal(with({'model.weights={vision="v/"}'}, defaults(), schemas).model.weights.vision, "v/")
  check.equal(with({"model.weights=a.safetensors"}, defaults(), schemas).model.weights, "a.safetensors")
  check.error(function() with({"model.weights={vision=v/}"}, defaults(), schemas) end, "'model.weights'", "a string or table")
  check.error(function() with({"model.dropout=x"}, defaults(), schemas) end, "'model.dropout'", "a number")
  check.error(function() with({"model.dropuot=0"}, defaults(), schemas) end, "'model.dropout'")
end)

check.group("false leaves out a table that is optional", function()
  local schemas = {model = {mlp = {nil, "", type = "table", optional = true}}}
  check.equal(with({"model.mlp=false"}, defaults(), schemas).model.mlp, false)
  check.equal(with({"model={mlp=false}"}, defaults(), schemas).model.mlp, false)
  check.equal(with({"model.mlp={hidden=9}"}, defaults(), schemas).model.mlp.hidden, 9)
  check.error(function() with({"model.mlp=true"}, defaults(), schemas) end, "'model.mlp'", "expected a table such as {hidden = 8} or false", "'true'", "model.mlp.hidden=VALUE")
  check.error(function() with({"model={mlp=true}"}, defaults(), schemas) end, "'model.mlp'", "or false")
  check.error(function() with({"model.mlp=false"}, defaults()) end, "'model.mlp'", "expected a table")
end)

check.group("flags", function()
  local c = with({"--seed", "7", "--threads=1", "epochs=2", "--plan", "--out", "x/y", "--resume", "no/such/run"}, defaults())
  check.equal(c.flags.seed, 7)
  check.equal(c.flags.threads, 1)
  check.equal(require "vbl.system.c".threads(), 1)
  check.equal(c.flags.plan, true)
  check.equal(c.flags.out, "x/y")
  check.equal(c.flags.resume, "no/such/run")
  check.equal(c.flags.device, "cpu")
  check.equal(c.flags.name, "try")
  check.equal(c.epochs, 2)
  check.error(function() with({"--threads", "0"}, defaults()) end, "--threads", "from 1 to 1024", "'0'")
  check.error(function() with({"--threads", "two"}, defaults()) end, "--threads", "'two'")
  check.error(function() with({"--seed"}, defaults()) end, "--seed", "expected N")
  check.error(function() with({"--sede", "1"}, defaults()) end, "unknown flag '--sede'", "'--seed'")
  check.error(function() with({"--plan=1"}, defaults()) end, "--plan takes no value")
  check.error(function() with({"--device", "gpu"}, defaults()) end, "--device", "cpu, cuda or cuda:N", "'gpu'")
  check.error(function() with({"--device", "cuda:97"}, defaults()) end, "--device cuda:97")
end)

check.group("writing: loads again, equal", function()
  local t = {1, 2.5, "a\nb\0c\"", {x = {}}, flags = {seed = 0}, ["end"] = true, ["a b"] = false, big = 1 / 0, third = 1 / 3, f = 4.0,
             [10] = "ten", low = math.mininteger}
  local back = assert(load(config.write(t)))()
  check.equal(values.write(back), values.write(t))
  check.equal(back[3], "a\nb\0c\"")
  check.equal(back.third, 1 / 3)
  check.equal(math.type(back.f), "float")
  check.equal(back.low, math.mininteger)
  check.equal(math.type(back.low), "integer")
  check.equal(back["end"], true)
  check.equal(back[10], "ten")
  local nan = load("return " .. values.write(0 / 0))()
  check.ok(nan ~= nan)
  check.error(function() config.write {a = {f = print}} end, "a.f", "function")
end)

check.group("meaning of keys from the source", function()
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write([==[
local x = {unused = 1} -- not this
local config = vbl.config {
  data = "a -- b {",     -- scenes, or captions:PATH
  epochs = 4, lr = 1,    -- passes
  -- a line of its own
  model = {              -- the model
    preset = 'ti\'ny',   -- sizes
    list = {1, {2}},
    long = [[ } ]], --[[ inner ]]
  },
  fn = f{z = 1},  -- call
}
local y = {late = 1} -- nor this
]==])
  file:close()
  local meanings, order = comments(path, 2)
  os.remove(path)
  check.equal(table.concat(order, " "), "data epochs lr model model.preset model.list model.long fn ?.z")
  check.equal(meanings.data, "scenes, or captions:PATH")
  check.equal(meanings.epochs, "passes")
  check.equal(meanings.lr, nil)
  check.equal(meanings.model, "the model")
  check.equal(meanings["model.preset"], "sizes")
  check.equal(meanings.fn, "call")
  check.equal(next((comments("/nowhere/at/all.lua", 1))), nil)
end)

check.done()

-- Layer x layer matrices of one measure: text against vision, text against text, vision against vision, a set of three a partner.
--   matrices(features, "cka", {partners=, pool = "cls", k=, blocks=}) -> sheet: partner, block, row, column, value
--     sheet.blocks = {{partner=, block = "text - vision", matrix = {{..}}, ...}, ...} in the order of the picture
--     blocks: those wanted, as {"text - vision"} (all three)
--   matrices.over({{epoch=, features=}, ...}, "cka", {partners=, pool=}) -> sheet: epoch, partner, row, column, value of text against
--     vision, one picture an epoch, all on one scale
-- Rows are layers of the first stream, columns of the second, both from 0; co-attending layers are marked. Chance level of each measure:
-- where the rows of one side are shuffled (debiased CKA: 0, mutual k-NN: k/(n-1), ...), in the note.
local gate = require "vbl.analysis.gate"
local heatmap = require "vbl.plot.heatmap"
local groups = require "vbl.measure.groups"
local known = require "vbl.known"
local settings = require "vbl.measure.settings"
local sheet = require "vbl.analysis.sheet"
local terminal = require "vbl.plot.terminal"
local titles = require "vbl.plot.titles"
local vbl = require "vbl"

local matrices = {}

local blocks = {{"text - vision", "text", "vision"}, {"text - text", "text", "text"}, {"vision - vision", "vision", "vision"}}

-- Range of the colours: that of the measure where its ends are known, so that figures of one measure compare.
local ranges = {cosine = {-1, 1}, rsa = {-1, 1}, aligned_cosine = {-1, 1}}

local function colour_range(name) return table.unpack(ranges[name] or {0, not gate.distance(name) and 1 or nil}, 1, 2) end

local function rows_of(features, partner, stream, pool)
  local list = {}
  for i = 1, #features.layers do list[i] = features:get(partner, i, stream, pool) end
  return list
end

local function marks(features)
  local set = {}
  for _, i in ipairs(features:coattention()) do set[i + 1] = true end
  return set
end

local function one_block(features, partner, block, name, opts)
  local pool = opts.pool or "cls"
  local first = rows_of(features, partner, block[2], pool)
  local second = block[2] == block[3] and first or rows_of(features, partner, block[3], pool)
  local matrix = vbl.measure.matrix(first, second, name, settings.options(name, first[1], opts.k, features.groups))
  local names, marked = titles.layers(#features.layers), marks(features)
  return {partner = partner, block = block[1], matrix = matrix:totable(), title = ("%s, %s"):format(block[1], partner), rows = names, columns = names,
          mark_rows = marked, mark_columns = marked, ylabel = block[2] .. " layer", xlabel = block[3] .. " layer"}
end

local function add_rows(rows, first, b)
  for i, values in ipairs(b.matrix) do
    for j, value in ipairs(values) do
      local row = {table.unpack(first)}
      for _, cell in ipairs {i - 1, j - 1, sheet.cell(value)} do row[#row + 1] = cell end
      rows[#rows + 1] = row
    end
  end
end

-- A note, and the chance level on the last layer's pair, where the measure knows one.
local function chance_note(features, name, opts)
  local last, pool = #features.layers, opts.pool or "cls"
  local x, y = features:get(features.partners[1], last, "text", pool), features:get(features.partners[1], last, "vision", pool)
  local _, record = vbl.measure[name](x, y, settings.options(name, x, opts.k, features.groups))
  local chance = groups.chance(name, record, features.groups)
  local text = chance and (", chance level of text - vision about %.3f"):format(chance) or ""
  return ("n = %d pairs, %s rows%s; * co-attending layer%s"):format(features.n, pool == "cls" and "CLS" or "mean", text, groups.remark(not chance and features.groups)), chance
end

local function text_of(self)
  local parts = {}
  for _, b in ipairs(self.blocks) do
    parts[#parts + 1] = terminal.heatmap(b.matrix, {title = b.title .. (" (rows: %s, columns: %s)"):format(b.ylabel, b.xlabel), rows = b.rows, columns = b.columns,
                                                    mark_rows = b.mark_rows, mark_columns = b.mark_columns, low = self.low, high = self.high})
  end
  return table.concat(parts, "\n")
end

local function figure_of(self, base)
  return heatmap.draw(base, {title = self.title, note = self.note, label = self.label, columns = self.grid, low = self.low, high = self.high,
                             panels = self.blocks})
end

local function chosen(names)
  local list = {}
  for _, name in ipairs(names) do
    local found
    for _, block in ipairs(blocks) do found = found or block[1] == name and block end
    list[#list + 1] = found or error(("matrices: no block '%s'; there are text - vision, text - text, vision - vision"):format(tostring(name)), 3)
  end
  return list
end

function matrices.of(features, name, opts)
  opts = known("analysis.matrices", opts, {"partners", "blocks", "pool", "k"})
  gate.check {name}
  local wanted = opts.blocks and chosen(opts.blocks) or blocks
  local made = {title = ("%s, layer by layer"):format(titles.of(name)), columns = {"partner", "block", "row", "column", name}, rows = {},
                blocks = {}, label = titles.of(name), grid = #wanted, text = text_of, figure = figure_of}
  made.low, made.high = colour_range(name)
  for _, partner in ipairs(opts.partners or features.partners) do
    for _, block in ipairs(wanted) do
      local b = one_block(features, partner, block, name, opts)
      made.blocks[#made.blocks + 1] = b
      add_rows(made.rows, {partner, block[1]}, b)
    end
  end
  made.note, made.chance = chance_note(features, name, opts)
  return sheet.new(made)
end

function matrices.over(list, name, opts)
  opts = known("analysis.matrices_over", opts, {"partners", "pool", "k"})
  gate.check {name}
  local made = {title = ("%s of text and vision layers over training"):format(titles.of(name)), rows = {}, blocks = {}, grid = #list,
                columns = {"epoch", "partner", "row", "column", name}, label = titles.of(name), text = text_of, figure = figure_of}
  made.low, made.high = colour_range(name)
  for _, partner in ipairs(opts.partners or list[1].features.partners) do
    for _, at in ipairs(list) do
      local b = one_block(at.features, partner, blocks[1], name, opts)
      b.title = ("epoch %d, %s"):format(at.epoch, partner)
      made.blocks[#made.blocks + 1] = b
      add_rows(made.rows, {at.epoch, partner}, b)
    end
  end
  made.note, made.chance = chance_note(list[#list].features, name, opts)
  return sheet.new(made)
end

return matrices

-- What a layer's alignment depends on: the CLS rows, the masked means, or all tokens.
--   pooling(features, {"cka", "mknn"}, {partners=, k=}) -> sheet: layer, partner, measure, cls, mean, chance (of the CLS rows), tokens
-- mean: of the words between [CLS] and [SEP], and of the patches. tokens: max_sim_tp and max_sim_pt, which compare the tokens of one pair
-- with each other. A CKA of token i with patch i would compare positions, not content: shuffling the pairs leaves it where it was.
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local groups = require "vbl.measure.groups"
local known = require "vbl.known"
local settings = require "vbl.measure.settings"
local sheet = require "vbl.analysis.sheet"
local titles = require "vbl.plot.titles"
local vbl = require "vbl"

local function pooled(features, partner, i, pool, name, opts)
  local x, y = features:get(partner, i, "text", pool), features:get(partner, i, "vision", pool)
  local value, record = vbl.measure[name](x, y, settings.options(name, x, opts.k, features.groups))
  return value, record, groups.chance(name, record, features.groups)
end

local function draw(self, base)
  local panels, partner = {}, self.rows[1][2]
  for _, name in ipairs(self.names) do
    local rows = self:where(3, name)
    local series = sheet.series(rows, function(row) return row[4] ~= "" and "CLS, " .. row[2] or "tokens, " .. row[2], row[1], row[4] ~= "" and row[4] or row[7] end)
    local mean = sheet.series(rows, function(row) return row[4] ~= "" and "mean, " .. row[2] or nil, row[1], row[5] end)
    local chance = sheet.series(rows, function(row) return row[6] ~= "" and row[2] == partner and "chance level" or nil, row[1], row[6] end)
    table.move(mean, 1, #mean, #series + 1, series)
    table.move(chance, 1, #chance, #series + 1, series)
    panels[#panels + 1] = {title = titles.of(name), xlabel = "layer", series = series, shade = self.shade, integer_x = true}
  end
  return figure.draw(base, {title = self.title, columns = 2, panels = panels})
end

return function(features, names, opts)
  opts = known("analysis.pooling", opts, {"partners", "k"})
  gate.check(names)
  local rows, all = {}, {table.unpack(names)}
  table.move({"max_sim_tp", "max_sim_pt"}, 1, 2, #all + 1, all)
  for i = 1, #features.layers do
    for _, partner in ipairs(opts.partners or features.partners) do
      for _, name in ipairs(names) do
        local cls, record, chance = pooled(features, partner, i, "cls", name, opts)
        local mean, mean_record = pooled(features, partner, i, "mean", name, opts)
        rows[#rows + 1] = {i - 1, partner, name, sheet.cell(cls, record), sheet.cell(mean, mean_record), chance or "", ""}
      end
      for j, name in ipairs {"max_sim_tp", "max_sim_pt"} do
        rows[#rows + 1] = {i - 1, partner, name, "", "", "", sheet.cell(features.max_sim[partner][i][j])}
      end
    end
  end
  return sheet.new {title = "CLS, masked mean and all tokens", columns = {"layer", "partner", "measure", "cls", "mean", "chance", "tokens"}, rows = rows,
                    note = ("n = %d%s"):format(features.n, groups.remark(features.groups)), shade = features:shade(), names = all, figure = draw}
end

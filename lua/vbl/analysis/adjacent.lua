-- How much each stream changes from one layer to the next: a measure between layers i and i + 1 of the same stream.
--   adjacent(list of features (one a seed or run), name, {partners=, pool = "cls" | "mean" | "tokens", k=})
--     -> sheet: stream, partner, from (layer), value (mean over the list), sd, runs
-- pool "tokens" compares all token rows of the two layers (the padding left out): within one stream position t of layer i and of layer
-- i + 1 are the same token. Between the streams no such pairing exists, and there is no such analysis.
local figure = require "vbl.plot.figure"
local gate = require "vbl.analysis.gate"
local known = require "vbl.known"
local sheet = require "vbl.analysis.sheet"
local statistics = require "vbl.statistics"
local titles = require "vbl.plot.titles"
local F = require "vbl.nn.functional"
local vbl = require "vbl"

-- [n, T, D] -> [tokens, D], the first lengths[i] of each sample; vision has no padding.
local function token_rows(x, stream, lengths)
  local n, T, D = table.unpack(x:shape())
  if stream == "vision" then return x:reshape(n * T, D) end
  local index = {}
  for i = 1, n do
    for t = 1, lengths[i] do index[#index + 1] = (i - 1) * T + t - 1 end
  end
  return F.gather_rows(x:reshape(n * T, D), vbl.tensor(index, {dtype = "i32"}))
end

local function rows_of(features, partner, i, stream, pool)
  local x = features:get(partner, i, stream, pool)
  return pool == "tokens" and token_rows(x, stream, features.lengths) or x
end

local function change(features, partner, i, stream, name, opts)
  return vbl.scope(function()
    local pool = opts.pool or "cls"
    return (vbl.measure[name](rows_of(features, partner, i, stream, pool), rows_of(features, partner, i + 1, stream, pool), opts.k and {k = opts.k} or nil))
  end)
end

local function draw(self, base)
  local series = sheet.series(self.rows, function(row)
    local band = row[6] > 1
    return row[1] .. ", " .. row[2], row[3], row[4], band and row[4] - row[5] or nil, band and row[4] + row[5] or nil
  end)
  return figure.draw(base, {title = self.title, panels = {{xlabel = "from layer", ylabel = self.label, series = series, shade = self.shade, integer_x = true}}})
end

local row_names = {cls = "CLS", mean = "mean", tokens = "token"}

return function(list, name, opts)
  opts = known("analysis.adjacent", opts, {"pool", "partners", "k"})
  gate.check {name}
  local rows, first = {}, list[1]
  for _, stream in ipairs {"text", "vision"} do
    for _, partner in ipairs(opts.partners or first.partners) do
      for i = 1, #first.layers - 1 do
        local values = {}
        for s, features in ipairs(list) do values[s] = change(features, partner, i, stream, name, opts) end
        local mean, sd = statistics.mean_sd(values)
        rows[#rows + 1] = {stream, partner, i - 1, sheet.cell(mean), sheet.cell(sd), #list}
      end
    end
  end
  local shade = {}
  -- The step into a co-attending layer.
  for j, layer in ipairs(first:coattention()) do shade[j] = {layer - 1.5, layer - 0.5} end
  return sheet.new {title = ("%s of neighbouring layers within a stream, %s rows"):format(titles.of(name), row_names[opts.pool or "cls"]),
                    label = titles.of(name), rows = rows, shade = shade, figure = draw, columns = {"stream", "partner", "from", name, "sd", "runs"}, note = ("%s rows, n = %d"):format(opts.pool or "cls", first.n)}
end

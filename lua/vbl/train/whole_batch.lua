-- What came of a whole batch, from what came of its parts: this rank's, added up, and where there are several ranks (vbl.dist) theirs.
--   whole_batch(entries, parts, joined) -> results (vbl.train.accumulate)
--     parts: of each entry {loss =, stats =, trained = whether something has a gradient; nil: there is no loss}, of this rank's samples
--     joined: of each entry {loss =, stats =} of what all ranks have computed alike
-- Numbers of a device come later (vbl.later), and so does their sum: the first one that is asked for waits for all.
local dist = require "vbl.dist"
local later = require "vbl.later"
local sorted_keys = require "vbl.sorted_keys"
local store = require "vbl.store.c"

-- Sums of a rank's own that are not asked for yet, in the order of their making, which is the order of their exchange on every rank.
local waiting = {}

local function exchange_up_to(sums)
  while not sums.values do
    local next_one = table.remove(waiting, 1)
    local mine = {}
    for i, x in ipairs(next_one.own) do mine[i] = later.number(x) end
    next_one.values, next_one.own = dist.sum(mine), nil
  end
end

-- there: no rank's numbers are of a device.
local function sums_of(own, there)
  local sums, list = {own = own}, {}
  waiting[#waiting + 1] = sums
  if there then exchange_up_to(sums) end
  for i = 1, #own do
    list[i] = there and sums.values[i] or later.new(function()
      exchange_up_to(sums)
      return sums.values[i]
    end)
  end
  return list
end

local function is_there(part)
  local there = type(part.loss) == "number"
  for _, s in pairs(part.stats) do there = there and type(s[1]) == "number" end
  return there
end

-- A rank whose share has no samples, or no masked token, lacks names that the others have, and has numbers at once that the others' devices still compute.
-- -> of each entry: name -> count, of all ranks; `trained`; whether the numbers of all ranks are there
local function agree(parts)
  local mine, counts, trained, there = {}, {}, {}, true
  for i, part in ipairs(parts) do
    mine[i], counts[i] = {trained = part.trained, counts = {}, there = is_there(part)}, {}
    for name, s in pairs(part.stats) do mine[i].counts[name] = s[2] end
  end
  for _, text in ipairs(dist.each(store.json_encode(mine))) do
    for i, said in ipairs(store.json_decode(text)) do
      for name, count in pairs(said.counts) do counts[i][name] = (counts[i][name] or 0) + count end
      there = there and said.there
      if said.trained ~= nil then trained[i] = trained[i] or said.trained end
    end
  end
  return counts, trained, there
end

-- The parts of all ranks.
local function of_all(parts)
  local counts, trained, there = agree(parts)
  local own, all = {}, {}
  for i, part in ipairs(parts) do
    own[#own + 1] = part.loss
    for _, name in ipairs(sorted_keys(counts[i])) do own[#own + 1] = part.stats[name] and part.stats[name][1] or 0 end
  end
  local sums, at = sums_of(own, there), 1
  for i in ipairs(parts) do
    all[i], at = {loss = sums[at], stats = {}, trained = trained[i]}, at + 1
    for _, name in ipairs(sorted_keys(counts[i])) do
      all[i].stats[name], at = {sums[at], counts[i][name]}, at + 1
    end
  end
  return all
end

return function(entries, parts, joined)
  local results = {}
  if dist.size() > 1 then parts = of_all(parts) end
  for i, part in ipairs(parts) do
    local stats = part.stats
    for name, s in pairs(joined[i].stats) do stats[name] = stats[name] and {stats[name][1] + s[1], stats[name][2] + s[2]} or s end
    results[i] = {loss = joined[i].loss + part.loss, stats = stats, untrained = entries[i].scale and part.trained == false or nil}
  end
  return results
end

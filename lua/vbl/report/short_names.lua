-- short_names(runs): sets run.short of each, what legends, columns and warnings of a page call it. No two are equal while anything tells the runs apart.
-- What all names begin with is left out ("fusion_study-late-seed0" and "...-seed1" become seed0 and seed1). Runs of one name, as those of one script are,
-- get their seed behind it; where seeds are equal too, their id, or else their folder. Where all runs have one name, it is left out and only that is shown.
local function strip(runs)
  local first, same = runs[1].short, #runs > 1 and #runs[1].short or 0
  for _, run in ipairs(runs) do
    while same > 0 and run.short:sub(1, same) ~= first:sub(1, same) do same = same - 1 end
  end
  while same > 0 and not first:sub(same, same):find "[-_.]" do same = same - 1 end
  for _, run in ipairs(runs) do
    if #run.short == same then return end
  end
  for _, run in ipairs(runs) do run.short = run.short:sub(same + 1) end
end

local ways = {
  function(run) return run.seed and ("seed %d"):format(run.seed) end,
  function(run) return run.id end,
  function(run) return run.path end,
}

-- Whether way(run) is there and another one for each run.
local function tells(runs, way)
  local seen = {}
  for _, run in ipairs(runs) do
    local word = way(run)
    if not word or seen[word] then return false end
    seen[word] = true
  end
  return true
end

local function tell_apart(runs, alone)
  if #runs < 2 then return end
  local way = ways[#ways]
  for i = #ways, 1, -1 do way = tells(runs, ways[i]) and ways[i] or way end
  for _, run in ipairs(runs) do run.short = alone and way(run) or ("%s, %s"):format(run.short, way(run)) end
end

return function(runs)
  strip(runs)
  local by_name, order = {}, {}
  for _, run in ipairs(runs) do
    if not by_name[run.short] then by_name[run.short], order[#order + 1] = {}, run.short end
    table.insert(by_name[run.short], run)
  end
  for _, name in ipairs(order) do tell_apart(by_name[name], #order == 1) end
end

-- Whether a study's runs can begin, asked before the first of them does: a value that no run takes would fail one after the other. Each config that
-- is still to be made is asked once, whatever its seeds, by the --plan of its run, which trains nothing. A cell that waits for a run that is
-- not finished (`after`) cannot be asked: the weights are not there.
--   study_check(cells, flags)     raises what the first config that is refused is told
local cells_of = require "vbl.train.study_cell"
local store = require "vbl.store.c"
local usage = require "vbl.usage"
local values = require "vbl.config.values"

return function(cells, flags)
  local done, asked = {}, {}
  for _, cell in ipairs(cells) do
    if not cell.after or done[cell.after] then
      local state = cells_of.look(cell, flags)
      local key = store.sha256(values.write {kind = cell.kind or "finetune", config = cell.config_now})
      done[cell] = state == "done"
      local refusal = state == "new" and not asked[key] and cells_of.refusal(cell, flags)
      asked[key] = true
      if refusal then usage(("study: %s, seed %d: %s"):format(cell.name, cell.seed, refusal)) end
    end
  end
end

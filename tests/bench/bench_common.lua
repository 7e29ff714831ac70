-- Median time of a step, peak memory, parameters: one JSON line in the form of peer_torch.py.
local vbl = require "vbl"
local system = require "vbl.system.c"

local common = {}

-- precision: vbl.autocast's. The first `unmeasured` steps are not in the median: they pay for memory that later ones reuse.
function common.measure(name, precision, steps, unmeasured, step, parameters)
  local times, loss, n = {}, nil, 0
  for _, p in ipairs(parameters) do n = n + p.tensor:numel() end
  for i = 1 - unmeasured, steps do
    local started = system.monotonic()
    loss = vbl.autocast(precision, vbl.scope, step)
    if i > 0 then times[#times + 1] = (system.monotonic() - started) * 1e3 end
  end
  table.sort(times)
  print(string.format('{"bench": "%s", "variant": "vbl %s", "threads": %d, "ms": %.2f, "ms_min": %.2f, "rss_mib": %.0f, "parameters": %d, "loss": %.4f, "isa": "%s"}',
                      name, precision, system.threads(), times[(#times + 1) // 2], times[1], system.peak_rss_bytes() / 2 ^ 20, n, loss, system.cpu().isa))
end

return common

-- merged(t, ...) -> a new table with the fields of all these tables, each over those before it; one that is nil has none. The tables in them are theirs.
return function(...)
  local all = {}
  for i = 1, select("#", ...) do
    for key, value in pairs((select(i, ...)) or {}) do all[key] = value end
  end
  return all
end

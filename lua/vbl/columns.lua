-- Rows of text as columns: columns(rows[, at_right]) -> lines. Columns are as wide as their widest cell and two blanks apart; no line ends in blanks.
--   rows: lists of cells, strings      at_right(i, j) -> whether cell j of row i stands at the right of its column
--   columns.length(text) -> its characters; its bytes where it is no UTF-8
local columns = {}

function columns.length(text) return utf8.len(text) or #text end

return setmetatable(columns, {__call = function(_, rows, at_right)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for j, cell in ipairs(row) do widths[j] = math.max(widths[j] or 0, columns.length(cell)) end
  end
  for i, row in ipairs(rows) do
    local cells = {}
    for j, cell in ipairs(row) do
      local blanks = (" "):rep(widths[j] - columns.length(cell))
      cells[j] = at_right and at_right(i, j) and blanks .. cell or cell .. blanks
    end
    lines[i] = table.concat(cells, "  "):gsub("%s+$", "")
  end
  return lines
end})

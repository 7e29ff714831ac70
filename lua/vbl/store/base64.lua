-- base64(bytes) -> text (RFC 4648, with padding)
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local pairs_of = {}  -- 12 bits -> two digits
for i = 0, 4095 do pairs_of[i] = digits:sub(i // 64 + 1, i // 64 + 1) .. digits:sub(i % 64 + 1, i % 64 + 1) end

return function(bytes)
  local parts, rest = {}, #bytes % 3
  local padded = bytes .. ("\0"):rep((3 - rest) % 3)
  for i = 1, #padded, 3 do
    local a, b, d = padded:byte(i, i + 2)
    local n = a << 16 | b << 8 | d
    parts[#parts + 1] = pairs_of[n >> 12] .. pairs_of[n & 4095]
  end
  local text = table.concat(parts)
  return rest == 0 and text or text:sub(1, rest - 4) .. ("="):rep(3 - rest)
end

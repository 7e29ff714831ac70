-- count(name, value) -> the text of a metric that counts: whole where it is, with one decimal where it is a mean of batches; nil of any other metric
return function(name, value)
  if not (name:find "^candidates%." or name:find "^left_out%.") then return nil end
  return math.tointeger(value) and ("%d"):format(math.tointeger(value)) or ("%.1f"):format(value)
end

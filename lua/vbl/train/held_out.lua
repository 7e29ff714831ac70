-- What is common to looking at a split in eval mode: vbl.train.evaluate (losses of several tasks) and vbl.train.predict (predictions of one).
--   held_out.STEP                   the draws of the batch that begins at `first` are those of step STEP - first, which no training step reaches
--   held_out.starts(size, batch)    -> {first, ...}: batches one behind the other
--   held_out.add(t, sum, count) -> t     a batch's sum over `count` samples joins a mean; t: nil at first. Of 0 samples: nothing joins
--   held_out.mean(t)                -> the mean, nan of nothing
--   held_out.error(t)               -> its standard error, from the batches' means: those of one size differ by chance alone. nil of a single batch
local held_out = {STEP = 0x7fffffff}

function held_out.starts(size, batch)
  local list = {}
  for first = 1, size, batch do list[#list + 1] = first end
  return list
end

function held_out.add(t, sum, count)
  t = t or {sum = 0, count = 0, squares = 0, batches = 0}
  if count == 0 then return t end
  t.sum, t.count, t.batches, t.squares = t.sum + sum, t.count + count, t.batches + 1, t.squares + sum * sum / count
  return t
end

function held_out.mean(t) return t and t.count > 0 and t.sum / t.count or 0 / 0 end

function held_out.error(t)
  if not t or t.batches < 2 or t.count == 0 then return nil end
  return math.sqrt(math.max(0, t.squares / t.count - (t.sum / t.count) ^ 2) / (t.batches - 1))
end

return held_out

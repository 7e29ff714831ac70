-- `--plan`: what a run would do, counted, and nothing trained: parameters, FLOPs, memory, steps, the learning-rate curve,
-- and what of the config is cut to what there is.
local memory = require "vbl.train.memory"
local sched = require "vbl.sched"

local plan = {}

-- GPUs whose micro-batch is told, in GiB, and what the CUDA context and its libraries take of each.
local CARDS, APART = {16, 24, 80}, 1

local function megabytes(n) return ("%.0f MB"):format(n / 1e6) end

local function on_card(job, size)
  local micro, found, at_once = memory.fit(job, (size - APART) * 2 ^ 30)
  if micro then return ("micro-batches of %d%s, %s at the peak of a step"):format(micro, at_once and ", all tasks together" or "", megabytes(found.peak)) end
  return job.model.checkpointing and "does not fit" or "does not fit; checkpointing=true needs less"
end

-- Of a run that trains: line(name, format, ...) writes. Without a GPU here the micro-batch is chosen where there is one.
local function memory_lines(job, line)
  local gpu = job.config.flags.device ~= "cpu"
  if job.micro then
    local found = memory.of(job, gpu and "cuda" or "cpu", job.micro)
    line("memory", "%s at the peak of a step: %s parameters, gradients and moments, the rest activations", megabytes(found.peak),
         megabytes(job.model:num_parameters() * 16))
  end
  if not gpu then return end
  for _, size in ipairs(CARDS) do line(("on a GPU of %d GB"):format(size), "%s", on_card(job, size)) end
end

-- What the config asks for and does not get, because there is less of it: one sentence each.
local function clipped(job)
  local config, list, pairs_there, held = job.config, {}, job.train:size(), job.test:size()
  local function add(format, ...) list[#list + 1] = format:format(...) end
  if config.batch > pairs_there then add("batch = %d: a step takes all %d training pairs, there are no more", config.batch, pairs_there) end
  for _, key in ipairs {"test_samples", "probe_samples"} do
    if (config[key] or 0) > held then add("%s = %d: all %d held-out pairs are taken, there are no more", key, config[key], held) end
  end
  if job.total_steps > 0 and config.warmup > 0 and job.warmup == 0 then
    add("warmup = %g: of %d step%s that is not one; the rate begins at %.3g of its peak", config.warmup, job.total_steps, job.total_steps == 1 and "" or "s", job.schedule(1))
  end
  return list
end

function plan.text(job)
  local model, config = job.model, job.config
  local T = job.data:mean_length()
  local forward = model:flops(math.floor(T + 0.5))
  local lines = {model:summary(), ""}
  local function line(name, format, ...) lines[#lines + 1] = string.format("%-24s " .. format, name, ...) end
  line("training pairs", "%d, held out %d, about %.1f tokens a caption", job.train:size(), job.test:size(), T)
  line("optimizer steps", "%d (%d an epoch, %d epochs, batch %d in micro-batches %s)", job.total_steps, job.epoch_steps, config.epochs, config.batch,
       job.micro and "of " .. job.micro or "as the GPU holds")
  local step = job.total_steps > 0 and memory.flops(job)
  local takes_turns = (config.mix or {}).how and config.mix.how ~= "joint"
  line("FLOPs", "%.2f GFLOP a sample forward%s", forward / 1e9,
       step and ("; %.1f GFLOP a step%s, %.3g in all"):format(step / 1e9, job.at_once and ", all tasks together" or takes_turns and " in the mean" or "", step * job.total_steps) or "")
  if step then memory_lines(job, line) end
  line("learning rate", "peak %g, warm-up %d steps, then cosine to %g", config.lr, job.warmup, config.lr * config.min_lr_fraction)
  for _, l in ipairs(sched.draw(job.schedule, job.total_steps, 60, 8)) do lines[#lines + 1] = l end
  for _, sentence in ipairs(clipped(job)) do line("less than asked for", "%s", sentence) end
  return table.concat(lines, "\n")
end

return plan

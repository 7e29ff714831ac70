-- import(source, out) -> {paths of the new runs}. source: a run's folder, a folder of such, or a tar archive (.tar, .tar.gz, .tgz) of
-- either, made on another machine. It is data that somebody else wrote: only regular files are taken, under names that stay below the
-- run (links and what lies outside are left out or refused), a config is read as constants (vbl.config.literal), and nothing is run.
-- A run appears whole in `out` or not at all; a name that is taken there is an error.
local c = require "vbl.store.c"
local record = require "vbl.runs.record"
local system = require "vbl.system.c"

local function check_name(name, source)
  local bad = name == "" or name:find "^/" or name:find "[%c\\]"
  for part in (name .. "/"):gmatch "([^/]*)/" do bad = bad or part == ".." or part == "." or part == "" end
  if bad then error(("%s: a file named %q would lie outside of the run"):format(source, name), 0) end
end

local function is_archive(source) return source:find "%.tar$" or source:find "%.tar%.gz$" or source:find "%.tgz$" end

-- {name, copy(to)} of every file of the archive.
local function archive_files(source, scratch)
  local tar = source
  if not source:find "%.tar$" then
    tar = scratch .. "/archive.tar"
    c.gunzip(source, tar)
  end
  local list, archive = {}, require("vbl.data.c").tar(tar)
  for name, offset, bytes in archive.next, archive do
    check_name(name, source)
    list[#list + 1] = {name = name, copy = function(to) c.copy(tar, to, offset, bytes) end}
  end
  local damaged, text, ended = archive:damage()
  archive:close()
  if damaged > 0 then error(source .. text:match("^[^\n]*"):sub(#tar + 1), 0) end
  if not ended then error(("%s: cut off: the archive's end is missing, and with it perhaps files"):format(source), 0) end
  return list
end

local function folder_files(source)
  local list, names = {}, c.files(source)
  table.sort(names)
  for _, name in ipairs(names) do
    list[#list + 1] = {name = name, copy = function(to) c.copy(source .. "/" .. name, to) end}
  end
  return list
end

-- A checkpoint is a folder .KIND-PID-N behind a link KIND (core/store/atomic.h), and links do not travel: the folder gets the name.
local function unlinked(name) return (name:gsub("checkpoints/%.(.-)%-%d+%-%d+/", "checkpoints/%1/")) end

-- {[prefix with its slash] = true}: where config.lua lies.
local function runs_among(files)
  local prefixes = {}
  for _, file in ipairs(files) do
    local prefix = ("/" .. file.name):match "^(.*/)config%.lua$"
    if prefix then prefixes[#prefixes + 1] = prefix:sub(2) end
  end
  return prefixes
end

local function name_of(prefix, source)
  local name = prefix:match "([^/]+)/$" or source:gsub("/+$", ""):match "[^/]*$":gsub("%.tgz$", ""):gsub("%.tar$", ""):gsub("%.tar%.gz$", "")
  if name == "." or name == ".." or name == "" then error(("%s: say the folder by its name"):format(source), 0) end
  return (name:gsub("^%.+", ""))
end

local function copy_run(files, prefix, target, source)
  local names = {}
  for _, file in ipairs(files) do names[file.name] = true end
  for _, file in ipairs(files) do
    if file.name:sub(1, #prefix) == prefix then
      local name = unlinked(file.name)
      if name == file.name or not names[name] then
        local to = target .. "/" .. name:sub(#prefix + 1)
        c.make_folder((to:match "^(.*)/"))
        file.copy(to)
      end
    end
  end
  local problem = record.read(target).problems[1]
  if problem then error(("%s: not a whole run: %s"):format(source, prefix .. problem:sub(#target + 2)), 0) end
end

-- {{prefix, target}, ...}: none of them taken, no two the same.
local function targets_of(files, source, out)
  local list, from = {}, {}
  for _, prefix in ipairs(runs_among(files)) do
    local target = out .. "/" .. name_of(prefix, source)
    if system.exists(target) then error(target .. ": is there already", 0) end
    if from[target] then
      error(("%s: holds two runs of one name, %s and %s; import one after the other, the first renamed"):format(source, from[target], prefix), 0)
    end
    from[target], list[#list + 1] = prefix, {prefix, target}
  end
  if #list == 0 then error(source .. ": holds no run (no config.lua in it)", 0) end
  return list
end

-- All, or none: what cannot be moved takes back what was.
local function move_all(pairs_of)
  local done = {}
  for i, pair in ipairs(pairs_of) do
    local ok, message = os.rename(pair[1], pair[2])
    if not ok then
      for _, path in ipairs(done) do c.remove(path) end
      error(("%s: %s"):format(pair[2], message:match ": ([^:]*)$" or message), 0)
    end
    done[i] = pair[2]
  end
  return done
end

local function import_into(scratch, source, out)
  local stat = system.stat(source)
  if not stat then error(source .. ": there is no such file or folder", 0) end
  if stat.type ~= "directory" and not is_archive(source) then error(source .. ": expected a run's folder, or an archive .tar, .tar.gz or .tgz of one", 0) end
  local files = stat.type == "directory" and folder_files(source) or archive_files(source, scratch)
  local copies = {}
  for i, run in ipairs(targets_of(files, source, out)) do
    local prefix, target = table.unpack(run)
    copies[i] = {("%s/run-%d"):format(scratch, i), target}
    copy_run(files, prefix, copies[i][1], source)
  end
  return move_all(copies)
end

return function(source, out)
  c.make_folder(out)
  local scratch = ("%s/.import-%d"):format(out, system.pid())
  c.make_folder(scratch)
  local ok, result = pcall(import_into, scratch, source, out)
  c.remove(scratch)
  if not ok then error(result, 0) end
  return result
end

-- vbl.runs: run folders. vbl.runs.folder makes and opens one, vbl.runs.metrics reads what it measured, vbl.runs.checkpoint its states.
return {
  folder = require "vbl.runs.folder",
  metrics = require "vbl.runs.metrics",
  checkpoint = require "vbl.runs.checkpoint",
}

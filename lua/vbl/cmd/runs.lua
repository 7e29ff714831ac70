-- vbl runs SUB words...: the runs in a folder (vbl.subcommand, vbl.runs).
return require "vbl.subcommand" {
  name = "runs",
  about = "what was run, and how it went",
  names = {"ls", "show", "diff", "tag", "note", "rm", "import"},
  flags = {out = "DIR", yes = "", csv = ""},
  more = [[
RUN is a run's folder, or the id, the name or a part of the name of one in runs/ (--out DIR: in DIR).
KEY=VALUE asks for runs: kind=finetune status=finished tags=paper seed=3 config.model.placement=late
A run tagged invalid stays in the list, marked, and out of every table.]],
}

-- vbl data SUB words...: what can be done with a data set (vbl.subcommand). A word KEY=VALUE is an option of vbl.data.open, or of SUB where
-- `options` there lists it.
return require "vbl.subcommand" {
  name = "data",
  about = "commands for data sets",
  names = {"check", "describe", "fetch", "pack", "show"},
  more = "SOURCE is what vbl.data.open takes: a path (its form is looked at), or NAME:PATH. KEY=VALUE words are options of\nvbl.data.open: image=224 vocabulary=vocab.txt max_bad=0.05 ...",
}

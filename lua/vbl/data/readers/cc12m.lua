-- Conceptual 12M: cc12m.tsv, lines url<TAB>caption (the other way round than CC3M). Where the images are: see cc3m.
local cc3m = require "vbl.data.readers.cc3m"

return cc3m.of {
  name = "cc12m",
  expects = "cc12m.tsv (url<TAB>caption) and its images in a folder named by the option images (images, train or training beside it)",
  files = {{"cc12m.tsv", "train", {"images", "train", "training"}}},
  url_first = true,
}

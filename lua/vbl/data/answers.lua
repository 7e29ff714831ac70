-- Answers of VQA as the official evaluation compares them (vqaEval.py of Goyal et al. 2017: processPunctuation, then processDigitArticle),
-- with its oddities, since published figures have them.
--   answers.normalise(text) -> text
--   answers.target(n) -> soft target of an answer that n of 10 people gave: the mean over the 10 leave-one-out sets of min(same / 3, 1)
local c = require "vbl.data.c"

local answers = {}

local digits = {none = "0", zero = "0", one = "1", two = "2", three = "3", four = "4", five = "5", six = "6", seven = "7", eight = "8", nine = "9",
                ten = "10"}
local articles = {a = true, an = true, the = true}

-- Word as typed, word as meant. Words come lower-cased, so that the official keys with capitals (Im, Ive, Id've) never match: left out.
local contractions = {}
for typed, meant in ([[
aint ain't arent aren't cant can't couldve could've couldnt couldn't couldn'tve couldn't've couldnt've couldn't've didnt didn't doesnt doesn't
dont don't hadnt hadn't hadnt've hadn't've hadn'tve hadn't've hasnt hasn't havent haven't hed he'd hed've he'd've he'dve he'd've hes he's howd
how'd howll how'll hows how's isnt isn't itd it'd itd've it'd've it'dve it'd've itll it'll maam ma'am mightnt mightn't mightnt've mightn't've
mightn'tve mightn't've mightve might've mustnt mustn't mustve must've neednt needn't notve not've oclock o'clock oughtnt oughtn't ow's'at
'ow's'at 'ows'at 'ow's'at 'ow'sat 'ow's'at shant shan't shed've she'd've she'dve she'd've shouldve should've shouldnt shouldn't shouldnt've
shouldn't've shouldn'tve shouldn't've somebody'd somebodyd somebodyd've somebody'd've somebody'dve somebody'd've somebodyll somebody'll
somebodys somebody's someoned someone'd someoned've someone'd've someone'dve someone'd've someonell someone'll someones someone's somethingd
something'd somethingd've something'd've something'dve something'd've somethingll something'll thats that's thered there'd thered've there'd've
there'dve there'd've therere there're theres there's theyd they'd theyd've they'd've they'dve they'd've theyll they'll theyre they're theyve
they've twas 'twas wasnt wasn't wed've we'd've we'dve we'd've weve we've werent weren't whatll what'll whatre what're whats what's whatve
what've whens when's whered where'd wheres where's whereve where've whod who'd whod've who'd've who'dve who'd've wholl who'll whos who's whove
who've whyll why'll whyre why're whys why's wont won't wouldve would've wouldnt wouldn't wouldnt've wouldn't've wouldn'tve wouldn't've yall
y'all yall'll y'all'll y'allll y'all'll yall'd've y'all'd've y'alld've y'all'd've y'all'dve y'all'd've youd you'd youd've you'd've you'dve
you'd've youll you'll youre you're youve you've]]):gmatch "(%S+)%s+(%S+)" do
  contractions[typed] = meant
end

-- A mark that touches a blank somewhere is dropped, any other becomes a blank; where a number has a comma within, all are dropped.
local function without_marks(text)
  local out, comma = text, text:find "%d,%d"
  for mark in (";/[]\"{}()=+\\_-><@`,?!"):gmatch "." do
    local drop = comma or text:find(mark .. " ", 1, true) or text:find(" " .. mark, 1, true)
    out = out:gsub("%" .. mark, drop and "" or " ")
  end
  return (out:gsub("%.()", function(after) return not out:find("^%d", after) and "" or nil end))  -- 3.5 keeps its point
end

function answers.normalise(text)
  local words = {}
  text = text:gsub("[\n\t]", " "):match "^%s*(.-)%s*$"
  for word in c.lower(without_marks(text)):gmatch "%S+" do
    word = digits[word] or word
    if not articles[word] then words[#words + 1] = contractions[word] or word end
  end
  return table.concat(words, " ")
end

function answers.target(n) return math.min(n * 3, 10) / 10 end

return answers

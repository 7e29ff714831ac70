-- usage(message): raises a mistake of the command line. The program prints it as one sentence, without a traceback.
local meta = {__tostring = function(e) return e.message end}

return function(message) error(setmetatable({message = message}, meta), 0) end

-- trimmed(path) -> the path without slashes at its end; "/" stays.
return function(path) return (path:gsub("(.)/+$", "%1")) end
